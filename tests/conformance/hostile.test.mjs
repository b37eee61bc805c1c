// Attacks that need a server of their own kind: with keys, with a media folder, with fetching on; and
// on the processes that decode pictures.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectTo, dataUrl, eventually, metric, post, raw, startServer, truth } from './server.mjs';

const user = (content) => [{ role: 'user', content }];
const picture = (url) => ({ type: 'image_url', image_url: { url } });
const ask = (server, urls, fields = {}) => post(server, '/v1/chat/completions', { temperature: 0, ...fields,
  messages: user([{ type: 'text', text: 'What is in this picture?' }, ...urls.map(picture)]) });

async function withServer(args, env, use) {
  const server = await startServer(args, env);
  try {
    await use(server);
  } finally {
    assert.equal(await server.stop(), 0);
  }
  return server;
}

/// The processes that `pid` started.
const childrenOf = (pid) => readdirSync('/proc').filter((entry) => {
  try {
    return /^\d+$/.test(entry) && readFileSync(`/proc/${entry}/status`, 'utf8').includes(`\nPPid:\t${pid}\n`);
  } catch {
    return false;  // it ended meanwhile
  }
}).map(Number);

test('without a key nothing but the page and /health/live answers, and no key, prompt or path is ever said', async () => {
  const key = 'sk-hostile-1234567890';
  const prompt = 'a prompt that nobody else may read';
  const server = await withServer([], { CARDLOOM_API_KEYS: key }, async (it) => {
    const paths = ['/v1/models', '/v1/models/glm-4v-nano', '/v1/cards/events', '/health', '/health/ready', '/metrics',
      '/version', '/props', '/docs', '/openapi.json', '/invocations', '/pooling', '/score', '/pause', '/ping', '/load',
      '/v1/embeddings', '/%2e', '//', '//metrics', '/metrics/', '/metrics%20', '/METRICS', '/./metrics', '/health/live/',
      '/index.html/../metrics', '/health/live%2f..%2fmetrics', '/metrics;x', '/metrics%3f'];
    const wrong = [{}, { authorization: `Bearer ${key}x` }, { authorization: `Bearer ${key.slice(0, -1)}` },
      { authorization: `Basic ${key}` }, { authorization: key }, { authorization: 'Bearer ' }, { 'x-api-key': '' },
      { 'x-api-key': key.toUpperCase() }, { 'x-forwarded-for': '127.0.0.1', 'x-original-url': '/health/live' }];
    for (const headers of wrong) {
      for (const path of paths) {
        const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
        for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT']) {
          if (method !== 'GET' && headers !== wrong[0]) continue;
          const text = await raw(it, `${method} ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${head}\r\n`);
          assert.match(text, /^HTTP\/1\.1 40[01] /, `${method} ${path} ${head}${text.slice(0, 200)}`);
          assert.doesNotMatch(text, /hostile|cardloom_|glm-4v/, path);
        }
      }
      for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/responses', '/v1/messages', '/v1/messages/count_tokens', '/tokenize', '/detokenize']) {
        const reply = await post(it, path, { messages: user(prompt), max_tokens: 3 }, headers);
        assert.equal(reply.status, 401, path);
        assert.equal(reply.headers.get('www-authenticate'), 'Bearer');
      }
    }
    for (const path of ['/health/live', '/']) assert.equal((await fetch(it.url + path)).status, 200, path);
    const mine = { authorization: `Bearer ${key}` };
    for (const path of ['/metrics', '/props', '/version', '/v1/models']) {
      const reply = await fetch(it.url + path, { headers: mine });
      assert.equal(reply.status, 200, path);
      assert.doesNotMatch(await reply.text(), /hostile-1234/, path);
    }
    assert.equal((await post(it, '/v1/chat/completions', { messages: user(prompt), max_tokens: 3 }, mine)).status, 200);
    const refused = await post(it, '/v1/chat/completions', { messages: user(prompt), temperature: -1 }, mine);
    assert.doesNotMatch(refused.text, /hostile-1234|nobody else/);
    assert.equal((await post(it, '/v1/chat/completions', { messages: user([{ type: 'text', text: prompt }, picture('file:///etc/passwd')]) }, mine)).status, 400);
    await raw(it, `GET /${prompt} HTTP/9.9\r\nauthorization: Bearer ${key}\r\n\r\n`);
  });
  const log = server.said.join('\n');
  assert.doesNotMatch(log, /hostile-1234|nobody else|passwd/, log);
});

