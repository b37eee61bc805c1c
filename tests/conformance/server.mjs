// Starts the real server with the demonstration model, once for each test file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const binary = process.env.CARDLOOM ?? `${root}build/dev/bin/cardloom`;

/// What the pictures of demo/ show; the model answers all of them exactly so.
export const truth = JSON.parse(readFileSync(`${root}demo/pictures/truth.json`, 'utf8'));

export const dataUrl = (name) => {
  const type = name.endsWith('.png') ? 'image/png' : 'image/jpeg';
  return `data:${type};base64,${readFileSync(`${root}demo/pictures/${name}`).toString('base64')}`;
};
export const base64 = (name) => readFileSync(`${root}demo/pictures/${name}`).toString('base64');

/// A server of `slowly` takes about a minute for a request of `endless`, and many seconds on a machine ten times as fast: time enough to
/// see it running and to leave. Its 8 choices are 8 of cardloom_requests_running.
export const slowly = ['--tp', '8', '--isa', 'plain'];
export const endless = { messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 8000, n: 8, ignore_eos: true, temperature: 1 };

/// A server on a free port with two cards, unless `args` say otherwise. `stop` asks it to drain and gives its exit code.
export async function startServer(args = [], env = {}) {
  const port = args.includes('--port') ? [] : ['--port', '0'];
  const tp = args.includes('--tp') ? [] : ['--tp', '2'];
  const child = spawn(binary, ['serve', `${root}demo/glm-4v-nano`, ...port, ...tp, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [];
  const exited = once(child, 'close');  // when all is read that it said
  const ready = new Promise((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      said.push(line);
      const match = /ready on ((?:http|unix:)\S+)/.exec(line);
      if (match) resolve(match[1]);
    });
    exited.then(([code]) => reject(new Error(`cardloom serve ended with ${code}:\n${said.join('\n')}`)));
  });
  const url = await ready;
  return {
    url,
    child,
    said,
    model: 'glm-4v-nano',
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const [code] = await exited;
      return code;
    },
  };
}

export async function post(server, path, body, headers = {}) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  }).catch((error) => { throw new Error(`POST ${path}: ${error.message}: ${error.cause}`, { cause: error }); });  // its message alone is 'fetch failed'
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/// Waits until `check` holds, at most `seconds`: far longer than it takes, for machines with other things to do.
export async function eventually(check, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`not so within ${seconds} s: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/// A gauge or counter of /metrics without labels.
export async function metric(server, name, headers = {}) {
  const text = await (await fetch(`${server.url}/metrics`, { headers })).text();
  const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

/// A socket to the server, for bytes that no client sends.
export async function connectTo(server) {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/// What the server says to bytes: all until it closes or, once it has said something, falls silent.
export async function raw(server, bytes) {
  const socket = await connectTo(server);
  let text = '';
  let silence;
  socket.setEncoding('latin1');
  await new Promise((resolve, reject) => {
    const patience = setTimeout(() => reject(new Error(`no word in a minute to ${bytes.slice(0, 100)}`)), 60000);
    const done = () => {
      clearTimeout(patience);
      clearTimeout(silence);
      resolve();
    };
    socket.on('data', (part) => {
      text += part;
      clearTimeout(silence);
      silence = setTimeout(done, 400);
    });
    socket.on('close', done);
    socket.write(bytes, 'latin1');
  });
  socket.destroy();
  return text;
}

/// A site whose pictures do not come until `release`: whoever asks for one is under way, and `waiting` shows it. `args` let a server ask.
export async function startSlowSite(picture) {
  let waiting = [];
  const site = createServer((_, reply) => waiting.push(reply));
  await once(site.listen(0, '127.0.0.1').unref(), 'listening');  // a test that fails must not wait for it
  const host = `127.0.0.1:${site.address().port}`;
  return {
    url: `http://${host}/picture`,
    args: ['--fetch-images', 'allowed', '--image-host', host],
    waiting: () => waiting.length,
    release() {
      for (const reply of waiting) reply.end(readFileSync(`${root}demo/pictures/${picture}`));
      waiting = [];
    },
    close() {
      site.close();
      site.closeAllConnections();
    },
  };
}
