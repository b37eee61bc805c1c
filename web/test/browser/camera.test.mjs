// The camera of a desktop, before Chromium's own: a moving test picture.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { becomes, eventually, fakeState, onlyFake, openPage, useBrowser } from './driver.mjs';

useBrowser({ args: ['--use-fake-device-for-media-stream'] });

const allowed = { permissions: ['camera'] };

/// Opens the dialog; the page's tracks are kept where trackStates() finds them. With `late`, there is
/// no camera before lateCamera().
async function openCamera(chat, { late = false } = {}) {
  await chat.page.evaluate((waits) => {
    const { mediaDevices } = navigator;
    const open = mediaDevices.getUserMedia.bind(mediaDevices);
    const may = waits ? new Promise((resolve) => (window.lateCamera = resolve)) : null;
    window.tracks = [];
    mediaDevices.getUserMedia = async (wanted) => {
      await may;
      const stream = await open(wanted);
      window.tracks.push(...stream.getTracks());
      return stream;
    };
  }, late);
  await chat.button('Camera').click();
  await chat.page.locator('dialog.camera').waitFor();
}

const trackStates = (chat) =>
  chat.page.evaluate(() => window.tracks.map(({ readyState }) => readyState));
const take = (chat) => chat.button('Take the picture');

async function escape(chat) {
  await chat.page.keyboard.press('Escape');
  await chat.page.locator('dialog.camera').waitFor({ state: 'detached' });
}

/// Size and number of colours of what a picture or video shows.
const seenIn = (locator) =>
  locator.evaluate((element) => {
    const width = element.naturalWidth ?? element.videoWidth;
    const height = element.naturalHeight ?? element.videoHeight;
    if (width * height === 0) return { width, height, colours: 0 };
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    context.drawImage(element, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const colours = new Set();
    for (let i = 0; i < data.length; i += 4 * 997)
      colours.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return { width, height, colours: colours.size };
  });
const hasColours = (locator) =>
  eventually(async () => assert.ok((await seenIn(locator)).colours > 2));

test('a picture is taken and sent', { skip: onlyFake }, async () => {
  const chat = await openPage(allowed);
  await openCamera(chat);
  await hasColours(chat.page.locator('.camera video')); // its first images are black
  await take(chat).click();
  const image = chat.page.locator('.composer .thumbnail').getByAltText('camera.jpg');
  await hasColours(image);
  await chat.page.locator('dialog.camera').waitFor({ state: 'detached' });
  await becomes(() => trackStates(chat), ['ended']);
  await chat.ask('What is this?');
  const [sent] = fakeState().requests.at(-1).messages[0].content;
  assert.match(sent.image_url.url, /^data:image\/jpeg;base64,\/9j\//);
});

test(
  'a picture can be taken as soon as the button can be pressed',
  { skip: onlyFake },
  async () => {
    const chat = await openPage(allowed);
    await chat.page.evaluate(() => {
      const observer = new MutationObserver(() => {
        const button = document.querySelector('dialog.camera .button.primary:not(:disabled)');
        if (!button) return;
        observer.disconnect();
        button.click();
      });
      observer.observe(document.body, { subtree: true, childList: true, attributes: true });
    });
    await openCamera(chat);
    const image = chat.page.locator('.composer .thumbnail').getByAltText('camera.jpg');
    await image.waitFor();
    await eventually(async () => {
      const { width, height } = await seenIn(image);
      assert.ok(width >= 640 && height >= 480, `${width} × ${height}`);
    });
    await becomes(() => trackStates(chat), ['ended']);
  },
);

test('Escape closes the dialog and stops the camera', { skip: onlyFake }, async () => {
  const chat = await openPage(allowed);
  await openCamera(chat);
  await eventually(async () => assert.ok(await take(chat).isEnabled()));
  assert.deepEqual(await trackStates(chat), ['live']);
  await chat.shot('camera');
  assert.deepEqual(await chat.seriousFindings(), []);
  await escape(chat);
  await becomes(() => trackStates(chat), ['ended']);
  await becomes(() => chat.page.evaluate(() => document.activeElement.ariaLabel), 'Camera');
  assert.equal(await chat.page.locator('.composer .thumbnail').count(), 0);
});

test('a camera that comes after Escape is stopped', { skip: onlyFake }, async () => {
  const chat = await openPage(allowed);
  await openCamera(chat, { late: true });
  assert.ok(await take(chat).isDisabled());
  await escape(chat);
  assert.deepEqual(await trackStates(chat), []);
  await chat.page.evaluate(() => window.lateCamera());
  await becomes(() => trackStates(chat), ['ended']);
});

test('a camera that is refused is said to be', { skip: onlyFake }, async () => {
  const chat = await openPage();
  await openCamera(chat);
  await chat.page
    .locator('dialog.camera')
    .getByText('The camera cannot be used: it is missing or was refused.')
    .waitFor();
  assert.ok(await take(chat).isDisabled());
  assert.deepEqual(await chat.seriousFindings(), []);
  await chat.shot('camera-refused');
  await escape(chat);
});
