// The page before the server it is made for, with the demonstration model: what the fake server only
// claims must be so. CARDLOOM names the binary if it is not build/dev/bin/cardloom.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, metric, startServer, truth } from '../../../tests/conformance/server.mjs';
import { noBrowser, openPage, startBrowser, stopBrowser } from './driver.mjs';

const built = fileURLToPath(new URL('../../../build/dev/bin/cardloom', import.meta.url));
const skip =
  noBrowser ||
  (process.env.CARDLOOM || existsSync(built) ? false : `${built} is not built, nor CARDLOOM given`);

// The slowest way to compute.
const kSlow = ['--isa', 'plain', '--dtype', 'f32', '--threads', '1'];
// The model is too small to talk for long of its own accord; a list of so many numbers it must finish.
// Of 18 digits each they nearly fill the context: 7,600 tokens, seconds even where 3,000 come a second,
// so that a busy machine's browser still meets the answer on its way.
const kLongList = listOf(400);

function listOf(count) {
  return `{"type": "array", "items": {"type": "integer"}, "minItems": ${count}, "maxItems": ${count}}`;
}

let server;
before(async () => {
  if (skip) return;
  await startBrowser({ withFake: false });
  server = await startServer(kSlow);
});
after(async () => {
  if (skip) return;
  await stopBrowser();
  assert.equal(await server.stop(), 0);
});

let chat;
afterEach(async () => {
  if (!chat) return;
  const { problems } = chat;
  await chat.close();
  chat = undefined;
  assert.deepEqual(problems, []);
});

/// The page of `of`, with the settings that make the model's answers the same each time.
async function open(options = {}, of = server) {
  chat = await openPage(options, { url: `${of.url}/` });
  const chinese = (options.locale ?? 'en').startsWith('zh');
  await chat.button(chinese ? '设置' : 'Settings').click();
  await chat.page.getByRole('spinbutton', { name: chinese ? '温度' : 'Temperature' }).fill('0');
  await chat.button(chinese ? '关闭' : 'Close').click();
  return chat;
}

/// Has answers take the form of a long list, or of text again.
async function longAnswers(long = true, schema = kLongList) {
  await chat.button('Settings').click();
  await chat.button(long ? 'JSON schema' : 'Text').click();
  if (long) await chat.page.getByRole('textbox', { name: 'JSON schema' }).fill(schema);
  await chat.button('Close').click();
}

const answerHas = (pattern) =>
  chat.page.waitForFunction(
    (source) =>
      new RegExp(source).test(
        [...document.querySelectorAll('.answer .markdown')].at(-1)?.innerText,
      ),
    pattern.source,
  );
/// The last answer without the header of its code.
const answerText = async () =>
  (await chat.answers.last().locator('.markdown code').innerText()).trim();
const status = () => chat.page.locator('.status');

