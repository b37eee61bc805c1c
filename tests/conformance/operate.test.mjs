// What an operator does: ports, sockets, certificates, keys, pictures by URL, signals, bad options.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { endless, eventually, metric, post, slowly, startServer, startSlowSite, truth } from './server.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const binary = process.env.CARDLOOM ?? `${root}build/dev/bin/cardloom`;
let folder;
before(() => { folder = mkdtempSync(join(tmpdir(), 'cardloom-operate-')); });
after(() => rmSync(folder, { recursive: true }));

const hello = [{ role: 'user', content: 'Hello!' }];
const chat = '/v1/chat/completions';

/// One request by node's own client: for TLS and unix sockets.
function ask(options, body) {
  return new Promise((resolve, reject) => {
    const send = options.ca ? httpsRequest : httpRequest;
    const sent = send({ method: body ? 'POST' : 'GET', headers: { host: 'localhost', 'content-type': 'application/json' }, ...options }, async (response) => {
      const certificate = response.socket.getPeerCertificate?.().serialNumber;
      let text = '';
      for await (const part of response) text += part;
      resolve({ status: response.statusCode, text, certificate });
    });
    sent.on('error', reject);
    sent.end(body && JSON.stringify(body));
  });
}

/// The exit code and stderr of a server that must not start.
function refused(args, env = {}) {
  const ended = spawnSync(binary, ['serve', `${root}demo/glm-4v-nano`, ...args], { env: { ...process.env, ...env }, encoding: 'utf8', timeout: 120000 });
  assert.notEqual(ended.status, null, `${args}: still runs\n${ended.stderr}`);
  return { code: ended.status, text: ended.stderr };
}

