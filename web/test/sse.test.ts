import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEvents, SseParser, type SseEvent } from '../src/api/sse.ts';

const stream =
  '\ufeff: a comment\r\n\r\n' +
  'data: {"a":1}\n\n' +
  'event: step\rdata: first\rdata: second\r\r' +
  ': ping\n\n' +
  'event: nothing\n\n' +
  'data\n\n' +
  'data:no space\r\ndata:  two spaces\r\n\r\n' +
  'data: 图片 🖼️ 说明\n\nid: 7\nretry: 10\ndata: [DONE]\n\n' +
  'data: unfinished';

const expected: SseEvent[] = [
  { event: 'message', data: '{"a":1}' },
  { event: 'step', data: 'first\nsecond' },
  { event: 'message', data: '' },
  { event: 'message', data: 'no space\n two spaces' },
  { event: 'message', data: '图片 🖼️ 说明' },
  { event: 'message', data: '[DONE]' },
];

test('a stream in one piece', () => {
  assert.deepEqual(new SseParser().push(stream), expected);
});

test('a stream cut once, at every place', () => {
  for (let cut = 0; cut <= stream.length; ++cut) {
    const parser = new SseParser();
    const events = [...parser.push(stream.slice(0, cut)), ...parser.push(stream.slice(cut))];
    assert.deepEqual(events, expected, `cut at ${cut}`);
  }
});

test('a stream letter by letter', () => {
  const parser = new SseParser();
  assert.deepEqual(
    [...stream].flatMap((letter) => parser.push(letter)),
    expected,
  );
});

test('bytes of any size, also inside a letter', async () => {
  const bytes = new TextEncoder().encode(stream);
  for (const size of [1, 2, 3, 7, 64, bytes.length]) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size)
          controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const events: SseEvent[] = [];
    for await (const event of readEvents(body)) events.push(event);
    assert.deepEqual(events, expected, `pieces of ${size}`);
  }
});

test('leaving early cancels the body', async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode('data: more\n\n'));
    },
    cancel() {
      cancelled = true;
    },
  });
  for await (const event of readEvents(body)) {
    assert.equal(event.data, 'more');
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.ok(cancelled);
});