test('a picture is dropped, asked about and described truly', { skip }, async () => {
  await open();
  assert.match(await status().innerText(), /glm-4v-nano[\s\S]*cards: 2 · PLAIN · f32/);
  await chat.dropDemo('scene-1.jpg');
  assert.match(await chat.page.locator('.context').innerText(), /pictures: 1 × 18/);
  await chat.ask('What is in this picture?');
  assert.equal((await chat.lastAnswer()).trim(), truth[0].truth);
  await chat.page.locator('.stats-line').click();
  const details = await chat.page.locator('.stats-details').innerText();
  assert.match(details, /of these, pictures\s+18/);
  assert.match(details, /Picture encoding\s+[\d.]+ m?s/);
  await chat.dropDemo('scene-2.png', 'scene-3.png');
  await chat.ask('How many objects are there?');
  assert.match(await chat.lastAnswer(), /^There (?:is|are) \w+ objects?\.$/);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('a Chinese page, a Chinese question', { skip }, async () => {
  await open({ locale: 'zh-CN' });
  await chat.dropDemo('scene-3.png');
  await chat.ask('图中有什么？');
  assert.equal((await chat.lastAnswer()).trim(), truth[2].truth_zh);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('a long answer is stopped, here and on the cards, and goes on', { skip }, async () => {
  await open();
  await longAnswers();
  await chat.ask('Hello!', { wait: false });
  await answerHas(/\d,/);
  assert.equal(await metric(server, 'cardloom_requests_running'), 1);
  await chat.page.keyboard.press('Escape');
  await chat.finished();
  assert.match(await chat.answers.last().innerText(), /You stopped this answer/);
  await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 0);
  const stopped = await answerText();
  assert.ok(!stopped.endsWith(']'), stopped);

  await longAnswers(false);
  await chat.button('Settings').click();
  await chat.page.getByRole('spinbutton', { name: 'Max tokens' }).fill('20');
  await chat.button('Close').click();
  await chat.button('Continue').click();
  await chat.finished();
  const whole = await answerText();
  assert.ok(whole.startsWith(stopped) && whole.length > stopped.length, whole);
});

test('answer again, edit and branch; a reload finds it all', { skip }, async () => {
  await open();
  await chat.dropDemo('scene-2.png');
  await chat.ask('What is in this picture?');
  const first = (await chat.lastAnswer()).trim();
  assert.equal(first, truth[1].truth);
  await chat.button('Answer again', chat.answers.last()).click();
  await chat.finished();
  assert.equal((await chat.lastAnswer()).trim(), first);
  assert.match(await chat.answers.last().locator('.siblings').innerText(), /2 \/ 2/);

  await chat.questions.last().hover();
  await chat.button('Edit').click();
  await chat.page.getByRole('textbox', { name: 'Edit' }).fill('图中有什么？');
  await chat.page.keyboard.press('Enter');
  await chat.finished();
  assert.equal((await chat.lastAnswer()).trim(), truth[1].truth_zh);
  await chat.ask('How many objects are there?');
  const last = await chat.lastAnswer();

  await chat.page.waitForTimeout(300);
  await chat.page.reload();
  await chat.answers.nth(1).waitFor();
  assert.equal(await chat.lastAnswer(), last);
  assert.equal(
    await chat.questions
      .first()
      .locator('img')
      .evaluate(async (image) => (await image.decode(), image.naturalWidth > 0)),
    true,
  );
  await chat.button('Previous version', chat.questions.first()).click();
  assert.equal((await chat.lastAnswer()).trim(), first);
  assert.match(await chat.answers.last().locator('.siblings').innerText(), /2 \/ 2/);
});

test('the server’s own refusals are shown with its words', { skip }, async () => {
  await open();
  await chat.button('Settings').click();
  await chat.page.getByRole('spinbutton', { name: 'Max tokens' }).fill('8192');
  await chat.button('Close').click();
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

  await chat.button('Settings').click();
  await chat.page.getByRole('spinbutton', { name: 'Max tokens' }).fill('');
  await chat.button('JSON schema').click();
  await chat.page.getByRole('textbox', { name: 'JSON schema' }).fill('{"type": "nothing"}');
  await chat.button('Close').click();
  await chat.button('Try again').click();
  await chat.finished();
  assert.match(await card.innerText(), /The server refused the question[\s\S]*\/type/);
  await longAnswers(false);
  await chat.button('Try again').click();
  await chat.finished();
  assert.match(await chat.lastAnswer(), /^Hello!/);
});

test('probabilities, a checked schema and two settings at once', { skip }, async () => {
  await open({ viewport: { width: 1440, height: 900 } });
  const { page } = chat;
  await chat.button('Settings').click();
  await page.getByLabel('Ask for probabilities').check();
  await chat.button('Close').click();
  await chat.dropDemo('scene-3.png');
  await chat.ask('图中有什么？');
  await chat.button('Probabilities of the tokens', chat.answers.last()).click();
  const tokens = page.getByRole('listbox', { name: 'Probabilities of the tokens' });
  // Token by token it is the same text, Chinese letters whole.
  assert.equal((await tokens.innerText()).replaceAll('↵', '').trim(), truth[2].truth_zh);
  assert.match(await page.locator('.token-choices').innerText(), /\d %/);

  await longAnswers(true, listOf(2));
  await chat.button('Settings').click();
  await page.getByLabel('Answer each question with a second setting too').check();
  await page.getByRole('spinbutton', { name: 'Temperature B' }).fill('1.5');
  await chat.button('Close').click();
  await chat.ask('Hello!');
  await page.locator('.pair .verdict.good').nth(1).waitFor();
  assert.equal(await page.locator('.pair .verdict').count(), 2);
  assert.deepEqual(await chat.seriousFindings(), []);
});

test('both cards show their operators while an answer is written', { skip }, async () => {
  await open();
  await longAnswers();
  await chat.ask('Hello!', { wait: false });
  await chat.button('Cards').click();
  const tables = chat.page.locator('.table-card table');
  for (const rank of [0, 1]) {
    await tables.nth(rank).getByText('matmul_all_reduce').waitFor();
    const text = await tables.nth(rank).innerText();
    assert.match(text, new RegExp(`Card ${rank}`));
    // The table has the eight that took longest: the heaviest are among them on any machine.
    for (const operator of ['matmul', 'paged_attention'])
      assert.ok(text.includes(operator), `${operator} in ${text}`);
  }
  assert.equal(await tables.count(), 2);
  assert.match(await chat.page.locator('.cards-head').innerText(), /cards: 2 [\s\S]*PLAIN/);
  assert.match(await chat.page.locator('.tiles dd').first().innerText(), /\d/);
  // A lane of each card has its colours.
  const colours = await chat.page.locator('canvas').evaluate((canvas) => {
    const half = canvas.height / 2;
    return [0, half].map((top) => {
      const { data } = canvas.getContext('2d').getImageData(0, top, canvas.width, half);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4 * 7)
        seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      return seen.size;
    });
  });
  for (const count of colours) assert.ok(count > 5, `colours of the lanes: ${colours}`);
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
    chat = await openPage({}, { url: `${locked.url}/`, ready: false });
    const { page } = chat;
    await status().getByText('API key needed').waitFor();
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
    await enter('close-sesame');
    await status().getByText('API key needed').waitFor();
    await enter('open-sesame');
    await page.locator('.dot-good').waitFor();
    await chat.button('Try again').click();
    await chat.finished();
    assert.equal(await page.locator('.error-card').count(), 0);
    assert.ok((await chat.lastAnswer()).length > 0);
    const kept = () =>
      page.evaluate(() => [sessionStorage['cardloom.key'], localStorage['cardloom.key']]);
    assert.deepEqual(await kept(), ['open-sesame', undefined]);
    await chat.button('Cards').click();
    await page.getByText('The cards are idle').waitFor();
    await page.reload();
    await page.locator('.dot-good').waitFor();
  } finally {
    await locked.stop();
  }
});

test('a server that drains finishes what it began, and says so', { skip }, async () => {
  // On a machine that is busy with others a card's share of time is small: let it take its time.
  const leaving = await startServer([...kSlow, '--shutdown-timeout', '100']);
  try {
    await open({}, leaving);
    await longAnswers(true, listOf(100)); // not so long that a busy machine exceeds the time to drain
    await chat.ask('Hello!', { wait: false });
    await answerHas(/\d,/);
    leaving.child.kill('SIGTERM');
    await chat.finished();
    assert.match(await answerText(), /^\[[\s\S]*\]$/);
    assert.equal(await chat.page.locator('.to-end').count(), 0, 'the end is in view');
    assert.equal(await chat.page.locator('.error-card').count(), 0);
  } finally {
    assert.equal(await leaving.stop(), 0);
  }
});

test('a server that dies leaves what came, and its successor is found', { skip }, async () => {
  // Eight cards on few cores: slow enough that a busy browser finds the answer under way.
  const dying = await startServer([...kSlow, '--tp', '8']);
  const { port } = new URL(dying.url);
  let next;
  try {
    await open({}, dying);
    await longAnswers();
    await chat.ask('Hello!', { wait: false });
    await answerHas(/\d,/);
    await dying.stop('SIGKILL');
    await chat.finished();
    assert.match(await chat.lastAnswer(), /\d,/);
    await chat.page.locator('.error-card').waitFor();
    await status().getByText('not reachable').waitFor();
    await longAnswers(false);
    await chat.ask('Who are you?');
    assert.match(await chat.page.locator('.error-card').last().innerText(), /cannot be reached/);
    next = await startServer(['--port', port]);
    await chat.page.locator('.dot-good').waitFor({ timeout: 15_000 });
    await chat.button('Try again', chat.answers.last()).click();
    await chat.finished();
    assert.equal(await chat.answers.last().locator('.error-card').count(), 0);
    assert.match(await chat.lastAnswer(), /./);
  } finally {
    await next?.stop();
  }
});