test('a port that is taken: who has it, and the exit code', async () => {
  const server = await startServer();
  try {
    const { port } = new URL(server.url);
    const second = refused(['--port', port]);
    assert.equal(second.code, 6);
    assert.match(second.text, new RegExp(`port ${port} of 127\\.0\\.0\\.1 is taken by cardloom \\(process ${server.child.pid}\\)`));
    assert.match(second.text, /try: /);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('options that cannot be', () => {
  const cases = [
    [['--port', '70000'], 2, /--port is 70000.*65535/],
    [['--host', 'example.invalid', '--insecure-no-auth'], 2, /IP address/],
    [['--host', '0.0.0.0', '--port', '0'], 2, /no API key/],
    [['--host', '192.0.2.1', '--port', '0', '--insecure-no-auth'], 2, /not an address of this machine/],
    [['--tls-cert', '/nowhere.pem', '--tls-key', '/nowhere.pem', '--port', '0'], 2, /nowhere\.pem/],
    [['--tls-cert', '/nowhere.pem', '--port', '0'], 2, /key/],
    [['--api-key-file', '/nowhere.txt'], 2, /nowhere\.txt/],
    [['--api-key', 'short'], 2, /8 to/],
    [['--media-root', '/nowhere'], 2, /nowhere/],
    [['--fetch-images', 'all'], 2, /off.*allowed.*public/],
    [['--fetch-images', 'allowed'], 2, /--image-host/],
    [['--speculate', 'medusa'], 2, /ngram/],
    [['--metrics-alias', 'tgi'], 2, /vllm/],
    [['--max-n', '0'], 2, /--max-n is 0/],
    [['--max-per-key', '-1'], 2, /--max-per-key is -1/],
    [['--max-header-bytes', '10'], 2, /--max-header-bytes is 10/],
    [['--kv-tokens', '8191', '--port', '0'], 2, /--kv-tokens is 8191, but a context has 8192/],
    [['--uds', `${'x'.repeat(200)}`], 2, /1 to 107 bytes/],
    [['--no-such-option'], 2, /no-such-option/],
    [['--port', 'http'], 2, /--port is "http", but must be an integer/],
    [['--port'], 2, /--port is given without a value/],
    [['--max-images', '100'], 2, /--max-pending-images is 64, but one request may have 100/],
    [['--picture-cache-bytes', '-1'], 2, /--picture-cache-bytes is -1/],
    [['--context', '9k'], 2, /^error: --context is 9000, but the model has 8192 positions/],
  ];
  for (const [args, code, text] of cases) {
    const ended = refused(args);
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.text}`);
    assert.match(ended.text, text, args.join(' '));
  }
});

test('a public address with a key, or without one if told so', async () => {
  for (const args of [['--api-key', 'public-key'], ['--insecure-no-auth']]) {
    const server = await startServer(['--host', '0.0.0.0', ...args]);
    const { port } = new URL(server.url);
    const headers = { 'x-api-key': 'public-key', host: 'any.example' };
    assert.equal((await ask({ host: '127.0.0.1', port, path: '/v1/models', headers })).status, 200);
    assert.equal(await server.stop(), 0);
  }
});

test('on loopback the Host header must be ours', async () => {
  const server = await startServer(['--allowed-host', 'cards.example']);
  try {
    const { port } = new URL(server.url);
    const status = async (host) => (await ask({ host: '127.0.0.1', port, path: '/health/live', headers: { host } })).status;
    for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', '[::1]:80', 'cards.example', 'CARDS.example:80']) assert.equal(await status(host), 200, host);
    for (const host of ['evil.example', 'localhost.evil.example', '127.0.0.1.evil.example', '10.0.0.1', 'cards.example.evil']) assert.equal(await status(host), 403, host);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('a unix socket', async () => {
  const path = join(folder, 'cardloom.sock');
  const child = await startSocket(path);
  const { mode } = statSync(path);
  assert.equal(mode & 0o777, 0o660);
  const reply = await ask({ socketPath: path, path: chat }, { messages: hello, max_tokens: 3, temperature: 0 });
  assert.equal(JSON.parse(reply.text).choices[0].finish_reason, 'length');
  const second = refused(['--uds', path]);
  assert.equal(second.code, 6);
  assert.match(second.text, /another program listens/);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const next = await startSocket(path);  // what the dead one left is no hindrance
  assert.equal((await ask({ socketPath: path, path: '/health' })).status, 200);
  next.kill('SIGTERM');
  assert.deepEqual(await once(next, 'exit'), [0, null]);
});

async function startSocket(path) {
  const server = await startServer(['--uds', path]);
  assert.equal(server.url, `unix:${path}`);
  return server.child;
}

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

/// A certificate for localhost with its key, in place of those that are there.
function makeCertificate(serial) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-addext', 'subjectAltName=DNS:localhost', '-set_serial', String(serial), '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
  return readFileSync(join(folder, 'cert.pem'));
}

test('TLS, and a certificate that is read again', { skip: !hasOpenssl }, async () => {
  const first = makeCertificate(17);
  const server = await startServer([...slowly, '--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')]);
  try {
    assert.match(server.url, /^https:/);
    const { port } = new URL(server.url);
    const get = (ca, path = '/v1/models', body) => ask({ host: 'localhost', port, path, ca, agent: false }, body);
    assert.equal((await get(first)).certificate, '11');
    const reply = await get(first, chat, { messages: hello, max_tokens: 3, stream: true });
    assert.match(reply.text, /data: \[DONE\]/);
    await assert.rejects(ask({ host: 'localhost', port, path: '/health/live' }));  // plain HTTP
    await assert.rejects(ask({ host: 'localhost', port, path: '/health/live', ca: first, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }));

    // An answer under way goes on; new connections see the new one.
    const running = get(first, chat, { ...endless, max_tokens: 300 });
    await eventually(async () => /^cardloom_requests_running 8$/m.test((await get(first, '/metrics')).text));
    const second = makeCertificate(18);
    server.child.kill('SIGHUP');
    await eventually(() => server.said.some((line) => line.includes('read again')));
    assert.equal((await get(second)).certificate, '12');
    assert.equal(JSON.parse((await running).text).usage.completion_tokens, 8 * 300);

    // One that is damaged changes nothing.
    writeFileSync(join(folder, 'cert.pem'), 'no certificate');
    server.child.kill('SIGHUP');
    await eventually(() => server.said.some((line) => line.startsWith('error: ')));
    assert.equal((await get(second)).certificate, '12');
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('keys of a file, read again', async () => {
  const file = join(folder, 'keys.txt');
  writeFileSync(file, '# the team\nfirst-key-of-ours  ci\nsecond-key-of-ours\n');
  const server = await startServer(['--api-key-file', file], { CARDLOOM_API_KEYS: 'environment-key' });
  try {
    const status = async (key) => (await fetch(`${server.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status;
    const numRead = () => server.said.filter((line) => /read again|^error: /.test(line)).length;
    const again = async () => {
      const count = numRead();
      server.child.kill('SIGHUP');
      await eventually(() => numRead() > count);
    };
    for (const key of ['first-key-of-ours', 'second-key-of-ours', 'environment-key']) assert.equal(await status(key), 200);
    for (const key of ['third-key-of-ours', 'first-key-of-our', 'first-key-of-ours2', 'ci', '']) assert.equal(await status(key), 401);
    const unknown = await fetch(`${server.url}/v1/models`);
    assert.equal(unknown.headers.get('www-authenticate'), 'Bearer');
    assert.equal((await unknown.json()).error.code, 'invalid_api_key');
    assert.equal((await fetch(`${server.url}/nowhere`)).status, 401);
    assert.equal((await fetch(`${server.url}/health/live`)).status, 200);
    writeFileSync(file, 'third-key-of-ours\n');
    await again();
    assert.deepEqual(await Promise.all(['first-key-of-ours', 'third-key-of-ours', 'environment-key'].map(status)), [401, 200, 200]);
    for (const bad of ['', '# nobody\n', 'short\n', 'third-key-of-ours\nthird-key-of-ours\n']) {
      writeFileSync(file, bad);
      await again();
      assert.deepEqual(await Promise.all(['first-key-of-ours', 'third-key-of-ours'].map(status)), [401, 200], bad);
    }
    assert.ok(server.said.every((line) => !/third-key-of-ours|environment-key/.test(line)), server.said.join('\n'));
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

const look = (url) => ({ temperature: 0, messages: [{ role: 'user', content: [{ type: 'text', text: 'What is in this picture?' }, { type: 'image_url', image_url: { url } }] }] });

test('files below the media folder, and nothing beside it', async () => {
  const media = join(folder, 'media');
  mkdirSync(join(media, 'cats'), { recursive: true });
  copyFileSync(`${root}demo/pictures/scene-1.jpg`, join(media, 'cats', 'tom and jerry.jpg'));
  copyFileSync(`${root}demo/pictures/scene-1.jpg`, join(folder, 'outside.jpg'));
  symlinkSync(join(folder, 'outside.jpg'), join(media, 'link.jpg'));
  symlinkSync('cats/tom and jerry.jpg', join(media, 'good.jpg'));
  const server = await startServer(['--media-root', media]);
  try {
    for (const path of ['cats/tom%20and%20jerry.jpg', '/cats/tom%20and%20jerry.jpg', 'good.jpg', '/cats/../good.jpg']) {
      const reply = await post(server, chat, look(`file:///${path}`));
      assert.equal(reply.json.choices?.[0].message.content, truth[0].truth, `${path}: ${reply.text}`);
    }
    for (const path of ['../outside.jpg', 'link.jpg', 'cats/../../outside.jpg', 'cats', '', '%2e%2e/outside.jpg', join(folder, 'outside.jpg'), '/etc/passwd', 'good.jpg%00', '/proc/self/environ']) {
      const reply = await post(server, chat, look(`file:///${path}`));
      assert.equal(reply.status, 400, path);
      assert.equal(reply.json.error.param, 'messages[0].content[1].image_url.url');
      assert.ok(!reply.text.includes(folder));
    }
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('pictures are fetched from named hosts and ports only', async () => {
  const jpeg = readFileSync(`${root}demo/pictures/scene-1.jpg`);
  let asked = [];
  const site = createServer((request, response) => {
    asked.push(`${request.headers.host}${request.url}`);
    if (request.url === '/away') return response.writeHead(302, { location: `http://localhost:${site.address().port}/scene.jpg` }).end();
    if (request.url === '/inside') return response.writeHead(302, { location: `http://127.0.0.1:${inner.address().port}/secret` }).end();
    if (request.url === '/round') return response.writeHead(302, { location: '/round' }).end();
    if (request.url === '/file') return response.writeHead(302, { location: 'file:///etc/passwd' }).end();
    if (request.url === '/huge') return response.end(Buffer.alloc(3000000));
    if (request.url === '/none') return response.writeHead(404).end();
    return response.end(jpeg);
  });
  const inner = createServer((request, response) => { asked.push('inner'); response.end(jpeg); });
  for (const each of [site, inner]) await once(each.listen(0, '127.0.0.1').unref(), 'listening');
  const { port } = site.address();
  const url = (path, host = '127.0.0.1') => `http://${host}:${port}${path}`;
  // A name without a port has 80 and 443 at public addresses; one with its port may be of this machine.
  const server = await startServer(['--fetch-images', 'allowed', '--image-host', `127.0.0.1:${port}`, '--image-host', 'localhost', '--max-image-bytes', '1000000']);
  const open = await startServer(['--fetch-images', 'public']);
  try {
    const reply = await post(server, chat, look(url('/scene.jpg')));
    assert.equal(reply.json.choices[0].message.content, truth[0].truth);
    assert.ok(reply.json.timings.image_fetch_ms > 0);
    // No redirect leads where nobody may go.
    for (const [address, status] of [[url('/scene.jpg', 'localhost'), 400], ['http://localhost/x', 400], [`http://127.0.0.1:${inner.address().port}/x`, 400], [url('/away'), 400], [url('/inside'), 400],
      [url('/file'), 400], [url('/round'), 400], [url('/huge'), 413], [url('/none'), 400], ['http://127.0.0.1:1/x', 400], [url('/scene.jpg', '127.1'), 200],
      [`http://u:p@127.0.0.1:${port}/x`, 400], [`http://127.0.0.1:${port}\\@evil.example/`, 400]]) {
      const answer = await post(server, chat, look(address));
      assert.equal(answer.status, status, `${address}: ${answer.text}`);
      if (status !== 200) assert.equal(answer.json.error.param, 'messages[0].content[1].image_url.url');
    }
    assert.ok(!asked.includes('inner'));
    asked = [];
    for (const address of [url('/scene.jpg'), url('/scene.jpg', 'localhost'), url('/x', '[::ffff:127.0.0.1]'), 'http://127.0.0.1/x', 'http://localhost/x', 'http://[::1]/x', 'http://2130706433/x', 'http://0/x', 'http://169.254.169.254/latest']) {
      assert.equal((await post(open, chat, look(address))).status, 400, address);
    }
    assert.deepEqual(asked, []);
  } finally {
    site.close();
    inner.close();
    assert.equal(await server.stop(), 0);
    assert.equal(await open.stop(), 0);
  }
});

test('SIGTERM: not ready, no new work, the old one ends; Ctrl-C is the same', async () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const site = await startSlowSite('scene-1.jpg');
    const server = await startServer([...site.args, '--task-threads', '4', '--shutdown-timeout', '300']);
    try {
      const { port } = new URL(server.url);
      const live = (path) => ask({ host: '127.0.0.1', port, path, agent: false });
      assert.equal((await live('/health/ready')).status, 200);
      const running = Array.from({ length: 4 }, () => post(server, chat, { ...look(site.url), stream: true }));
      await eventually(() => site.waiting() === 4);
      const exited = server.stop(signal);
      await eventually(() => server.said.some((line) => /draining: [4-9] answers/.test(line)));
      await eventually(() => live('/health/live').then(() => false, () => true));  // nobody listens any more
      site.release();
      for (const reply of await Promise.all(running)) assert.match(reply.text, /"finish_reason":"stop".*data: \[DONE\]\n\n$/s);
      assert.equal(await exited, 0);
      assert.ok(server.said.includes('stopped'), server.said.join('\n'));
    } finally {
      site.close();
    }
  }
});

test('a drain that takes too long is cut off', async () => {
  const server = await startServer([...slowly, '--shutdown-timeout', '0']);
  const running = post(server, chat, { ...endless, stream: true }).catch((error) => error);
  await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 8);
  assert.equal(await server.stop(), 0);
  assert.ok(server.said.some((line) => /[1-9] answers were cut off/.test(line)), server.said.join('\n'));
  const ended = await running;
  assert.ok(ended instanceof Error || !ended.text.includes('[DONE]'));
});