test('a request inside another is not answered', async () => {
  await withServer([], { CARDLOOM_API_KEYS: 'sk-outer-key-0001' }, async (server) => {
    const inner = 'GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n';
    const post_ = (head, body) => `POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n${head}\r\n${body}`;
    const cases = [
      // Refused before its body is read: the body must not become the next request.
      post_(`content-length: ${inner.length}\r\n`, inner),
      post_(`transfer-encoding: chunked\r\n`, `${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`),
      post_(`content-length: 200000\r\n`, inner),
      post_(`content-length: 0\r\ntransfer-encoding: chunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`content-length: ${inner.length}\r\ncontent-length: 0\r\n`, inner),
      post_(`transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n`, `0\r\n\r\n${inner}`),
      post_(`transfer-encoding: identity, chunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`transfer-encoding: xchunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`transfer-encoding : chunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`transfer-encoding:\x0bchunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`x: y\ntransfer-encoding: chunked\r\n`, `0\r\n\r\n${inner}`),
      post_(`content-length: +0\r\n`, inner), post_(`content-length: 0x0\r\n`, inner), post_(`content-length: 0, 0\r\n`, inner),
      post_(`transfer-encoding: chunked\r\n`, `10000000000000000\r\n\r\n${inner}`),
      post_(`transfer-encoding: chunked\r\n`, `0;${'x'.repeat(9000)}\r\n\r\n${inner}`),
      `GET /health/live HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
    ];
    for (const bytes of cases) {
      const answers = (await raw(server, bytes)).match(/HTTP\/1\.1 \d+/g);
      assert.equal(answers.length, 1, `${JSON.stringify(bytes.slice(80, 200))}: ${answers}`);
      assert.match(answers[0], / (400|401|413|501)$/, JSON.stringify(bytes.slice(80, 200)));
    }
  });
});

test('no URL leads the server into its own network, nor a file name out of its folder', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'cardloom-hostile-'));
  const media = join(folder, 'media');
  mkdirSync(media);
  writeFileSync(join(folder, 'secret.txt'), 'TOP-SECRET');
  writeFileSync(join(media, 'notes.txt'), 'NOT-A-PICTURE');
  copyFileSync(fileURLToPath(new URL('../../demo/pictures/scene-1.jpg', import.meta.url)), join(media, 'a b.jpg'));
  symlinkSync('../secret.txt', join(media, 'link.jpg'));
  symlinkSync('/etc/passwd', join(media, 'far.jpg'));
  symlinkSync('/', join(media, 'root'));
  let asked = 0;
  const inside = createServer((_, reply) => { ++asked; reply.end('INTERNAL-SECRET'); });
  inside.listen(0, '127.0.0.1').unref();
  await once(inside, 'listening');
  const port = inside.address().port;
  try {
    await withServer(['--media-root', media, '--fetch-images', 'public'], {}, async (server) => {
      assert.equal((await ask(server, ['file:///a%20b.jpg'])).json.choices[0].message.content, truth[0].truth);
      for (const url of [`http://127.0.0.1:${port}/`, `http://localhost:${port}/`, 'http://127.0.0.1/', 'http://localhost/', 'http://127.1/', 'http://2130706433/',
        'http://0x7f000001/', 'http://0177.0.0.1/', 'http://0/', 'http://[::1]/', 'http://[::ffff:127.0.0.1]/', 'http://[::ffff:a9fe:a9fe]/',
        'http://[64:ff9b::7f00:1]/', 'http://[2002:7f00:1::]/', 'http://169.254.169.254/latest/meta-data/', 'http://10.0.0.1/',
        'http://example.com@127.0.0.1/', 'http://127.0.0.1\\@example.com/', 'http://user:key@127.0.0.1/', 'HTTP://127.0.0.1/', 'https://127.0.0.1/',
        'http:/127.0.0.1/', 'http:127.0.0.1', 'http:///127.0.0.1/', 'http://127.0.0.1%2f@x/', 'ftp://127.0.0.1/', 'dict://127.0.0.1:11/', 'data:,http://127.0.0.1/',
        'unix:///var/run/docker.sock', 'jar:http://127.0.0.1!/', 'file:///link.jpg', 'file:///far.jpg', 'file:///root/etc/passwd', 'file:///../secret.txt',
        'file:///%2e%2e/secret.txt', 'file:///..%2fsecret.txt', 'file:///.%2e/secret.txt', `file://${folder}/secret.txt`, 'file:///proc/self/environ',
        'file:////etc/passwd', 'file:///root/proc/self/root/etc/passwd', 'file:///a%00b.jpg', 'file:///.', 'file:///notes.txt', 'FILE:///notes.txt']) {
        const reply = await ask(server, [url]);
        assert.equal(reply.status, 400, `${url}: ${reply.text.slice(0, 200)}`);
        assert.equal(reply.json.error.param, 'messages[0].content[1].image_url.url');
        // Neither the contents, nor their first bytes in hexadecimal, nor where things lie.
        assert.doesNotMatch(reply.text, /SECRET|NOT-A|4e 4f 54|root:|cardloom-hostile|127\.0\.0\.1.*refused/i, url);
      }
      assert.equal(asked, 0);
    });
    await withServer(['--fetch-images', 'allowed', '--image-host', `127.0.0.1:${port}`], {}, async (server) => {
      const reply = await ask(server, [`http://127.0.0.1:${port}/x`]);
      assert.equal(reply.status, 400);
      assert.equal(asked, 1);
      assert.doesNotMatch(reply.text, /INTERNAL|49 4e 54/);
      assert.equal((await ask(server, [`http://127.0.0.1:${port + 1}/x`])).status, 400);
      assert.equal(asked, 1);
    });
  } finally {
    inside.close();
    rmSync(folder, { recursive: true });
  }
});

