// The page before the server it is made for, with the demonstration model: what the fake server only
// claims must be so. CARDLOOM names the binary if it is not build/dev/bin/cardloom.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { metric, startServer, truth } from '../../../tests/conformance/server.mjs';
import { becomes, eventually, noBrowser, openPage, useBrowser } from './driver.mjs';

const built = fileURLToPath(new URL('../../../build/dev/bin/cardloom', import.meta.url));
const skip =
  noBrowser ||
  (process.env.CARDLOOM || existsSync(built) ? false : `${built} is not built, nor CARDLOOM given`);

// The slowest way to compute; and slower still, eight cards that wait for each other on few cores.
const kSlow = ['--isa', 'plain', '--dtype', 'f32', '--threads', '1'];
const kSlowest = [...kSlow, '--tp', '8'];
// The model is too small to talk for long of its own accord; a list of so many numbers it must finish.
// Of 18 digits each they nearly fill the context: kLongTokens, of which the slowest server writes some
// hundred a second.
const kLongList = listOf(400);
const kLongTokens = 7600;

function listOf(count) {
  return `{"type": "array", "items": {"type": "integer"}, "minItems": ${count}, "maxItems": ${count}}`;
}

useBrowser({ withFake: false });
let server;
before(async () => {
  if (!skip) server = await startServer(kSlow);
});
after(async () => {
  if (!skip) assert.equal(await server.stop(), 0);
});

/// The page of `of`, with the settings that make the model's answers the same each time.
async function open(options = {}, of = server) {
  const chat = await openPage(options, { url: `${of.url}/` });
  await chat.settings((panel) =>
    panel.getByRole('spinbutton', { name: /^(?:Temperature|温度)$/ }).fill('0'),
  );
  return chat;
}

/// Has answers take the form of a long list, or of text again.
async function longAnswers(chat, long = true, schema = kLongList) {
  await chat.settings(async (panel) => {
    await chat.button(long ? 'JSON schema' : 'Text', panel).click();
    if (long) await panel.getByRole('textbox', { name: 'JSON schema' }).fill(schema);
  });
}

/// Sets the most tokens of an answer.
const maxTokens = (chat, most) =>
  chat.settings((panel) => panel.getByRole('spinbutton', { name: 'Max tokens' }).fill(most));

/// Waits until `of` has written a part of its long answer.
const underWay = (of) =>
  eventually(async () => {
    const tokens = await metric(of, 'cardloom_generation_tokens_total');
    assert.ok(tokens > 60, `${tokens} tokens`);
  });

/// Has `of` stand still in the middle of its long answer until SIGCONT: however late a busy browser
/// shows what came, the answer has not ended.
async function hold(of) {
  await underWay(of);
  of.child.kill('SIGSTOP');
}

const answerHas = (chat, pattern) => becomes(() => chat.lastAnswer(), pattern);
/// The last answer without the header of its code.
const answerText = async (chat) =>
  (await chat.answers.last().locator('.markdown code').innerText()).trim();
const status = (chat) => chat.page.locator('.status');

