// A server with Cardloom's interface and no model, for tests of the page and for working on it:
//   node test/support/fake_server.mjs [port]
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answers } from './fake_answers.mjs';
import { fakeStep } from './fake_steps.mjs';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));
const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
export const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
  "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/// Options may be changed while the server runs: ready 'ok' | 'loading' | 'draining', key (null: none
/// asked), pieceMs between two pieces of an answer. `requests` holds the chat bodies that came.
export async function startFakeServer({ port = 0, prefix = '/' } = {}) {
  const state = {
    ready: 'ok',
    key: null,
    loaded: 0.42,
    pieceMs: 12,
    requests: [],
    aborted: 0,
    tp: 2,
  };
  const server = createServer((request, response) => {
    handle(state, prefix, request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${prefix}`,
    state,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function handle(state, prefix, request, response) {
  const { pathname } = new URL(request.url, 'http://localhost');
  if (!pathname.startsWith(prefix))
    return sendError(response, 404, 'unknown_url', 'No such address.');
  const path = pathname.slice(prefix.length);
  const isPage =
    request.method === 'GET' && /^(?:|index\.html|logo\.svg|theme\.js|assets\/[\w.-]+)$/.test(path);
  if (isPage) return sendFile(response, path === '' ? 'index.html' : path);
  if (state.key !== null && request.headers.authorization !== `Bearer ${state.key}`) {
    return sendError(response, 401, 'invalid_api_key', 'The API key is missing or unknown.');
  }
  switch (path) {
    case 'health/ready':
      return sendJson(response, state.ready === 'ok' ? 200 : 503, {
        status: state.ready,
        ...(state.ready === 'loading' ? { loaded: state.loaded } : {}),
      });
    case 'v1/models':
      return sendJson(response, 200, {
        data: [
          {
            id: 'glm-4v-9b',
            context_length: 8192,
            image_tokens: 1602,
            input_modalities: ['text', 'image'],
          },
        ],
      });
    case 'props':
      return sendJson(response, 200, {
        ...{ model: 'glm-4v-9b', version: '0.1.0', context_tokens: 8192, image_tokens: 1602 },
        ...{
          tp: state.tp,
          threads_per_card: 1,
          isa: 'amx',
          dtype: 'bf16',
          weights: 'q8_0',
          kv_cache: 'bf16',
        },
        limits: {
          max_images: 4,
          max_image_bytes: 20971520,
          max_image_pixels: 50000000,
          max_body_bytes: 104857600,
          max_n: 8,
        },
        auth: state.key !== null,
      });
    case 'tokenize': {
      const { messages } = JSON.parse(await bodyOf(request));
      return sendJson(response, 200, {
        count: 6 + Math.ceil(JSON.stringify(messages).length / 4),
        image_tokens: 1602,
        max_model_len: 8192,
      });
    }
    case 'v1/chat/completions':
      return chat(state, JSON.parse(await bodyOf(request)), request, response);
    case 'v1/cards/events':
      return cards(state, request, response);
    default:
      return sendError(response, 404, 'unknown_url', `No such address: /${path}`);
  }
}

async function sendFile(response, path) {
  try {
    const file = normalize(join(dist, path));
    const bytes = await readFile(file);
    response.writeHead(200, {
      'content-type': types[extname(file)] ?? 'application/octet-stream',
      'content-security-policy': contentSecurityPolicy,
      'x-content-type-options': 'nosniff',
      etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`,
    });
    response.end(bytes);
  } catch {
    sendError(response, 404, 'unknown_url', 'No such file.');
  }
}