test('the pictures of a request have a limit together, and copies of them too', async () => {
  await withServer(['--max-total-pixels', '700000', '--max-pending-images', '8'], {}, async (server) => {
    const props = await (await fetch(`${server.url}/props`)).json();
    assert.equal(props.limits.max_total_pixels, 700000);
    const url = dataUrl('scene-1.jpg');
    assert.equal((await ask(server, [url])).status, 200);
    const many = await ask(server, Array(8).fill(url));
    assert.equal(many.status, 413, many.text);
    assert.equal(many.json.error.code, 'request_too_large');
    assert.match(many.json.error.message, /pixels, but the pictures before it leave only \d+/);
    const copies = await ask(server, [url, url], { n: 5 });
    assert.equal(copies.status, 413, copies.text);
    assert.equal(copies.json.error.param, 'n');
    assert.match(copies.json.error.message, /10.* 8 /);
    assert.equal((await ask(server, [url], { n: 8, max_tokens: 4 })).status, 200);
  });
});

test('a picture process that is killed costs no picture', async () => {
  await withServer(['--task-threads', '2'], {}, async (server) => {
    const url = dataUrl('scene-1.jpg');
    const right = async () => assert.equal((await ask(server, [url])).json.choices[0].message.content, truth[0].truth);
    await right();
    for (let round = 0; round < 3; ++round) {
      const workers = childrenOf(server.child.pid);
      assert.equal(workers.length, 2);
      for (const pid of workers) process.kill(pid, 'SIGSTOP');  // so that none is done before
      const under_way = ask(server, [url]);
      await new Promise((resolve) => setTimeout(resolve, 100));
      for (const pid of workers) process.kill(pid, 'SIGKILL');
      const reply = await under_way;
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.json.choices[0].message.content, truth[0].truth);
      await right();
      await Promise.all([right(), right(), right()]);  // and the one that was killed idle
    }
    for (const pid of childrenOf(server.child.pid)) process.kill(pid, 'SIGKILL');
    await Promise.all([right(), right()]);
    assert.doesNotMatch(await (await fetch(`${server.url}/metrics`)).text(), /result="refused"\} [1-9]/);
  });
});

test('whoever looks at the cards and leaves holds nobody up', async () => {
  await withServer([], {}, async (server) => {
    const talk = () => post(server, '/v1/chat/completions', { messages: user('Hello!'), ignore_eos: true, max_tokens: 60 });
    /// Somebody who looks until `leave`; nobody if the server says that too many do.
    const look = async () => {
      const leaving = new AbortController();
      const reply = await fetch(`${server.url}/v1/cards/events`, { signal: leaving.signal });
      if (reply.status !== 200) {
        assert.equal(reply.status, 503, await reply.text());
        return undefined;
      }
      const reader = reply.body.getReader();
      assert.match(new TextDecoder().decode((await reader.read()).value), /^event: cards\n/);
      const ended = (async () => { while (!(await reader.read()).done); })().catch(() => {});
      return { leave: () => { leaving.abort(); return ended; } };
    };
    const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const talks = Array.from({ length: 24 }, talk);
    const sixteen = await Promise.all(Array.from({ length: 16 }, look));
    assert.ok(!sixteen.includes(undefined));
    assert.equal(await look(), undefined);  // 16 may look at once
    await Promise.all(sixteen.map((one) => one.leave()));
    for (let round = 0; round < 6; ++round) {
      await Promise.all(Array.from({ length: 24 }, async (_, index) => {
        const one = await look();
        await pause(100 + index * 3);
        await one?.leave();
      }));
    }
    for (const reply of await Promise.all(talks)) assert.equal(reply.status, 200);
    await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 0);
    await eventually(async () => (await look()) !== undefined);  // still looking while the server ends
  });
});

test('bodies that still arrive when the server ends are cut off, and it exits with 0', async () => {
  const server = await startServer(['--shutdown-timeout', '1']);
  const sockets = [];
  for (let index = 0; index < 8; ++index) {
    const socket = await connectTo(server);
    socket.write('POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 30000\r\n\r\n{"prompt":"');
    sockets.push(socket);
  }
  const drip = setInterval(() => sockets.forEach((socket) => socket.write('x'.repeat(100))), 5);
  const code = await server.stop();
  clearInterval(drip);
  sockets.forEach((socket) => socket.destroy());
  assert.equal(code, 0);
});
