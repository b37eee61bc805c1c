// What the page has beyond a chat: comparison, regions, detail and order of pictures, probabilities,
// checked JSON, sharing.
import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  becomes,
  eventually,
  fakeState,
  onlyFake,
  openPage,
  picture,
  useBrowser,
} from './driver.mjs';

useBrowser();

/// Name and width of the pictures in the question, in their order.
const sizes = (chat) =>
  chat.page
    .locator('.composer .thumbnail img')
    .evaluateAll((images) =>
      images.map((image) => [image.alt, Number(image.getAttribute('width'))]),
    );
const names = async (chat) => (await sizes(chat)).map(([name]) => name);

test('two settings answer side by side, and one goes on', { skip: onlyFake }, async () => {
  const chat = await openPage({ viewport: { width: 1440, height: 900 } });
  const { page } = chat;
  await chat.settings(async (panel) => {
    await panel.getByRole('spinbutton', { name: 'Temperature', exact: true }).fill('0');
    await panel.getByLabel('Answer each question with a second setting too').check();
    await panel.getByRole('spinbutton', { name: 'Temperature B' }).fill('1.2');
    await panel.getByLabel('System prompt of B').fill('Answer in verse.');
    await chat.shot('compare-settings');
    assert.deepEqual(await chat.seriousFindings(), []);
  });
  await becomes(page.locator('.chips'), /Compare/);
  await chat.ask('Tell me about herons');
  await becomes(() => chat.answers.count(), 2);
  const [a, b] = fakeState().requests.slice(-2);
  assert.deepEqual([a.temperature, b.temperature].sort(), [0, 1.2]);
  const second = a.temperature === 1.2 ? a : b;
  assert.deepEqual(second.messages[0], { role: 'system', content: 'Answer in verse.' });
  const heads = page.locator('.pair-head');
  await becomes(heads.nth(0), /A\s+Temperature 0\s*$/);
  await becomes(heads.nth(1), /B\s+Temperature 1\.2 · own system prompt\s+Go on with this one/);
  const [left, right] = await chat.answers.evaluateAll((all) =>
    all.map((one) => one.getBoundingClientRect().toJSON()),
  );
  assert.ok(left.right <= right.left && left.top === right.top, 'side by side');
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.shot('compare');

  const chosen = await chat.answers.nth(1).locator('.markdown').innerText();
  await chat.button('Go on with this one').click();
  await chat.settings((panel) =>
    panel.getByLabel('Answer each question with a second setting too').uncheck(),
  );
  await chat.ask('And owls?');
  assert.equal(fakeState().requests.at(-1).messages.at(-2).content, chosen);
  await becomes(() => chat.answers.count(), 3);
  await chat.reload({ answers: 3 });
  await chat.answers.nth(2).waitFor();
  await becomes(() => page.locator('.pair .answer').count(), 2);
  assert.equal(await page.locator('.pair .siblings').count(), 0);
});

test('both answers of a comparison stop, and each can fail alone', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await chat.settings((panel) =>
    panel.getByLabel('Answer each question with a second setting too').check(),
  );
  await chat.ask('Tell me a long story', { wait: false });
  const bothWrite = async () => {
    for (const answer of [chat.answers.first(), chat.answers.last()])
      await answer.getByText('word5').first().waitFor();
  };
  await bothWrite();
  await chat.page.keyboard.press('Escape');
  await chat.finished();
  await becomes(() => chat.page.getByText('You stopped this answer').count(), 2);
  await chat.begins(() => chat.button('Answer again', chat.answers.first()).click());
  await bothWrite();
  await chat.button('Stop').click();
  await chat.finished();
  const siblings = chat.page.locator('.pair .siblings');
  await becomes(siblings, /2 \/ 2/);
  await chat.button('Previous version', chat.answers.first()).click();
  await becomes(siblings, /1 \/ 2/);
  await becomes(() => chat.answers.count(), 2);
});

