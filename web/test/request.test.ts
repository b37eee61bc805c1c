import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { chatBody, streamChat, type ChatEvent } from '../src/api/chat.ts';
import { ApiError } from '../src/api/client.ts';
import { isSendable } from '../src/api/key.ts';
import { exifOrientation } from '../src/chat/exif.ts';
import { acceptSettings, kNoSettings, readNumber, samplingFields } from '../src/chat/settings.ts';
import { headingOf } from '../src/ui/error_heading.ts';
import { isSendKey, shortcutOf } from '../src/ui/keys.ts';

const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

test('what is left empty is not sent', () => {
  const body = chatBody([{ role: 'user', content: 'hi' }], kNoSettings, false) as any;
  assert.deepEqual(Object.keys(body).sort(), [
    'messages',
    'return_progress',
    'stream',
    'stream_options',
  ]);
});

test('sampling, format and continuation', () => {
  const settings = {
    ...kNoSettings,
    sampling: { temperature: 0, seed: 7 },
    format: 'json_schema' as const,
    schema: '{"type":"object"}',
  };
  const body = chatBody([], settings, true) as any;
  assert.equal(body.temperature, 0);
  assert.equal(body.seed, 7);
  assert.equal(body.continue_final_message, true);
  assert.equal(body.add_generation_prompt, false);
  assert.deepEqual(body.response_format.json_schema.schema, { type: 'object' });
  assert.throws(() => chatBody([], { ...settings, schema: '{' }, false), SyntaxError);
});

test('probabilities are asked for, and come', async () => {
  const body = chatBody([], { ...kNoSettings, logprobs: true }, false) as any;
  assert.deepEqual([body.logprobs, body.top_logprobs], [true, 5]);
  const token = { token: 'a', logprob: -1, bytes: [97], top_logprobs: [] };
  const choice = { delta: { content: '' }, logprobs: { content: [token] } };
  answerWith(
    `data: ${JSON.stringify({ choices: [choice] })}\n\ndata: {"choices":[{"finish_reason":"stop"}]}\n\n`,
  );
  const events = await collect();
  assert.deepEqual(events[1], { kind: 'tokens', tokens: [token] });
});

test('settings out of anything', () => {
  assert.deepEqual(acceptSettings(null), kNoSettings);
  assert.deepEqual(acceptSettings('x'), kNoSettings);
  const found = {
    sampling: { temperature: 9, top_p: 0.5, top_k: 1.5, seed: '1', evil: 3 },
    format: 'xml',
    system: 4,
    logprobs: 1,
    detail: 'huge',
    compare: { on: 'yes', sampling: { temperature: -1, seed: 3 }, system: null },
  };
  assert.deepEqual(acceptSettings(found), {
    ...kNoSettings,
    sampling: { top_p: 0.5 },
    compare: { on: false, sampling: { seed: 3 }, system: '' },
  });
  const all = {
    ...kNoSettings,
    logprobs: true,
    detail: 'medium' as const,
    compare: { on: true, sampling: { temperature: 0 }, system: 'x' },
  };
  assert.deepEqual(acceptSettings(JSON.parse(JSON.stringify(all))), all);
  assert.equal(acceptSettings({ shrink: true }).detail, 'large'); // as it was called before
  assert.equal(new Set(samplingFields.map((field) => field.name)).size, samplingFields.length);
});

function answerWith(body: string, init: ResponseInit = {}) {
  globalThis.fetch = async () =>
    new Response(body, { headers: { 'x-request-id': 'req-1' }, ...init });
}

async function collect(): Promise<ChatEvent[]> {
  const events: ChatEvent[] = [];
  for await (const event of streamChat({}, new AbortController().signal)) events.push(event);
  return events;
}

test('a whole answer', async () => {
  answerWith(
    'data: {"choices":[],"prompt_progress":{"images_done":1,"images":1,"tokens_done":5,"tokens":9}}\n\n: ping\n\n' +
      'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}\n\n' +
      'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n' +
      'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}\n\ndata: [DONE]\n\n',
  );
  const events = await collect();
  assert.deepEqual(
    events.map((event) => event.kind),
    ['open', 'progress', 'text', 'finish', 'usage'],
  );
});

