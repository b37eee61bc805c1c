// A page in a real browser, before the fake server or, with CARDLOOM_URL, before a real one:
//   CARDLOOM_URL=http://127.0.0.1:8000/ CARDLOOM_KEY=... node --test test/browser/chat.test.mjs
// CARDLOOM_SCREENSHOTS names a folder for a picture of each state that a test shows.
// CARDLOOM_SLOWDOWN=6 gives the pages a sixth of the processor: it shows what a test does not wait for.
//
// A page answers an action later than the action returns: after a render, a frame, a read of the
// database, an answer of the server. So tests never look at once and never sleep; they wait for what
// must be so (becomes, eventually, waitFor) and, for what must not happen, for what comes after it.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startFakeServer } from '../support/fake_server.mjs';
import { makePng } from '../support/png.mjs';

const executablePath = process.env.CARDLOOM_CHROMIUM ?? '/usr/bin/chromium';
const screenshots = process.env.CARDLOOM_SCREENSHOTS;
const slowdown = Number(process.env.CARDLOOM_SLOWDOWN ?? 1);
const kPatienceMs = 60_000; // for anything: only a failing test waits so long
export const isReal = process.env.CARDLOOM_URL !== undefined;

/// What a test is skipped for, or false.
export const noBrowser = existsSync(executablePath) ? false : `${executablePath} is not installed`;
export const onlyFake =
  noBrowser || (isReal ? 'needs answers that only the fake server gives' : false);

let browser;
let fake;
const opened = new Set(); // the pages of the test that runs

/// Gives the tests of a file Chromium, with `args` besides the usual ones, and, unless the page is a
/// real server's, the fake server. After each test its pages are closed, and none had a problem.
export function useBrowser({ withFake = !isReal, args = [] } = {}) {
  before(async () => {
    if (noBrowser) return;
    browser = await chromium.launch({
      executablePath,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...args],
    });
    if (withFake) fake = await startFakeServer({ prefix: '/some/prefix/' });
  });
  afterEach(async () => {
    const problems = [...opened].flatMap((chat) => chat.problems);
    await Promise.all([...opened].map((chat) => chat.close()));
    opened.clear();
    assert.deepEqual(problems, []);
  });
  after(async () => {
    await browser?.close();
    await fake?.close();
  });
}