test('pictures have an order and a detail of their own', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await chat.drop([
    picture('one.png', 1600, 20),
    picture('two.png', 64, 48, [20, 90, 200]),
    picture('three.png', 40, 40, [30, 160, 60]),
  ]);
  await becomes(() => names(chat), ['one.png', 'two.png', 'three.png']);
  const numbers = page.locator('.composer .thumbnail-number');
  await becomes(() => numbers.allInnerTexts(), ['1', '2', '3']);
  await page.locator('.composer .thumbnail-open').first().focus();
  // What has moved has the focus again, for the next key.
  const focused = () =>
    page.evaluate(() => document.activeElement.querySelector('img')?.alt ?? 'no picture');
  await page.keyboard.press('Alt+ArrowRight');
  await becomes(() => names(chat), ['two.png', 'one.png', 'three.png']);
  await becomes(focused, 'one.png');
  await page.keyboard.press('Alt+ArrowRight');
  await becomes(() => names(chat), ['two.png', 'three.png', 'one.png']);
  await becomes(focused, 'one.png');
  await page.keyboard.press('Alt+ArrowRight'); // it is the last already
  await chat.settled();
  assert.deepEqual(await names(chat), ['two.png', 'three.png', 'one.png']);
  await page
    .locator('.composer .thumbnail')
    .nth(2)
    .dragTo(page.locator('.composer .thumbnail').first());
  await becomes(() => names(chat), ['one.png', 'two.png', 'three.png']);
  await becomes(() => page.locator('.drop-target').count(), 0);

  await page.locator('.composer .thumbnail-open').first().click();
  const viewer = page.locator('dialog.viewer');
  await viewer.getByRole('combobox', { name: 'Detail' }).selectOption('560 px');
  await viewer.getByText('one.png, 560 × 7').waitFor();
  await chat.button('Later in the order', viewer).click();
  await becomes(viewer, /2 \/ 3/);
  await viewer.getByAltText('one.png').waitFor();
  assert.deepEqual(await chat.seriousFindings(), []);
  await page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'detached' });
  await becomes(
    () => sizes(chat),
    [
      ['two.png', 64],
      ['one.png', 560],
      ['three.png', 40],
    ],
  );
  // The original is still known: more detail comes back.
  await page.locator('.composer .thumbnail-open').nth(1).click();
  await viewer.getByRole('combobox', { name: 'Detail' }).selectOption('1120 px');
  await viewer.getByText('one.png, 1120 × 14').waitFor();
  await page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'detached' });
  await chat.shot('pictures');

  await chat.settings((panel) => panel.getByRole('button', { name: '560 px' }).click());
  await chat.drop([picture('four.png', 1000, 10)]);
  await becomes(async () => (await sizes(chat))[3], ['four.png', 560]);
  await chat.ask('What are these?');
  const { content } = fakeState().requests.at(-1).messages[0];
  assert.equal(content.length, 5);
  const width = (part) => Buffer.from(part.image_url.url.split(',')[1], 'base64').readUInt32BE(16);
  assert.deepEqual(content.slice(0, 4).map(width), [64, 1120, 40, 560]);
});

test('a region is drawn and quoted', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await chat.drop([picture('map.png', 800, 600, [90, 140, 120], [200, 180, 120])]);
  await page.locator('.composer .thumbnail').waitFor();
  await page.locator('.thumbnail-open').click();
  await chat.button('Mark a region').click();
  const box = await chat.box(page.locator('.region-layer'));
  const at = (x, y) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(0.75, 0.5));
  await page.mouse.down();
  await page.mouse.move(...at(0.5, 0.4));
  await page.mouse.move(...at(0.25, 0.1));
  await page.mouse.up();
  const output = page.locator('.viewer-region');
  await eventually(async () => {
    const corners = JSON.parse((await output.innerText()).replace(/\b0+(?=\d)/g, ''))[0];
    [250, 100, 750, 500].forEach((wanted, i) =>
      assert.ok(Math.abs(corners[i] - wanted) <= 3, `${corners}`),
    );
  });
  await chat.shot('region');
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.button('px').click();
  await becomes(output, /^\[\d+, \d+, \d+, \d+\] px$/);
  await chat.button('0–999').click();
  await output.getByText('[[').waitFor();
  const shown = await output.innerText();
  await chat.button('Quote in the question').click();
  await page.locator('dialog.viewer').waitFor({ state: 'detached' });
  await page.waitForFunction(
    (wanted) => document.activeElement.id === 'question' && document.activeElement.value === wanted,
    `${shown} `,
  );
  await page.keyboard.type('What is here?');
  await chat.answered(() => page.keyboard.press('Enter'));
  assert.match(
    fakeState().requests.at(-1).messages[0].content[1].text,
    /^\[\[\d{3},\d{3},\d{3},\d{3}\]\] What is here\?$/,
  );

  // By keyboard alone, of a picture that was sent, with another one in the question.
  await chat.drop([picture('next.png')]);
  await page.locator('.composer .thumbnail').waitFor();
  await page.locator('.question .thumbnail-open').focus();
  await page.keyboard.press('Enter');
  await page.locator('dialog.viewer').waitFor();
  await page.keyboard.press('r');
  await page.locator('.region-layer:focus').waitFor();
  await page.keyboard.press('ArrowRight');
  await output.getByText('[[300,300,700,700]]').waitFor();
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Shift+ArrowDown');
  await output.getByText('[[290,300,690,710]]').waitFor();
  await page.keyboard.press('Escape');
  await chat.button('Mark a region').waitFor();
  await page.keyboard.press('r');
  await page.locator('.region-layer:focus').waitFor();
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.waitForFunction(
    () => document.querySelector('#question').value === 'in picture 1: [[300,300,700,700]] ',
  );
});

