// What a review of the page found: each was a fault once.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import {
  becomes,
  Chat,
  eventually,
  fakeState,
  onlyFake,
  openPage,
  picture,
  useBrowser,
} from './driver.mjs';

const kPieceMs = 12;
const kSlowMs = 100; // an answer that is written so slowly is still running when it is stopped

useBrowser();
afterEach(() => {
  if (!onlyFake) fakeState().pieceMs = kPieceMs;
});

test('a page opened while the model loads shows how far it is', { skip: onlyFake }, async () => {
  const state = fakeState();
  state.ready = 'loading';
  let chat;
  try {
    for (const [loaded, text] of [
      [0.08, '8 %'],
      [0.71, '71 %'],
    ]) {
      state.loaded = loaded;
      chat ??= await openPage({}, { ready: false });
      await chat.page.locator('.status-percent').getByText(text, { exact: true }).waitFor();
      await becomes(chat.page.locator('.status'), /Loading the model/);
      await becomes(
        () => chat.page.locator('.load-bar span').getAttribute('style'),
        RegExp(text.split(' ')[0]),
      );
    }
    state.ready = 'ok';
    await chat.ready();
    await chat.page.locator('.load-bar').waitFor({ state: 'detached' });
    await chat.ask('Are you there?');
    await becomes(() => chat.lastAnswer(), /Are you there/);
    state.ready = 'failed';
    await chat.page.evaluate(() => dispatchEvent(new Event('online')));
    await chat.page.locator('.status').getByText('lost its cards').waitFor();
  } finally {
    state.ready = 'ok';
  }
});

test('numbers of the sampling panel can be typed', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.button('Settings').click();
  for (const [name, text] of [
    ['Top p', '0.05'],
    ['Repetition penalty', '1.05'],
    ['Presence penalty', '-0.5'],
  ]) {
    const field = chat.page.getByLabel(name, { exact: true });
    await field.pressSequentially(text);
    await chat.settled();
    await becomes(() => field.inputValue(), text);
  }
  const top = chat.page.getByLabel('Top p', { exact: true });
  await top.fill('7');
  await chat.page.getByText('Between 0.01 and 1.').waitFor();
  await becomes(() => top.inputValue(), '7');
  await chat.page.getByRole('button', { name: 'Reset' }).first().click();
  await chat.page.waitForFunction(
    () => ![...document.querySelectorAll('.panel input[type=number]')].some((one) => one.value),
  );
});

test(
  'a name is changed while an answer streams; Escape leaves it',
  { skip: onlyFake },
  async () => {
    const chat = await openPage();
    const { page } = chat;
    fakeState().pieceMs = kSlowMs;
    await chat.ask('First name');
    const rename = async (text) => {
      await page.locator('.history-item').first().hover();
      await chat.button('Rename: First name').click();
      await page.locator('.rename:focus').pressSequentially(text);
    };
    await chat.ask('A long story', { wait: false });
    await chat.answers.nth(1).getByText('word5 ').first().waitFor();
    await rename('Other');
    await becomes(() => page.locator('.rename').inputValue(), 'Other');
    await page.keyboard.press('Escape');
    await page.locator('.history-text').getByText('First name').waitFor();
    await chat.settled();
    assert.equal(await chat.button('Stop').count(), 1); // it was the name's Escape
    await chat.button('Stop').click();
    await chat.finished();
    await rename('中文');
    // An input method's Enter takes a word.
    await page.locator('.rename').dispatchEvent('keydown', { key: 'Enter', keyCode: 229 });
    await page.locator('.rename').press('Enter');
    await page.locator('.history-text').getByText('中文').waitFor();
  },
);

/// Until the browser's database holds all these texts of the open conversation.
function stored(chat, ...texts) {
  return eventually(async () => {
    const found = JSON.stringify(await chat.stored());
    for (const text of texts) assert.ok(found.includes(`"${text}`), `${text}: ${found}`);
  });
}

