import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  baseUrl,
  becomes,
  eventually,
  fakeState,
  isReal,
  noBrowser,
  onlyFake,
  openPage,
  picture,
  useBrowser,
} from './driver.mjs';

useBrowser();

test(
  'errors are shown with the server’s words, the request id and a way on',
  { skip: onlyFake },
  async () => {
    const chat = await openPage();
    await chat.ask('This is too full');
    const card = chat.page.locator('.error-card');
    const text = await card.innerText();
    for (const part of [
      'The server is full at the moment',
      'the queue of 64 is full',
      'HTTP 429',
      'queue_full',
      'req-7f3a90c2',
    ]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
    // Of the 120 seconds that the server asks for, some may have passed.
    assert.match(text, /Try again \(in 1?\d\d s\)/);
    await chat.shot('error');
    const sent = fakeState().requests.length;
    await chat.answered(() => card.getByRole('button', { name: /Try again/ }).click());
    assert.equal(fakeState().requests.length, sent + 1);
    await becomes(() => chat.answers.count(), 1);
    await chat.ask('This is too long');
    await becomes(card.nth(1), /does not fit into the model’s context[\s\S]*9,120 tokens/);
  },
);

test('an error in the middle keeps what came', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('Please break in the middle');
  const card = chat.page.locator('.error-card');
  await becomes(() => chat.lastAnswer(), 'It begins well');
  await becomes(card, /Card 1 left the collective/);
  await chat.answered(() => chat.button('Continue').click());
  await becomes(() => chat.lastAnswer(), /It begins well ?and this is the rest\./);
  await becomes(() => card.count(), 0);
  await chat.ask('Now cut the line');
  await becomes(card, /connection ended|cannot be reached|server failed|could not be sent/i);
});

test('an answer cut by its limit can go on', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('Talk until the limit');
  await chat.page.getByText('reached its token limit').waitFor();
  await chat.answered(() => chat.button('Continue').click());
  await becomes(() => chat.lastAnswer(), /This goes on and this is the rest\./);
});

test('markdown, code and formulae', { skip: onlyFake }, async () => {
  const chat = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
  await chat.ask('What is at the lighthouse?');
  const answer = chat.answers.last();
  await answer.locator('.katex-display').waitFor();
  await answer.locator('.hljs-keyword').first().waitFor();
  await becomes(() => answer.locator('table tr').count(), 4);
  assert.equal(
    await answer
      .locator('td')
      .nth(2)
      .evaluate((cell) => getComputedStyle(cell).textAlign),
    'right',
  );
  await answer.locator('.code-header button').click();
  await becomes(
    () => chat.page.evaluate(() => navigator.clipboard.readText()),
    /^import math\n[\s\S]*km"\)$/,
  );
  const fonts = () =>
    chat.page.evaluate(() => [...document.fonts].filter((font) => font.status === 'loaded').length);
  await eventually(async () => assert.ok((await fonts()) > 0, 'the formulae have their fonts'));
  await chat.shot('answer');
});

test('hostile answers do nothing', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('Be hostile');
  const answer = chat.answers.last().locator('.markdown');
  await answer.locator('.katex').first().waitFor();
  await chat.settled();
  assert.equal(await chat.page.evaluate(() => window.pwned), undefined);
  assert.equal(
    await answer
      .locator('img, script, iframe, form, input, button, [style*="fixed"], .scrim, #app')
      .count(),
    0,
  );
  const links = await answer
    .locator('a')
    .evaluateAll((all) => all.map((link) => [link.getAttribute('href'), link.rel, link.target]));
  assert.deepEqual(
    links.map(([href]) => href).filter((href) => href !== null),
    ['https://example.com/page', 'https://example.com/steal?q=secret'],
  );
  for (const [href, rel, target] of links)
    if (href) assert.deepEqual([rel, target], ['noopener noreferrer nofollow', '_blank']);
});

test('the policy forbids what the page does not need', { skip: noBrowser }, async () => {
  const chat = await openPage();
  const policy = (await (await fetch(baseUrl())).headers.get('content-security-policy')) ?? '';
  assert.match(policy, /default-src 'none'/);
  assert.match(policy, /script-src 'self'(?:;|$)/);
  assert.match(policy, /connect-src 'self'(?:;|$)/);
  assert.doesNotMatch(policy, /unsafe-eval|https?:|\*/);
});

