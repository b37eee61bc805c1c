import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
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

const siblings = (message) => message.locator('.siblings');

test('a question is answered, with its figures', { skip: noBrowser }, async () => {
  const chat = await openPage();
  await chat.shot('welcome');
  await chat.ask('Hello there');
  const text = await chat.lastAnswer();
  assert.ok(text.length > 0);
  if (!isReal) assert.match(text, /you said “Hello there”/);
  await chat.page.locator('.stats-line').click();
  await becomes(chat.page.locator('.stats-details'), /Prompt tokens/);
  await becomes(chat.page.locator('.context'), /[1-9][\d,]* of [\d,]+ tokens/);
});

test('an answer grows while it streams, and Escape stops it', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const aborted = fakeState().aborted;
  await chat.ask('Tell me a long story', { wait: false });
  await chat.page.getByText('word20').first().waitFor();
  const grows = async () => {
    const before = (await chat.lastAnswer()).length;
    await eventually(async () => assert.ok((await chat.lastAnswer()).length > before));
  };
  await grows();
  // Who scrolls up is left there, who goes to the end follows again.
  await chat.page.getByText('word300').first().waitFor();
  assert.equal(await chat.page.locator('.to-end').count(), 0);
  const messages = chat.page.locator('.messages');
  const top = () => messages.evaluate((box) => box.scrollTop);
  // The wheel turns while the page is still to hear of its own last scroll.
  const turned = await messages.evaluate((box) => {
    box.dispatchEvent(new WheelEvent('wheel', { deltaY: -60, bubbles: true }));
    box.dispatchEvent(new Event('scroll'));
    return box.scrollTop;
  });
  await grows();
  await chat.settled();
  assert.equal(await top(), turned);
  await messages.hover();
  await chat.page.mouse.wheel(0, -60);
  await chat.button('To the end').waitFor();
  const left = await top();
  await grows();
  await chat.settled();
  assert.ok((await top()) <= left, 'nothing but the wheel, upwards, has scrolled');
  await chat.button('To the end').waitFor();
  await chat.button('To the end').click();
  await chat.button('To the end').waitFor({ state: 'detached' });
  await chat.page.keyboard.press('Escape');
  await chat.finished();
  await becomes(chat.answers.last(), /You stopped this answer/);
  await becomes(() => fakeState().aborted, aborted + 1);
});

test('the stop button stops, continue goes on', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('Tell me a long story', { wait: false });
  await chat.page.getByText('word5').first().waitFor();
  await chat.button('Stop').click();
  await chat.finished();
  const stopped = await chat.lastAnswer();
  await chat.answered(() => chat.button('Continue').click());
  await becomes(() => chat.lastAnswer(), `${stopped.trimEnd()} and this is the rest.`);
  const body = fakeState().requests.at(-1);
  assert.equal(body.continue_final_message, true);
  assert.equal(body.add_generation_prompt, false);
  assert.equal(body.messages.at(-1).role, 'assistant');
});

test('answering again makes a sibling, editing makes a branch', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.ask('first question');
  const first = await chat.lastAnswer();
  await chat.answered(() => chat.button('Answer again', chat.answers.last()).click());
  assert.notEqual(await chat.lastAnswer(), first);
  await becomes(siblings(chat.answers.last()), /2 \/ 2/);
  await chat.button('Previous version').click();
  await becomes(() => chat.lastAnswer(), first);

  await chat.questions.last().hover();
  await chat.button('Edit').click();
  const editor = chat.page.getByRole('textbox', { name: 'Edit' });
  await editor.fill('edited question');
  await chat.answered(() => editor.press('Enter'));
  await becomes(() => chat.lastAnswer(), /edited question/);
  await becomes(siblings(chat.questions.last()), /2 \/ 2/);
  await chat.button('Previous version', chat.questions.last()).click();
  await becomes(() => chat.lastAnswer(), first);
  await becomes(chat.questions.last(), /first question/);
});

test('pictures by drop, paste and file, in order', { skip: noBrowser }, async () => {
  const chat = await openPage();
  const thumbnails = chat.page.locator('.composer .thumbnail');
  await chat.drop([picture('red.png'), picture('wide.png', 300, 20, [20, 90, 200])]);
  await thumbnails.nth(1).waitFor();
  await chat.paste(picture('pasted.png', 40, 40, [30, 160, 60]));
  await thumbnails.nth(2).waitFor();
  await chat.page
    .locator('input[multiple]')
    .setInputFiles(picture('chosen.png', 50, 50, [240, 200, 20]));
  await thumbnails.nth(3).waitFor();
  await chat.shot('pictures');
  await chat.button('Remove: wide.png').click();
  await becomes(() => thumbnails.count(), 3);
  await chat.ask('What are these?');
  await becomes(() => chat.page.locator('.question .thumbnail').count(), 3);
  if (isReal) return;
  const { content } = fakeState().requests.at(-1).messages[0];
  assert.deepEqual(
    content.map((part) => part.type),
    ['image_url', 'image_url', 'image_url', 'text'],
  );
  for (const part of content.slice(0, 3))
    assert.match(part.image_url.url, /^data:image\/png;base64,iVBOR/);
  assert.deepEqual(
    Buffer.from(content[0].image_url.url.split(',')[1], 'base64'),
    picture('red.png').buffer,
  );
  await becomes(chat.page.locator('.stats-line'), /pictures 2\.61 s/);
});

