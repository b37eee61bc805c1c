// A page in a real browser, before the fake server or, with CARDLOOM_URL, before a real one:
//   CARDLOOM_URL=http://127.0.0.1:8000/ CARDLOOM_KEY=... node --test test/browser/chat.test.mjs
// CARDLOOM_SCREENSHOTS names a folder for a picture of each state that a test shows.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startFakeServer } from '../support/fake_server.mjs';
import { makePng } from '../support/png.mjs';

const executablePath = process.env.CARDLOOM_CHROMIUM ?? '/usr/bin/chromium';
const screenshots = process.env.CARDLOOM_SCREENSHOTS;
export const isReal = process.env.CARDLOOM_URL !== undefined;

/// What a test is skipped for, or false.
export const noBrowser = existsSync(executablePath) ? false : `${executablePath} is not installed`;
export const onlyFake =
  noBrowser || (isReal ? 'needs answers that only the fake server gives' : false);

let browser;
let fake;

/// Starts Chromium and, unless the page is a real server's, the fake server.
export async function startBrowser({ withFake = !isReal } = {}) {
  if (noBrowser) return;
  browser = await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  if (withFake) fake = await startFakeServer({ prefix: '/some/prefix/' });
}

export async function stopBrowser() {
  await browser?.close();
  await fake?.close();
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
  await page.goto(url);
  if (ready) await page.locator('.dot-good').waitFor({ timeout: 20_000 });
  return new Chat(page, context, problems);
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

  /// Sends a question; with wait, until its answer or its error is complete.
  async ask(text, { wait = true } = {}) {
    await this.question.fill(text);
    await this.question.press('Enter');
    if (wait) await this.finished();
  }

  async finished(timeout = 120_000) {
    await this.answers.last().waitFor();
    // Two answers at once while settings are compared.
    await this.page.waitForFunction(
      () => !document.querySelector('.answer[aria-busy="true"]'),
      undefined,
      { timeout, polling: 50 },
    );
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