test('languages: the browser’s, then the chosen one', { skip: noBrowser }, async () => {
  const chat = await openPage({ locale: 'zh-CN' });
  await chat.page.getByPlaceholder('提问').waitFor();
  const lang = () => chat.page.evaluate(() => document.documentElement.lang);
  await becomes(lang, 'zh-CN');
  await chat.shot('chinese');
  await chat.button('EN: switch to English').click();
  await chat.page.getByPlaceholder('Ask, or drop').waitFor();
  await chat.page.reload();
  await chat.page.getByPlaceholder('Ask, or drop').waitFor();
  await becomes(lang, 'en');
});

test('themes: the system’s, then the chosen one', { skip: noBrowser }, async () => {
  const chat = await openPage({ colorScheme: 'dark' });
  const brightness = () =>
    chat.page.evaluate(() =>
      Number(/\d+/.exec(getComputedStyle(document.body).backgroundColor)[0]),
    );
  const isDark = () => eventually(async () => assert.ok((await brightness()) < 60));
  const isLight = () => eventually(async () => assert.ok((await brightness()) > 200));
  await isDark();
  await chat.button('Theme: as the system').click();
  await isLight();
  await chat.page.reload();
  await chat.button('Theme: light').waitFor();
  await isLight();
  await chat.button('Theme: light').click();
  await isDark();
});

test('keys: help, sidebar, search, new', { skip: noBrowser }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await page.keyboard.press('Control+/');
  await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
  await chat.shot('help');
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Control+B');
  await page.locator('.sidebar').waitFor({ state: 'hidden' });
  await page.keyboard.press('Control+K');
  await page.waitForFunction(() => document.activeElement.id === 'search');
  await page.keyboard.press('Control+Shift+N');
  await page.waitForFunction(() => document.activeElement.id === 'question');
  await page.keyboard.type('line one');
  await page.keyboard.press('Shift+Enter');
  await page.keyboard.type('line two');
  await becomes(() => chat.question.inputValue(), 'line one\nline two');
});

test('server states: key, loading, draining, lost, back', { skip: onlyFake }, async () => {
  const state = fakeState();
  state.key = 'secret';
  try {
    const chat = await openPage({}, { ready: false });
    const { page } = chat;
    await page.locator('.status').getByText('API key needed').waitFor();
    await page.getByRole('button', { name: 'Enter the API key' }).first().click();
    await page.getByLabel('Key of this server').fill('secret');
    await chat.button('Save').click();
    await chat.ready();
    assert.equal(
      await page.evaluate(() =>
        [sessionStorage['cardloom.key'], localStorage['cardloom.key']].join(),
      ),
      'secret,',
    );
    await chat.ask('Hello');
    await becomes(() => chat.lastAnswer(), /Hello/);
    state.key = null;
    for (const [ready, text] of [
      ['loading', 'Loading the model'],
      ['draining', 'shutting down'],
    ]) {
      state.ready = ready;
      await page.evaluate(() => dispatchEvent(new Event('online')));
      await page.locator('.status').getByText(text).waitFor();
      await page.locator('.load-bar').waitFor({
        state: ready === 'loading' ? 'visible' : 'detached',
      });
      if (ready === 'loading') await becomes(page.locator('.status'), /42 %/);
    }
    await page.route('**/health/ready', (route) => route.abort());
    await page.locator('.status').getByText('not reachable').waitFor();
    await page.unroute('**/health/ready');
    state.ready = 'ok';
    await page.locator('.dot-good').waitFor();
  } finally {
    state.key = null;
    state.ready = 'ok';
  }
});