function sendJson(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

function sendError(response, status, code, message, headers = {}) {
  const type = status < 500 ? 'invalid_request_error' : 'server_error';
  const error = { message, type, param: null, code };
  sendJson(response, status, { error }, { 'x-request-id': 'req-7f3a90c2', ...headers });
}

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function textOf(content) {
  if (typeof content === 'string') return content;
  return content
    .filter((part) => part.type === 'text')
    .map((part) => part.text)
    .join('\n');
}

function picturesOf(messages) {
  return messages.flatMap(({ content }) =>
    Array.isArray(content) ? content.filter((part) => part.type === 'image_url') : [],
  );
}

async function chat(state, body, request, response) {
  state.requests.push(body);
  const question = textOf(body.messages.findLast((message) => message.role === 'user').content);
  if (/too full/.test(question)) {
    return sendError(
      response,
      429,
      'queue_full',
      'All 16 places are taken and the queue of 64 is full.',
      { 'retry-after': '120' },
    );
  }
  if (/too long/.test(question)) {
    return sendError(
      response,
      400,
      'context_length_exceeded',
      'The prompt has 9,120 tokens, of which 1,602 are of pictures; with 1,024 asked for the answer that is 10,144, and the context holds 8,192.',
    );
  }
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'x-request-id': 'req-7f3a90c2',
  });
  let gone = false;
  response.on('close', () => {
    if (!response.writableFinished) {
      gone = true;
      state.aborted += 1;
    }
  });
  const send = (value) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  const delta = (fields, finish = null) =>
    send({
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      choices: [
        {
          index: 0,
          delta: fields,
          logprobs: body.logprobs && fields.content ? logprobsOf(fields.content) : null,
          finish_reason: finish,
        },
      ],
      usage: null,
    });
  const began = performance.now();
  const pictures = picturesOf(body.messages).length;
  const prompt = 40 + pictures * 1602;
  for (let done = 0; done <= pictures; ++done) {
    send({
      choices: [],
      prompt_progress: {
        images_done: done,
        images: pictures,
        tokens_done: done === pictures ? prompt : 0,
        tokens: prompt,
      },
    });
    await sleep(pictures > 0 ? 120 : 20);
  }
  response.write(': ping\n\n');
  delta({ role: 'assistant', content: '' });
  const firstToken = performance.now() - began;
  const pieces = answers({
    question,
    pictures,
    answered: state.requests.length,
    continues: body.continue_final_message === true,
  });
  let sent = 0;
  for (const piece of pieces) {
    if (gone) return;
    if (piece === '<error>') {
      send({
        error: {
          message: 'Card 1 left the collective: the deadline of 30 s passed.',
          type: 'server_error',
          param: null,
          code: 'internal_error',
        },
      });
      return response.end();
    }
    if (piece === '<cut>') return response.destroy();
    delta({ content: piece });
    sent += 1;
    await sleep(state.pieceMs);
  }
  const decode = performance.now() - began - firstToken;
  delta({}, /until the limit/.test(question) && !body.continue_final_message ? 'length' : 'stop');
  send({
    choices: [],
    usage: {
      prompt_tokens: prompt,
      completion_tokens: sent,
      total_tokens: prompt + sent,
      prompt_tokens_details: { cached_tokens: 16, image_tokens: pictures * 1602 },
    },
    timings: {
      ...{
        queue_ms: 2.1,
        image_fetch_ms: 0,
        image_decode_ms: pictures * 14.2,
        image_preprocess_ms: pictures * 31,
        image_encode_ms: pictures * 870,
      },
      ...{
        prefill_ms: 210,
        first_token_ms: firstToken,
        decode_ms: decode,
        tokens_per_second: (sent * 1000) / Math.max(1, decode),
      },
    },
  });
  response.end('data: [DONE]\n\n');
}

/// Probabilities that depend on the text alone: 1, 0.9, 0.7, 0.5, 0.3, 0.1 by its length.
function logprobsOf(text) {
  const chance = (token, probability) => ({
    token,
    logprob: Math.log(probability),
    bytes: [...Buffer.from(token)],
  });
  const own = [1, 0.9, 0.7, 0.5, 0.3, 0.1][text.length % 6];
  const others = [' tower', ' grey', ' sea'].map((other, i) =>
    chance(other, Math.max(1e-4, (1 - own) * [0.5, 0.3, 0.2][i])),
  );
  const top_logprobs = [chance(text, own), ...others].sort((a, b) => b.logprob - a.logprob);
  return { content: [{ ...chance(text, own), top_logprobs }] };
}

async function cards(state, request, response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  response.write(
    `event: cards\ndata: ${JSON.stringify({ tp: state.tp, threads_per_card: 1, isa: 'amx' })}\n\n`,
  );
  let open = true;
  response.on('close', () => (open = false));
  const began = performance.now();
  for (let step = 1, clock = 5e6; open; ++step) {
    const event = fakeStep(step, clock, state.tp);
    clock = event.end_us + 900;
    response.write(`event: step\ndata: ${JSON.stringify(event)}\n\n`);
    await sleep(Math.max(0, (clock - 5e6) / 1000 - (performance.now() - began)));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await startFakeServer({ port: Number(process.argv[2] ?? 8000) });
  console.log(server.url);
}
