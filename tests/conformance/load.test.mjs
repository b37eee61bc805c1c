// Many at once, too many, and those who leave: what must hold, not how fast it is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connectTo, dataUrl, endless, eventually, metric, post, slowly, startServer, truth } from './server.mjs';

let server;
before(async () => { server = await startServer(['--max-running', '32', '--max-queue', '64']); });
after(async () => assert.equal(await server.stop(), 0));

const question = (fields = {}) => ({ temperature: 0, messages: [{ role: 'user', content: [
  { type: 'text', text: 'What is in this picture?' }, { type: 'image_url', image_url: { url: dataUrl('scene-1.jpg') } }] }], ...fields });
const talk = (fields = {}) => ({ messages: [{ role: 'user', content: 'Hello!' }], ignore_eos: true, max_tokens: 40, temperature: 1.2, ...fields });

test('the same seed gives the same bytes alone, among others, and from the cache', async () => {
  const ask = async (seed) => (await post(server, '/v1/chat/completions', talk({ seed }))).json.choices[0].message.content;
  const alone = [];
  for (let seed = 0; seed < 4; ++seed) alone.push(await ask(seed));
  const together = await Promise.all(Array.from({ length: 64 }, (_, index) => ask(index % 4)));
  together.forEach((text, index) => assert.equal(text, alone[index % 4]));
  const [first, second] = [await post(server, '/v1/chat/completions', question()), await post(server, '/v1/chat/completions', question())];
  assert.equal(first.json.choices[0].message.content, truth[0].truth);
  assert.equal(second.json.choices[0].message.content, truth[0].truth);
});

test('beyond the queue there is 429 with Retry-After, and nobody is lost', async () => {
  const replies = await Promise.all(Array.from({ length: 400 }, () => post(server, '/v1/chat/completions', talk())));
  const by = (status) => replies.filter((reply) => reply.status === status);
  assert.equal(by(200).length + by(429).length, 400);
  assert.ok(by(200).length >= 64, `${by(200).length} answered`);
  for (const reply of by(429)) {
    assert.ok(Number(reply.headers.get('retry-after')) >= 1);
    assert.ok(Number(reply.headers.get('retry-after-ms')) > 0);
    assert.equal(reply.json.error.code, 'queue_full');
  }
  for (const reply of by(200)) assert.equal(reply.json.usage.completion_tokens, 40);
});

test('whoever leaves frees what they held', async () => {
  await Promise.all(Array.from({ length: 200 }, async (_, index) => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), (index * 7) % 200);
    try {
      const response = await fetch(`${server.url}/v1/chat/completions`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, signal: abort.signal,
        body: JSON.stringify(talk({ max_tokens: 4000, stream: index % 2 === 0 })) });
      await response.text();
    } catch {
      // left
    }
  }));
  for (const name of ['requests_waiting', 'requests_running', 'kv_cache_usage_ratio']) {
    await eventually(async () => (await metric(server, `cardloom_${name}`)) === 0);
  }
});

test('half-open connections hold nobody up', async () => {
  const sockets = await Promise.all(Array.from({ length: 500 }, async () => {
    const socket = await connectTo(server);
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-');
    return socket;
  }));
  let numOpen = sockets.length;
  sockets.forEach((socket) => socket.on('close', () => { --numOpen; }));
  assert.equal((await fetch(`${server.url}/health/live`)).status, 200);
  assert.ok(numOpen > 0, 'it waited until the server had given all of them up');
  sockets.forEach((socket) => socket.destroy());
});

test('a drain lets answers end, takes no new ones, and exits with 0', async () => {
  const other = await startServer(['--shutdown-timeout', '300']);
  const answer = await fetch(`${other.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify(talk({ max_tokens: 2000, stream: true, stream_options: { include_usage: true } })) });  // its head: it runs
  const ended = other.stop();
  assert.match(await answer.text(), /"completion_tokens":2000,.*data: \[DONE\]\n\n$/s);
  assert.equal(await ended, 0);
});

test('a second signal ends at once', async () => {
  const other = await startServer([...slowly, '--shutdown-timeout', '3600']);
  const answer = post(other, '/v1/chat/completions', endless).catch(() => undefined);
  await eventually(async () => (await metric(other, 'cardloom_requests_running')) > 0);
  other.child.kill('SIGTERM');
  await eventually(() => other.said.some((line) => line.includes('draining')));
  assert.equal(await other.stop(), 0);
  assert.ok(other.said.some((line) => /[1-9] answers were cut off/.test(line)), other.said.join('\n'));
  await answer;
});