/// Repeats `check` until it throws nothing; what it threw last is thrown if it always does.
export async function eventually(check) {
  const end = Date.now() + kPatienceMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/// Waits until `read`, a function or a locator whose text is meant, gives `expected`: a value or the
/// pattern of a text.
export function becomes(read, expected, message) {
  return eventually(async () => {
    const value = await (typeof read === 'function' ? read() : read.innerText());
    if (expected instanceof RegExp) assert.match(value, expected, message);
    else assert.deepEqual(value, expected, message);
  });
}

export const fakeState = () => fake.state;
export const baseUrl = () => process.env.CARDLOOM_URL ?? fake.url;

/// A new browser profile with the page of `url` open and the server ready. `problems` collects what
/// must not happen: violations of the content security policy, uncaught errors, requests to other
/// hosts.
export async function openPage(options = {}, { ready = true, url = baseUrl() } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    ...options,
  });
  context.setDefaultTimeout(kPatienceMs);
  const page = await context.newPage();
  const problems = [];
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      console.error(`Content Security Policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  page.on('console', (message) => {
    if (/Content Security Policy|TypeError|ReferenceError/.test(message.text()))
      problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  const { origin } = new URL(url);
  page.on('request', (request) => {
    if (!/^(?:blob|data):/.test(request.url()) && !request.url().startsWith(origin))
      problems.push(`request to ${request.url()}`);
  });
  if (process.env.CARDLOOM_KEY) {
    await page.addInitScript(
      (key) => sessionStorage.setItem('cardloom.key', key),
      process.env.CARDLOOM_KEY,
    );
  }
  if (slowdown > 1) {
    const session = await context.newCDPSession(page);
    await session.send('Emulation.setCPUThrottlingRate', { rate: slowdown });
  }
  const chat = new Chat(page, context, problems);
  opened.add(chat);
  await page.goto(url);
  await (ready ? chat.ready() : chat.settled());
  return chat;
}

/// The page as a person uses it.
export class Chat {
  constructor(page, context, problems) {
    this.page = page;
    this.context = context;
    this.problems = problems;
  }

  button(name, scope = this.page) {
    return scope.getByRole('button', { name, exact: true });
  }

  get question() {
    return this.page.locator('#question');
  }

  get answers() {
    return this.page.locator('.answer');
  }

  get questions() {
    return this.page.locator('.question');
  }

  /// The server is there, and the page listens to keys and drops.
  async ready() {
    await this.page.locator('.dot-good').waitFor();
    await this.settled();
  }

  /// The page has painted, and run the effects of, all that was rendered before. For what shows no
  /// other sign: Preact runs effects in a timer after the next frame, and ours comes after it.
  settled() {
    return this.page.evaluate(
      () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve))),
    );
  }

  /// Sends a question; with wait, until its answer or its error is complete.
  async ask(text, { wait = true } = {}) {
    await this.question.fill(text);
    const send = () => this.question.press('Enter');
    await (wait ? this.answered(send) : this.begins(send));
  }

  /// Does `action` and waits until the page has sent the question that follows from it: by then it
  /// shows the answer that it waits for.
  async begins(action) {
    await Promise.all([this.page.waitForRequest(/\/v1\/chat\/completions$/), action()]);
  }

  /// Does `action`, which has the model answer, and waits until the answer or its error is complete.
  async answered(action) {
    await this.begins(action);
    await this.finished();
  }

  /// Waits until no answer is being written.
  async finished() {
    await this.answers.last().waitFor();
    // Two answers at once while settings are compared.
    await this.page.waitForFunction(
      () => !document.querySelector('.answer[aria-busy="true"]'),
      undefined,
      { timeout: 2 * kPatienceMs, polling: 50 },
    );
  }

  /// Changes settings in their panel, which `change` gets.
  async settings(change) {
    const panel = this.page.locator('.panel');
    await this.page
      .locator('.top-bar')
      .getByRole('button', { name: /^(?:Settings|设置)$/ })
      .click();
    await change(panel);
    await panel.getByRole('button', { name: /^(?:Close|关闭)$/ }).click();
    await panel.waitFor({ state: 'detached' });
  }

  /// The open conversation as the browser's database has it, or null.
  stored() {
    return this.page.evaluate(
      () =>
        new Promise((resolve, reject) => {
          const asked = indexedDB.open('cardloom');
          asked.onerror = () => reject(asked.error);
          asked.onsuccess = () => {
            const store = asked.result.transaction('conversations').objectStore('conversations');
            const found = store.get(location.hash.replace('#c/', ''));
            found.onerror = () => reject(found.error);
            found.onsuccess = () => {
              asked.result.close();
              resolve(found.result ?? null);
            };
          };
        }),
    );
  }

  /// Reloads the page once the database has `answers` complete answers of the open conversation.
  async reload({ answers }) {
    const complete = async () =>
      Object.values((await this.stored())?.messages ?? {}).filter(({ stats }) => stats).length;
    await becomes(complete, answers, 'answers in the database');
    await this.page.reload();
    await this.ready();
  }

  /// Drops files of demo/pictures and waits until the page has it.
  async dropDemo(...names) {
    const before = await this.page.locator('.composer .thumbnail').count();
    await this.drop(names.map(demoPicture));
    await this.page
      .locator('.composer .thumbnail')
      .nth(before + names.length - 1)
      .waitFor();
  }

  lastAnswer() {
    return this.answers.last().locator('.markdown').innerText();
  }

  /// The place of a thing that has come to rest.
  async box(locator) {
    await locator.hover({ trial: true });
    return locator.boundingBox();
  }

  /// Whether nothing is wider than the screen.
  fits() {
    return this.page.evaluate(
      () =>
        document.documentElement.scrollWidth <= innerWidth &&
        document.body.scrollWidth <= innerWidth,
    );
  }

  /// Drops picture files on the page, as a file manager does.
  async drop(files) {
    const list = files.map((file) => ({ ...file, base64: file.buffer.toString('base64') }));
    const transfer = await this.page.evaluateHandle((given) => {
      const data = new DataTransfer();
      for (const { name, mimeType, base64 } of given) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        data.items.add(new File([bytes], name, { type: mimeType }));
      }
      return data;
    }, list);
    await this.page.dispatchEvent('main', 'dragover', { dataTransfer: transfer });
    await this.shot('drop');
    await this.page.dispatchEvent('main', 'drop', { dataTransfer: transfer });
  }

  /// Pastes a picture into the question, as Ctrl+V does.
  async paste(file) {
    await this.question.evaluate(
      (area, { name, mimeType, base64 }) => {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name, { type: mimeType }));
        area.dispatchEvent(
          new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }),
        );
      },
      { ...file, base64: file.buffer.toString('base64') },
    );
  }

  async shot(name) {
    if (!screenshots) return;
    mkdirSync(screenshots, { recursive: true });
    await this.page.screenshot({ path: join(screenshots, `${name}.png`) });
  }

  /// The serious and critical findings of axe-core, one line each.
  async seriousFindings() {
    // evaluate() rather than a script element, which the content security policy would block.
    const path = fileURLToPath(import.meta.resolve('axe-core'));
    await this.page.evaluate(readFileSync(path, 'utf8'));
    await this.settled();
    await this.page.evaluate(() => {
      // Half faded in, a text has too little contrast. What is without end (carets, dots) stays.
      const ends = ({ effect }) => effect.getComputedTiming().endTime !== Infinity;
      return Promise.allSettled(
        document
          .getAnimations()
          .filter(ends)
          .map(({ finished }) => finished),
      ).then(() => undefined);
    });
    const found = await this.page.evaluate(() =>
      window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      }),
    );
    return found.violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) =>
        nodes.map((node) => `${id}: ${node.target.join(' ')} ${node.any[0]?.message ?? ''}`),
      );
  }

  close() {
    return this.context.close();
  }
}

/// A PNG of one colour (or two halves), to be dropped, pasted or chosen.
export function picture(name, width = 64, height = 48, left = [200, 30, 30], right = left) {
  return {
    name,
    mimeType: 'image/png',
    buffer: makePng(width, height, (x) => (x < width / 2 ? left : right)),
  };
}

/// A file of demo/pictures.
export function demoPicture(name) {
  return {
    name,
    mimeType: name.endsWith('.jpg') ? 'image/jpeg' : 'image/png',
    buffer: readFileSync(new URL(`../../../demo/pictures/${name}`, import.meta.url)),
  };
}
