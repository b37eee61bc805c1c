// Starts the real server with the demonstration model, once for each test file.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
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

/// A server on a free port with two cards, unless `args` say otherwise. `stop` asks it to drain and gives its exit code.
export async function startServer(args = [], env = {}) {
  const port = args.includes('--port') ? [] : ['--port', '0'];
  const tp = args.includes('--tp') ? [] : ['--tp', '2'];
  const child = spawn(binary, ['serve', `${root}demo/glm-4v-nano`, ...port, ...tp, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = [];
  const exited = once(child, 'exit');
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
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

/// Waits until `check` holds, at most `seconds`.
export async function eventually(check, seconds = 5) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`not so within ${seconds} s: ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/// A gauge or counter of /metrics without labels.
export async function metric(server, name) {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const line = text.split('\n').find((entry) => entry.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}