test('a picture can be enlarged, by keyboard alone', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.drop([picture('one.png', 400, 300), picture('two.png', 300, 400, [20, 90, 200])]);
  await chat.page.locator('.composer .thumbnail').nth(1).waitFor();
  await chat.page.locator('.thumbnail-open').first().focus();
  await chat.page.keyboard.press('Enter');
  const viewer = chat.page.locator('dialog.viewer');
  const zoom = viewer.locator('.viewer-zoom');
  await viewer.waitFor();
  await chat.page.keyboard.press('+');
  await becomes(zoom, /125%/);
  await chat.page.keyboard.press('0');
  await becomes(zoom, /100%/);
  await chat.page.keyboard.press('ArrowRight');
  await becomes(viewer, /two\.png, 300 × 400/);
  await viewer.getByAltText('two.png').waitFor();
  await chat.shot('viewer');
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'detached' });
  await becomes(() => chat.page.evaluate(() => document.activeElement.className), 'thumbnail-open');
});

test(
  'what is no picture is refused, and a picture past the limit too',
  { skip: onlyFake },
  async () => {
    const chat = await openPage();
    const thumbnails = chat.page.locator('.composer .thumbnail');
    await chat.page.locator('input[multiple]').setInputFiles({
      name: 'broken.png',
      mimeType: 'image/png',
      buffer: Buffer.from('not a picture'),
    });
    await chat.page.getByText('broken.png cannot be read as a picture').waitFor();
    await chat.drop(Array.from({ length: 5 }, (_, i) => picture(`p${i}.png`)));
    await chat.page.getByText('at most 4 pictures').waitFor();
    await becomes(() => thumbnails.count(), 4);
    await chat.ask('What are these?');
    await chat.page.getByText('at most 4 pictures').waitFor({ state: 'detached' });
    await chat.drop([picture('p5.png')]);
    await chat.page.getByText('at most 4 pictures in a conversation').waitFor();
    await chat.settled();
    assert.equal(await thumbnails.count(), 0);
  },
);

test('a reload finds the history and its pictures', { skip: noBrowser }, async () => {
  const chat = await openPage();
  await chat.drop([picture('kept.png')]);
  await chat.page.locator('.composer .thumbnail').waitFor();
  await chat.ask('Remember this picture');
  const text = await chat.lastAnswer();
  await chat.reload({ answers: 1 });
  await becomes(() => chat.lastAnswer(), text);
  const width = await chat.page.locator('.question img').evaluate(async (image) => {
    await image.decode();
    return image.naturalWidth;
  });
  assert.equal(width, 64);
});

test('history: search, rename, delete, export and import', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await chat.ask('Tell me about herons');
  await page.keyboard.press('Control+Shift+N');
  await page.locator('.welcome').waitFor();
  await chat.drop([picture('owl.png')]);
  await page.locator('.composer .thumbnail').waitFor();
  await chat.ask('Tell me about owls');
  const items = page.locator('.history-item');
  await becomes(() => items.count(), 2);

  await page.keyboard.press('Control+K');
  await page.locator('#search:focus').waitFor();
  await page.keyboard.type('heron you');
  await becomes(() => items.count(), 1);
  await page.locator('#search').fill('nothing like it');
  await becomes(page.locator('.history'), /Nothing found/);
  await page.locator('#search').fill('');
  await becomes(() => items.count(), 2);

  await items.first().hover();
  await chat.button('Rename: Tell me about owls').click();
  await page.locator('.rename:focus').waitFor();
  await page.keyboard.press('Control+A');
  await page.keyboard.type('Owls');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Owls', exact: true }).waitFor();

  const [download] = await Promise.all([
    page.waitForEvent('download'),
    chat.button('Export all conversations').click(),
  ]);
  const path = await download.path();
  await chat.button('Delete all conversations').click();
  await chat.button('Delete', page.locator('dialog')).click();
  await page.getByText('Conversations will appear here').waitFor();

  await page.locator('input[accept*="json"]').setInputFiles(path);
  await page.getByText('Imported conversations: 2').waitFor();
  await page.getByRole('button', { name: 'Owls', exact: true }).click();
  await becomes(() => chat.lastAnswer(), /about owls/);
  assert.equal(
    await page
      .locator('.question img')
      .evaluate(async (image) => (await image.decode(), image.naturalWidth)),
    64,
  );

  await page.locator('input[accept*="json"]').setInputFiles({
    name: 'x.json',
    mimeType: 'application/json',
    buffer: Buffer.from('{"format":1}'),
  });
  await page.getByText('This file cannot be imported. /format').waitFor();
});

test('settings reach the request', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await page.keyboard.press('Control+.');
  await page.getByLabel('System prompt').fill('Answer in verse.');
  await page.getByRole('spinbutton', { name: 'Temperature' }).fill('0.3');
  await page.getByRole('spinbutton', { name: 'Seed' }).fill('42');
  await page.getByRole('spinbutton', { name: 'Top p' }).fill('7');
  await page.getByText('Between 0.01 and 1.').waitFor();
  await chat.button('JSON').click();
  await chat.ask('Say hello');
  const body = fakeState().requests.at(-1);
  assert.deepEqual(body.messages[0], { role: 'system', content: 'Answer in verse.' });
  assert.equal(body.temperature, 0.3);
  assert.equal(body.seed, 42);
  assert.ok(!('top_p' in body));
  assert.deepEqual(body.response_format, { type: 'json_object' });
  await chat.button('Reset').click();
  await chat.button('Text').click();
  await chat.ask('Again');
  assert.ok(!('temperature' in fakeState().requests.at(-1)));
});