async function failureOf() {
  const events: ChatEvent[] = [];
  try {
    for await (const event of streamChat({}, new AbortController().signal)) events.push(event);
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return { events, failure: error.failure };
  }
  throw new Error('expected a failure');
}

test('an error status', async () => {
  const error = {
    message: 'The queue is full.',
    type: 'overloaded',
    param: 'messages',
    code: 'queue_full',
  };
  answerWith(JSON.stringify({ error }), {
    status: 429,
    headers: { 'x-request-id': 'req-2', 'retry-after': '2', 'retry-after-ms': '1500' },
  });
  const { failure } = await failureOf();
  assert.deepEqual(failure, {
    ...{
      kind: 'http',
      status: 429,
      message: 'The queue is full.',
      type: 'overloaded',
      code: 'queue_full',
    },
    ...{ param: 'messages', requestId: 'req-2', retryAfterMs: 1500 },
  });
});

test('an error that is not ours', async () => {
  answerWith('<h1>Bad gateway</h1>', { status: 502, headers: {} });
  assert.deepEqual((await failureOf()).failure, {
    kind: 'http',
    status: 502,
    message: '<h1>Bad gateway</h1>',
  });
});

test('an error after the 200', async () => {
  answerWith(
    'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: {"error":{"message":"rank 1 died","code":"internal_error"}}\n\n',
  );
  const { events, failure } = await failureOf();
  assert.equal(events.at(-1)?.kind, 'text');
  assert.deepEqual(failure, {
    kind: 'stream',
    message: 'rank 1 died',
    code: 'internal_error',
    requestId: 'req-1',
  });
});

test('a stream that just ends, and one that is no JSON', async () => {
  answerWith('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
  assert.equal((await failureOf()).failure.kind, 'cut');
  answerWith('data: what\n\n');
  assert.equal((await failureOf()).failure.kind, 'stream');
});

test('no server at all', async () => {
  globalThis.fetch = async () => Promise.reject(new TypeError('fetch failed'));
  assert.equal((await failureOf()).failure.kind, 'network');
});

function jpegWith(orientation: number, little: boolean): Uint8Array {
  const number = (value: number, size: number) => {
    const bytes = Array.from({ length: size }, (_, i) => (value >> (8 * (size - 1 - i))) & 255);
    return little ? bytes.reverse() : bytes;
  };
  const order = little ? [0x49, 0x49] : [0x4d, 0x4d];
  const entry = [
    ...number(274, 2),
    ...number(3, 2),
    ...number(1, 4),
    ...number(orientation, 2),
    0,
    0,
  ];
  const tiff = [
    ...order,
    ...number(42, 2),
    ...number(8, 4),
    ...number(1, 2),
    ...entry,
    ...number(0, 4),
  ];
  const exif = [0x45, 0x78, 0x69, 0x66, 0, 0, ...tiff];
  return Uint8Array.from([
    0xff,
    0xd8,
    0xff,
    0xe0,
    0,
    4,
    1,
    2,
    0xff,
    0xe1,
    0,
    exif.length + 2,
    ...exif,
    0xff,
    0xda,
    0,
    2,
  ]);
}

test('EXIF orientations', () => {
  for (const little of [true, false]) {
    for (let orientation = 1; orientation <= 8; ++orientation) {
      assert.equal(exifOrientation(jpegWith(orientation, little)), orientation);
    }
    assert.equal(exifOrientation(jpegWith(9, little)), 1);
  }
  assert.equal(exifOrientation(new Uint8Array()), 1);
  const whole = jpegWith(6, true);
  for (let length = 0; length < whole.length; ++length) exifOrientation(whole.slice(0, length)); // never throws
});

test('a number is read as it is typed, letter by letter', () => {
  const field = (name: string) => samplingFields.find((one) => one.name === name)!;
  const typed = (name: string, text: string) =>
    [...text].map((_, i) => readNumber(field(name), text.slice(0, i + 1)).value);
  assert.deepEqual(typed('top_p', '0.05'), [undefined, undefined, undefined, 0.05]);
  assert.deepEqual(typed('repetition_penalty', '1.05'), [1, 1, 1, 1.05]);
  assert.deepEqual(typed('presence_penalty', '-0.5'), [undefined, -0, -0, -0.5]);
  assert.deepEqual(readNumber(field('top_p'), '5'), { value: undefined, wrong: true });
  assert.deepEqual(readNumber(field('top_k'), '1.5'), { value: undefined, wrong: true });
  assert.deepEqual(readNumber(field('top_k'), ' '), { value: undefined, wrong: false });
});

test('a stream that breaks off is cut, whatever the browser says of it', async () => {
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(
        new TextEncoder().encode('data: {"choices":[{"delta":{"content":"It"}}]}\n\n'),
      );
    },
    pull(controller) {
      controller.error(new TypeError('network error'));
    },
  });
  globalThis.fetch = async () => new Response(body, { headers: { 'x-request-id': 'req-1' } });
  await assert.rejects(collect(), (error) => {
    assert.ok(error instanceof ApiError);
    assert.deepEqual(error.failure, { kind: 'cut', message: '', requestId: 'req-1' });
    return true;
  });
});