test('an answer shows how sure the model was', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  await chat.settings((panel) => panel.getByLabel('Ask for probabilities').check());
  await chat.ask('how sure are you?');
  const body = fakeState().requests.at(-1);
  assert.deepEqual([body.logprobs, body.top_logprobs], [true, 5]);
  const plain = await chat.lastAnswer();
  await chat.button('Probabilities of the tokens', chat.answers.last()).click();
  const list = page.getByRole('listbox', { name: 'Probabilities of the tokens' });
  // The pointer would choose the token that happens to appear below it.
  await page.mouse.move(0, 0);
  const words = (text) => text.replace('↵', '').replace(/\s+/g, ' ').trim();
  await becomes(async () => words(await list.innerText()), words(plain));
  assert.ok((await page.locator('.token.doubt-0').count()) > 0);
  assert.ok((await page.locator('.token.doubt-5').count()) > 0);
  await list.focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await becomes(page.locator('.token[aria-selected="true"]'), /^ light$/);
  const choices = page.locator('.token-choices');
  await becomes(choices, /␣light\s+100 %/);
  await page.keyboard.press('ArrowRight');
  await becomes(choices, /house\s+10 %/);
  await chat.shot('probabilities');
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.reload({ answers: 1 });
  await chat.button('Probabilities of the tokens', chat.answers.last()).click();
  await list.waitFor();
});

test('JSON answers are checked against their schema', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const { page } = chat;
  const item = {
    type: 'object',
    properties: { name: { type: 'string' }, count: { type: 'integer', minimum: 1 } },
    required: ['name', 'count'],
  };
  const schema = { type: 'object', properties: { objects: { type: 'array', items: item } } };
  await chat.settings(async (panel) => {
    await panel.getByRole('button', { name: 'JSON schema' }).click();
    await panel.getByRole('textbox', { name: 'JSON schema' }).fill(JSON.stringify(schema));
  });
  await becomes(page.locator('.chips'), /JSON schema/);
  await chat.ask('List it as JSON');
  await page.locator('.verdict.good').getByText('Valid against the schema').waitFor();
  assert.deepEqual(fakeState().requests.at(-1).response_format.json_schema.schema, schema);
  await chat.ask('Give me the wrong JSON');
  const bad = page.locator('.verdict.bad');
  await becomes(bad, /Does not match the schema\s+\/objects\/0\/count minimum: 1/);
  await chat.shot('json');
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.ask('Give me half of the JSON');
  await becomes(bad.nth(1), /Not JSON/);
  await chat.reload({ answers: 3 });
  await page.locator('.verdict.good').waitFor();
});

test('a conversation is shared as a page and as Markdown', { skip: onlyFake }, async () => {
  const chat = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
  const { page } = chat;
  await chat.drop([picture('shore.png')]);
  await page.locator('.composer .thumbnail').waitFor();
  await chat.ask('<b>What</b> is at the lighthouse?');
  await chat.ask('Be hostile');
  const dialog = page.getByRole('dialog');
  const open = async () => {
    await page.locator('.top-bar').getByRole('button', { name: 'Share or export' }).click();
    await dialog.waitFor();
  };
  const save = async () => {
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      chat.button('Save the file').click(),
    ]);
    await dialog.waitFor({ state: 'detached' });
    return file;
  };
  await open();
  await chat.shot('share');
  assert.deepEqual(await chat.seriousFindings(), []);
  const html = await save();
  assert.match(html.suggestedFilename(), /^b-what-b-is-at-the-lighthouse-\d{4}-\d\d-\d\d\.html$/);

  const file = await chat.context.newPage();
  const loaded = [];
  file.on('request', (request) => loaded.push(request.url()));
  const path = join(await mkdtemp(join(tmpdir(), 'cardloom-')), 'shared.html');
  await html.saveAs(path);
  await file.goto(pathToFileURL(path).href);
  assert.equal(await file.locator('article').count(), 4);
  assert.equal(
    await file.locator('.question').first().locator('p').innerText(),
    '<b>What</b> is at the lighthouse?',
  );
  assert.equal(
    await file.locator('img').evaluate(async (image) => (await image.decode(), image.naturalWidth)),
    64,
  );
  assert.ok((await file.locator('math').count()) >= 3, 'formulae as MathML');
  assert.ok((await file.locator('.hljs-keyword').count()) > 0, 'coloured code');
  assert.equal(await file.locator('script, iframe, form, input, [onerror], [onload]').count(), 0);
  assert.equal(await file.evaluate(() => window.pwned), undefined);
  assert.deepEqual(
    loaded.filter((url) => !/^(?:file|data):/.test(url)),
    [],
    'nothing is loaded',
  );
  if (process.env.CARDLOOM_SCREENSHOTS)
    await file.screenshot({
      path: `${process.env.CARDLOOM_SCREENSHOTS}/shared.png`,
      fullPage: true,
    });
  await file.close();

  await open();
  await chat.button('Markdown').click();
  await page.getByLabel('With the pictures').uncheck();
  const markdown = await readFile(await (await save()).path(), 'utf8');
  assert.match(
    markdown,
    /^# <b>What<\/b> is at the lighthouse\?\n\n## You\n\n\*picture left out: shore\.png\*\n\n<b>What/,
  );
  assert.match(markdown, /## The model\n\n## A lighthouse at dusk[\s\S]*```python\nimport math/);
  await open();
  await chat.button('Markdown').click();
  await chat.button('Copy', dialog).click();
  await page.locator('.toast').getByText('Copied').waitFor();
  await dialog.waitFor({ state: 'detached' });
  assert.match(
    await page.evaluate(() => navigator.clipboard.readText()),
    /!\[shore\.png\]\(data:image\/png;base64,iVBOR/,
  );
  await open();
  await chat.button('JSON').click();
  assert.match(
    JSON.parse(await readFile(await (await save()).path(), 'utf8')).format,
    /cardloom-conversations/,
  );
});

