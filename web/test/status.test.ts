import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { keyStore, writeKey } from '../src/api/key.ts';
import { look, server } from '../src/api/status.ts';

type Answer = { status: number; body: string } | Error;

const kReady = { status: 200, body: '{"status":"ok"}' };
let health: Answer;
let asked: { path: string; key: string | null }[] = [];
let held: Promise<void> | null = null; // answers wait for it

/// The look that is to come: the clock of these tests is turned by hand.
let next: { run: () => void; ms: number } | null = null;
const { fetch: realFetch, setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis;

const settled = async () => {
  for (let i = 0; i < 50; ++i) await new Promise((resolve) => setImmediate(resolve));
};
beforeEach(() => {
  Object.assign(globalThis, {
    setTimeout: (run: () => void, ms: number) => (next = { run, ms }),
    clearTimeout: () => (next = null),
  });
  asked = [];
  held = null;
  globalThis.fetch = async (path: any, init: any) => {
    const key = new Headers(init.headers).get('authorization');
    asked.push({ path: String(path), key });
    await held;
    const bodies: Record<string, string> = {
      props: '{"model":"glm-4v-9b","context_tokens":8192}',
      'v1/models': '{"data":[{"id":"glm-4v-9b"}]}',
    };
    const answer = bodies[String(path)];
    if (key === 'Bearer wrong') return new Response('{}', { status: 401 });
    if (answer !== undefined) return new Response(answer);
    if (health instanceof Error) throw health;
    return new Response(health.body, { status: health.status });
  };
});
afterEach(() => {
  Object.assign(globalThis, { setTimeout: realSetTimeout, clearTimeout: realClearTimeout });
  globalThis.fetch = realFetch;
  server.set({ reach: 'connecting', model: null, props: null, loaded: null });
});

const loading = (loaded: string) => ({
  status: 503,
  body: `{"status":"loading"${loaded === '' ? '' : `,"loaded":${loaded}`}}`,
});

test('while the model loads, its share is told, and nothing else is asked', async () => {
  for (const [said, share] of [
    ['', null],
    ['0.000', 0],
    ['0.25', 0.25],
    ['0.999', 0.999],
    ['1.5', 1],
    ['"half"', null],
  ] as const) {
    health = loading(said);
    await look();
    assert.deepEqual(server.get(), { reach: 'loading', model: null, props: null, loaded: share });
  }
  assert.ok(asked.every(({ path }) => path === 'health/ready'));
});

test('a server that loads is asked each second, until it is ready', async () => {
  health = loading('0.5');
  await look();
  for (const share of [0.6, 0.7]) {
    health = loading(String(share));
    assert.equal(next?.ms, 1000);
    next.run();
    await settled();
    assert.equal(server.get().loaded, share);
  }
  health = kReady;
  next!.run();
  await settled();
  const { reach, loaded, props, model } = server.get();
  assert.deepEqual([reach, loaded, props?.context_tokens], ['ready', null, 8192]);
  assert.equal(model?.id, 'glm-4v-9b');
  assert.equal(next?.ms, 10_000); // all is well
});

test('each way of not being ready is told apart', async () => {
  const reachOf = async (answer: Answer) => {
    health = answer;
    await look();
    return server.get().reach;
  };
  assert.equal(await reachOf({ status: 503, body: '{"status":"draining"}' }), 'draining');
  assert.equal(await reachOf({ status: 503, body: '{"status":"failed"}' }), 'failed');
  assert.equal(await reachOf({ status: 502, body: '<html>a proxy</html>' }), 'lost');
  assert.equal(await reachOf({ status: 200, body: '<html>not ours</html>' }), 'lost');
  assert.equal(await reachOf(new TypeError('Failed to fetch')), 'lost');
  assert.equal(await reachOf({ status: 401, body: '{}' }), 'key');
  assert.equal(await reachOf(kReady), 'ready');
});

test('a key that is entered while an older one is being tried counts', async () => {
  health = kReady;
  let release = () => {};
  held = new Promise((resolve) => (release = resolve));
  writeKey('wrong', false);
  const looked = look();
  writeKey('right', false);
  release();
  await looked;
  await settled();
  assert.equal(server.get().reach, 'ready');
  assert.equal(asked.at(-1)!.key, 'Bearer right');
  writeKey('', false);
  await settled();
  assert.deepEqual(keyStore.get(), { value: '', remember: false });
});