test('two tabs in one conversation lose nothing', { skip: onlyFake }, async () => {
  const chat = await openPage();
  fakeState().pieceMs = kSlowMs;
  await chat.ask('First');
  const { page } = chat;
  await stored(chat, 'Answer');
  const other = new Chat(await chat.context.newPage(), chat.context, []);
  await other.page.goto(page.url());
  await other.ready();
  await other.answers.first().locator('.markdown').waitFor();
  await chat.ask('A long story', { wait: false });
  await other.ask('Another long story', { wait: false });
  for (const one of [chat, other]) {
    await one.answers.nth(1).getByText('word3 ').first().waitFor();
    await one.button('Stop').click();
    await one.finished();
  }
  await stored(chat, 'A long story', 'Another long story');
  await other.page.close();
  await page.reload();
  await chat.answers.first().waitFor();
  await stored(chat, 'A long story', 'Another long story', 'word0');
});

test('an address with a conversation is one step of the history', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('First');
  const { page } = chat;
  const url = page.url();
  await page.goto('about:blank');
  const before = await page.evaluate(() => history.length);
  await page.goto(url);
  await chat.answers.first().waitFor();
  await chat.ready();
  assert.equal(page.url(), url);
  assert.equal(await page.evaluate(() => history.length), before + 1);
});

test('a question waits for its pictures', { skip: onlyFake }, async () => {
  const chat = await openPage();
  // A picture takes as long to read as this test wants.
  await chat.page.evaluate(() => {
    const { decode } = HTMLImageElement.prototype;
    HTMLImageElement.prototype.decode = async function () {
      await new Promise((resolve) => (window.goOn = resolve));
      return decode.call(this);
    };
  });
  await chat.drop([picture('slow.png')]);
  await chat.page.locator('.thumbnail-coming').waitFor();
  await chat.question.fill('What is this?');
  await chat.question.press('Enter');
  await becomes(() => chat.button('Send').isDisabled(), true);
  await chat.page.waitForFunction(() => window.goOn?.() ?? true);
  await chat.page.locator('.composer .thumbnail').waitFor();
  await chat.page.locator('.thumbnail-coming').waitFor({ state: 'detached' });
  await chat.answered(() => chat.question.press('Enter'));
  await becomes(() => chat.lastAnswer(), /I see 1 picture/);
  await chat.drop([{ name: 'notes.txt', mimeType: 'text/plain', buffer: Buffer.from('x') }]);
  await chat.page.getByText('notes.txt cannot be read as a picture.').waitFor();
});

test('text that nests without end does not take the page', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const pieces = ['Before it.\n\n', '> '.repeat(8000), 'the end'];
  const body = [
    ...pieces.map((content) => ({ choices: [{ index: 0, delta: { content } }] })),
    { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
  ].map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`);
  await chat.page.route('**/v1/chat/completions', (route) =>
    route.fulfill({ contentType: 'text/event-stream', body: `${body.join('')}data: [DONE]\n\n` }),
  );
  await chat.ask('Nest');
  await becomes(() => chat.lastAnswer(), /Before it\.[\s\S]*the end/);
  await stored(chat, 'Before it.');
  await chat.page.reload();
  await chat.answers.first().getByText('the end').first().waitFor();
});

test('Arabic and Hebrew begin at the right', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('مرحبا');
  const gaps = (selector) =>
    chat.page
      .locator(selector)
      .first()
      .evaluate((element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        const [text, box] = [range.getBoundingClientRect(), element.getBoundingClientRect()];
        return { left: text.left - box.left, right: box.right - text.right };
      });
  await chat.page.evaluate(() => {
    // A paragraph of an answer as wide as the column, so that there is a side to begin at.
    document.querySelector('.markdown p').textContent = 'שלום';
  });
  await eventually(async () => {
    const { left, right } = await gaps('.markdown p');
    assert.ok(left > 100 && right < 2, JSON.stringify({ left, right }));
  });
  assert.equal(await chat.question.getAttribute('dir'), 'auto');
});