test('the cards view shows each card, live, and as a table', { skip: noBrowser }, async () => {
  const chat = await openPage();
  const { page } = chat;
  if (isReal) await chat.ask('Count to twenty.', { wait: false });
  await chat.button('Cards').click();
  const tables = page.locator('.table-card table');
  await tables.first().locator('tbody th').first().waitFor();
  if (!isReal) await becomes(() => tables.count(), 2);
  const canvas = page.locator('canvas');
  const colors = () =>
    canvas.evaluate((element) => {
      const { width, height } = element;
      const { data } = element.getContext('2d').getImageData(0, 0, width, height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4 * 97)
        seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      return seen.size;
    });
  await eventually(async () => assert.ok((await colors()) > 5, 'operators are drawn'));
  const drawing = () => canvas.evaluate((element) => element.toDataURL());
  const drawing1 = await drawing();
  if (!isReal) await eventually(async () => assert.notEqual(await drawing(), drawing1, 'it moves'));
  await chat.shot('cards');

  await page.locator('.chart-canvas').focus();
  await page.keyboard.press('Space');
  await chat.button('Go on').waitFor();
  for (let i = 0; i < 7; ++i) await page.keyboard.press('+');
  await chat.settled();
  await drawnAgain(page, 2);
  const still = await drawing();
  await drawnAgain(page, 6);
  assert.equal(await drawing(), still, 'it stands still');
  if (!isReal) {
    const box = await chat.box(canvas);
    const tip = page.locator('.tip');
    let x = 0;
    // Between two steps there is nothing to tell of.
    await eventually(async () => {
      x = (x + 0.17) % 1;
      await page.mouse.move(box.x + x * box.width, box.y + 80);
      await chat.settled();
      assert.ok(await tip.isVisible(), `nothing at ${x}`);
    });
    await becomes(tip, /step \d+ · rows/);
    await becomes(tables.first(), /matmul/);
  }
  await chat.shot('cards-paused');
});

/// Waits until the chart of the cards has been drawn `times` more.
async function drawnAgain(page, times) {
  await page.evaluate((more) => {
    const { prototype } = CanvasRenderingContext2D;
    const { clearRect } = prototype;
    let left = more;
    window.drawn = new Promise((resolve) => {
      prototype.clearRect = function (...box) {
        if (--left < 0) resolve();
        clearRect.apply(this, box);
      };
    }).then(() => (prototype.clearRect = clearRect));
  }, times);
  await page.evaluate(() => window.drawn.then(() => undefined));
}

for (const colorScheme of ['light', 'dark']) {
  test(`no serious accessibility finding, ${colorScheme}`, { skip: onlyFake }, async () => {
    const chat = await openPage({ colorScheme, reducedMotion: 'reduce' });
    const { page } = chat;
    assert.deepEqual(await chat.seriousFindings(), [], 'welcome');
    await chat.drop([picture('one.png')]);
    await page.locator('.composer .thumbnail').waitFor();
    await chat.ask('What is at the lighthouse?');
    await page.locator('.katex-display').waitFor();
    await page.locator('.stats-line').click();
    await chat.ask('This is too full');
    await chat.button('Settings').click();
    await chat.button('JSON schema').click();
    await page.getByRole('textbox', { name: 'JSON schema' }).waitFor();
    assert.deepEqual(await chat.seriousFindings(), [], 'chat');
    await page.keyboard.press('Control+/');
    await page.getByRole('dialog').waitFor();
    assert.deepEqual(await chat.seriousFindings(), [], 'help');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await chat.button('Cards').click();
    await page.locator('.table-card tbody th').first().waitFor();
    assert.deepEqual(await chat.seriousFindings(), [], 'cards');
  });
}

test(
  'a phone: nothing wider than the screen, drawer and settings',
  { skip: onlyFake },
  async () => {
    const chat = await openPage({
      viewport: { width: 360, height: 740 },
      hasTouch: true,
      isMobile: true,
    });
    const { page } = chat;
    await chat.ask('What is at the lighthouse?');
    await page.locator('.katex-display').waitFor();
    assert.ok(await chat.fits(), 'chat');
    await chat.button('Show the sidebar').click();
    await page.locator('.history-item').waitFor();
    await chat.shot('phone-drawer');
    await page.locator('.history-title').first().click();
    await page.locator('.sidebar').waitFor({ state: 'hidden' });
    await chat.button('Settings').click();
    await page.locator('.panel').waitFor();
    assert.ok(await chat.fits(), 'settings');
    assert.deepEqual(await chat.seriousFindings(), []);
    await chat.button('Close').click();
    await chat.button('Cards').click();
    await page.locator('.table-card tbody th').first().waitFor();
    assert.ok(await chat.fits(), 'cards');
    await chat.shot('phone-cards');
  },
);