test('a long question is folded', { skip: onlyFake }, async () => {
  const chat = await openPage();
  const long = Array.from({ length: 4000 }, (_, i) => `line ${i}: how sure?`).join('\n');
  // As a paste does; Playwright's fill() types the lines one after the other.
  await chat.question.evaluate((area, text) => {
    area.value = text;
    area.dispatchEvent(new Event('input', { bubbles: true }));
  }, long);
  // The field wants all the room there is.
  await chat.page.waitForFunction(
    () => parseFloat(document.querySelector('#question').style.height) > 10_000,
  );
  const height = async (place) => (await place.boundingBox()).height;
  assert.ok((await height(chat.page.locator('.composer'))) < 500, 'the composer stays small');
  await chat.answered(() => chat.question.press('Enter'));
  const bubble = chat.page.locator('.bubble');
  assert.ok((await height(bubble)) < 400);
  assert.equal(fakeState().requests.at(-1).messages[0].content, long);
  await chat.button('Show all').click();
  await eventually(async () => assert.ok((await height(bubble)) > 10_000));
  await chat.button('Show less').click();
  await eventually(async () => assert.ok((await height(bubble)) < 400));
});

for (const [name, options] of [
  ['a phone', { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }],
  [
    'a dark Chinese phone',
    { viewport: { width: 360, height: 740 }, colorScheme: 'dark', locale: 'zh-CN' },
  ],
]) {
  test(`all of it on ${name}`, { skip: onlyFake }, async () => {
    const chat = await openPage(options);
    const { page } = chat;
    await page.evaluate(() =>
      localStorage.setItem(
        'cardloom.settings',
        JSON.stringify({
          logprobs: true,
          compare: { on: true, sampling: { temperature: 1.2, top_p: 0.9 } },
        }),
      ),
    );
    await page.reload();
    await chat.ready();
    await chat.drop([picture('one.png', 400, 300), picture('two.png', 300, 400, [20, 90, 200])]);
    await page.locator('.composer .thumbnail').nth(1).waitFor();
    await page.locator('.thumbnail-open').first().click();
    const viewer = page.locator('dialog.viewer');
    await viewer.getByAltText('one.png').waitFor();
    assert.ok(await chat.fits(), 'viewer');
    await viewer.locator('.viewer-tool').click();
    await page.locator('.region-layer').press('ArrowUp');
    await page.locator('.region-box').waitFor();
    assert.ok(await chat.fits(), 'region');
    await chat.shot(`phone-region-${options.locale ?? 'en'}`);
    assert.deepEqual(await chat.seriousFindings(), []);
    await page.keyboard.press('Escape');
    await page.locator('.region-layer').waitFor({ state: 'detached' });
    await page.keyboard.press('Escape');
    await viewer.waitFor({ state: 'detached' });
    await chat.shot(`phone-composer-${options.locale ?? 'en'}`);
    await chat.ask('how sure are you?');
    await page.locator('.answer').first().locator('.message-actions [aria-pressed]').click();
    await page.locator('.token-map').waitFor();
    assert.ok(await chat.fits(), 'comparison and probabilities');
    await page.locator('.messages').evaluate((box) => (box.scrollTop = 260));
    await chat.shot(`phone-compare-${options.locale ?? 'en'}`);
    assert.deepEqual(await chat.seriousFindings(), []);
  });
}