test('an error that is only a text is told', async () => {
  globalThis.fetch = async () => new Response('{"error":"no upstream"}', { status: 502 });
  await assert.rejects(
    collect(),
    (error) => error instanceof ApiError && error.failure.message === 'no upstream',
  );
});

test('a key that no header can hold is not sent', () => {
  assert.ok(isSendable('sk-1234_ABC.~') && isSendable(''));
  for (const key of ['密钥', 'two words', 'line\nbreak', 'é']) assert.ok(!isSendable(key), key);
});

const key = (fields: Partial<KeyboardEvent>) => fields as KeyboardEvent;

test('keys: an input method and AltGr are left alone', () => {
  assert.ok(isSendKey(key({ key: 'Enter' })));
  assert.ok(!isSendKey(key({ key: 'Enter', shiftKey: true })));
  assert.ok(!isSendKey(key({ key: 'Enter', isComposing: true })));
  assert.ok(!isSendKey(key({ key: 'Enter', keyCode: 229 })));
  assert.equal(shortcutOf(key({ key: 'k', ctrlKey: true })), 'k');
  assert.equal(shortcutOf(key({ key: 'K', metaKey: true })), 'k');
  assert.equal(shortcutOf(key({ key: 'N', ctrlKey: true, shiftKey: true })), '+n');
  assert.equal(shortcutOf(key({ key: '/', ctrlKey: true, altKey: true })), null);
  assert.equal(shortcutOf(key({ key: 'b' })), null);
  assert.equal(shortcutOf(key({ key: 'b', ctrlKey: true, isComposing: true })), null);
});

test('what went wrong is told in words', () => {
  const http = (status: number, code = '') =>
    headingOf({ kind: 'http', message: '', status, ...(code ? { code } : {}) });
  assert.equal(http(401), 'errorKey');
  assert.equal(http(429, 'queue_full'), 'errorFull');
  assert.equal(http(400, 'context_length_exceeded'), 'errorContext');
  assert.equal(http(400, 'unsupported_image'), 'errorPicture');
  assert.equal(http(400, 'invalid_image_url'), 'errorPicture');
  assert.equal(http(413), 'errorTooLarge');
  assert.equal(http(422), 'errorRefused');
  assert.equal(http(500), 'errorServer');
  assert.equal(headingOf({ kind: 'stream', message: '' }), 'errorServer');
  assert.equal(headingOf({ kind: 'cut', message: '' }), 'errorCut');
  assert.equal(headingOf({ kind: 'network', message: '' }), 'errorNetwork');
});