test('a picture is dropped, asked about and described truly', { skip }, async () => {
  const chat = await open();
  await becomes(status(chat), /glm-4v-nano[\s\S]*cards: 2 · PLAIN · f32/);
  await chat.dropDemo('scene-1.jpg');
  await becomes(chat.page.locator('.context'), /pictures: 1 × 18/);
  await chat.ask('What is in this picture?');
  assert.equal((await chat.lastAnswer()).trim(), truth[0].truth);
  await chat.page.locator('.stats-line').click();
  const details = chat.page.locator('.stats-details');
  await becomes(details, /of these, pictures\s+18/);
  await becomes(details, /Picture encoding\s+[\d.]+ m?s/);
  await chat.dropDemo('scene-2.png', 'scene-3.png');
  await chat.ask('How many objects are there?');
  assert.match(await chat.lastAnswer(), /^There (?:is|are) \w+ objects?\.$/);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('a Chinese page, a Chinese question', { skip }, async () => {
  const chat = await open({ locale: 'zh-CN' });
  await chat.dropDemo('scene-3.png');
  await chat.ask('图中有什么？');
  assert.equal((await chat.lastAnswer()).trim(), truth[2].truth_zh);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('a long answer is stopped, here and on the cards, and goes on', { skip }, async () => {
  const slow = await startServer(kSlowest);
  try {
    const chat = await open({}, slow);
    await longAnswers(chat);
    await chat.ask('Hello!', { wait: false });
    await hold(slow);
    await answerHas(chat, /\d,/);
    await chat.page.keyboard.press('Escape');
    await chat.finished();
    await becomes(chat.answers.last(), /You stopped this answer/);
    slow.child.kill('SIGCONT');
    await becomes(() => metric(slow, 'cardloom_requests_running'), 0);
    const written = await metric(slow, 'cardloom_generation_tokens_total');
    assert.ok(written < 0.9 * kLongTokens, `${written} tokens`);
    const stopped = await answerText(chat);
    assert.ok(!stopped.endsWith(']'), stopped);

    await longAnswers(chat, false);
    await maxTokens(chat, '20');
    await chat.answered(() => chat.button('Continue').click());
    await eventually(async () => {
      const whole = await answerText(chat);
      assert.ok(whole.startsWith(stopped) && whole.length > stopped.length, whole);
    });
  } finally {
    slow.child.kill('SIGCONT');
    await slow.stop();
  }
});

test('answer again, edit and branch; a reload finds it all', { skip }, async () => {
  const chat = await open();
  await chat.dropDemo('scene-2.png');
  await chat.ask('What is in this picture?');
  const answer = async () => (await chat.lastAnswer()).trim();
  const first = await answer();
  assert.equal(first, truth[1].truth);
  await chat.answered(() => chat.button('Answer again', chat.answers.last()).click());
  const siblings = chat.answers.last().locator('.siblings');
  await becomes(siblings, /2 \/ 2/);
  await becomes(answer, first);

  await chat.questions.last().hover();
  await chat.button('Edit').click();
  const editor = chat.page.getByRole('textbox', { name: 'Edit' });
  await editor.fill('图中有什么？');
  await chat.answered(() => editor.press('Enter'));
  await becomes(answer, truth[1].truth_zh);
  await chat.ask('How many objects are there?');
  const last = await answer();

  await chat.reload({ answers: 4 });
  await chat.answers.nth(1).waitFor();
  await becomes(answer, last);
  assert.equal(
    await chat.questions
      .first()
      .locator('img')
      .evaluate(async (image) => (await image.decode(), image.naturalWidth > 0)),
    true,
  );
  await chat.button('Previous version', chat.questions.first()).click();
  await becomes(answer, first);
  await becomes(siblings, /2 \/ 2/);
});

test('the server’s own refusals are shown with its words', { skip }, async () => {
  const chat = await open();
  await maxTokens(chat, '8192');
  await chat.ask('Hello!');
  const card = chat.page.locator('.error-card');
  const text = await card.innerText();
  for (const part of [
    'This does not fit into the model’s context',
    '8192',
    'HTTP 400',
    'context_length_exceeded',
  ])
    assert.ok(text.includes(part), `${part} in ${text}`);
  assert.match(await card.locator('code').innerText(), /\w{8}/);
  assert.deepEqual(await chat.seriousFindings(), []);

  await maxTokens(chat, '');
  await longAnswers(chat, true, '{"type": "nothing"}');
  await chat.answered(() => chat.button('Try again').click());
  await becomes(card, /The server refused the question[\s\S]*\/type/);
  await longAnswers(chat, false);
  await chat.answered(() => chat.button('Try again').click());
  await answerHas(chat, /^Hello!/);
});

test('probabilities, a checked schema and two settings at once', { skip }, async () => {
  const chat = await open({ viewport: { width: 1440, height: 900 } });
  const { page } = chat;
  await chat.settings((panel) => panel.getByLabel('Ask for probabilities').check());
  await chat.dropDemo('scene-3.png');
  await chat.ask('图中有什么？');
  await chat.button('Probabilities of the tokens', chat.answers.last()).click();
  const tokens = page.getByRole('listbox', { name: 'Probabilities of the tokens' });
  // Token by token it is the same text, Chinese letters whole.
  const text = async () => (await tokens.innerText()).replaceAll('↵', '').trim();
  await becomes(text, truth[2].truth_zh);
  await becomes(page.locator('.token-choices'), /\d %/);

  await longAnswers(chat, true, listOf(2));
  await chat.settings(async (panel) => {
    await panel.getByLabel('Answer each question with a second setting too').check();
    await panel.getByRole('spinbutton', { name: 'Temperature B' }).fill('1.5');
  });
  await chat.ask('Hello!');
  await page.locator('.pair .verdict.good').nth(1).waitFor();
  await becomes(() => page.locator('.pair .verdict').count(), 2);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('both cards show their operators while an answer is written', { skip }, async () => {
  const chat = await open();
  await longAnswers(chat);
  // From here on the page hears of the cards' steps, wherever it is.
  await chat.button('Cards').click();
  await chat.page.getByText('The cards are idle').waitFor();
  await chat.button('Chat', chat.page.locator('.tabs')).click();
  await chat.ask('Hello!', { wait: false });
  await chat.button('Cards').click();
  const tables = chat.page.locator('.table-card table');
  for (const rank of [0, 1]) {
    await becomes(tables.nth(rank), new RegExp(`Card ${rank}`));
    // The table has the eight that took longest: the heaviest are among them on any machine.
    for (const operator of ['matmul_all_reduce', 'matmul', 'paged_attention'])
      await becomes(tables.nth(rank), new RegExp(`\\b${operator}\\b`));
  }
  assert.equal(await tables.count(), 2);
  await becomes(chat.page.locator('.cards-head'), /cards: 2 [\s\S]*PLAIN/);
  await becomes(chat.page.locator('.tiles dd').first(), /\d/);
  // A lane of each card has its colours.
  const colours = () =>
    chat.page.locator('canvas').evaluate((canvas) => {
      const half = canvas.height / 2;
      return [0, half].map((top) => {
        const { data } = canvas.getContext('2d').getImageData(0, top, canvas.width, half);
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4 * 7)
          seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
        return seen.size;
      });
    });
  await eventually(async () => {
    const counts = await colours();
    for (const count of counts) assert.ok(count > 5, `colours of the lanes: ${counts}`);
  });
  assert.deepEqual(await chat.seriousFindings(), []);

  await chat.page.locator('.chart-canvas').focus();
  await chat.page.keyboard.press('Space');
  await chat.button('Go on').waitFor();
  await chat.button('Chat', chat.page.locator('.tabs')).click();
  await chat.page.keyboard.press('Escape');
  await chat.finished();
});

test('a server with keys lets in who has one', { skip }, async () => {
  const locked = await startServer(['--api-key', 'open-sesame']);
  try {
    const chat = await openPage({}, { url: `${locked.url}/`, ready: false });
    const { page } = chat;
    await status(chat).getByText('API key needed').waitFor();
    await chat.ask('Hello!');
    await page.locator('.error-card').getByText('HTTP 401').waitFor();
    const enter = async (key) => {
      await page
        .locator('.top-bar')
        .getByRole('button', { name: /API key/ })
        .click();
      await page.getByLabel('Key of this server').fill(key);
      await chat.button('Save').click();
    };
    // Refused once more, and not still.
    await Promise.all([
      page.waitForResponse(
        (response) =>
          response.status() === 401 &&
          response.request().headers().authorization === 'Bearer close-sesame',
      ),
      enter('close-sesame'),
    ]);
    await status(chat).getByText('API key needed').waitFor();
    await enter('open-sesame');
    await page.locator('.dot-good').waitFor();
    await chat.answered(() => chat.button('Try again').click());
    await becomes(() => page.locator('.error-card').count(), 0);
    await answerHas(chat, /./);
    const kept = () =>
      page.evaluate(() => [sessionStorage['cardloom.key'], localStorage['cardloom.key']]);
    assert.deepEqual(await kept(), ['open-sesame', undefined]);
    await chat.button('Cards').click();
    await page.getByText('The cards are idle').waitFor();
    await page.reload();
    await chat.ready();
  } finally {
    await locked.stop();
  }
});

test('a server that drains finishes what it began, and says so', { skip }, async () => {
  // On a machine that is busy with others a card's share of time is small: let it take its time.
  const leaving = await startServer([...kSlow, '--shutdown-timeout', '100']);
  try {
    const chat = await open({}, leaving);
    await longAnswers(chat, true, listOf(100)); // not so long that a busy machine exceeds the time to drain
    await chat.ask('Hello!', { wait: false });
    await underWay(leaving);
    leaving.child.kill('SIGTERM');
    await chat.finished();
    await becomes(() => answerText(chat), /^\[[\s\S]*\]$/);
    await becomes(() => chat.page.locator('.to-end').count(), 0, 'the end is in view');
    assert.equal(await chat.page.locator('.error-card').count(), 0);
  } finally {
    assert.equal(await leaving.stop(), 0);
  }
});

test('a server that dies leaves what came, and its successor is found', { skip }, async () => {
  const dying = await startServer(kSlowest);
  const { port } = new URL(dying.url);
  let next;
  try {
    const chat = await open({}, dying);
    await longAnswers(chat);
    await chat.ask('Hello!', { wait: false });
    await hold(dying);
    await answerHas(chat, /\d,/);
    await dying.stop('SIGKILL');
    await chat.finished();
    await answerHas(chat, /\d,/);
    await chat.page.locator('.error-card').waitFor();
    await status(chat).getByText('not reachable').waitFor();
    await longAnswers(chat, false);
    await chat.ask('Who are you?');
    await becomes(chat.page.locator('.error-card').nth(1), /cannot be reached/);
    next = await startServer(['--port', port]);
    await chat.page.locator('.dot-good').waitFor();
    await chat.answered(() => chat.button('Try again', chat.answers.last()).click());
    await becomes(() => chat.answers.last().locator('.error-card').count(), 0);
    await answerHas(chat, /./);
  } finally {
    await dying.stop('SIGKILL');
    await next?.stop();
  }
});
