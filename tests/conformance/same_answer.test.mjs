// One seed, one answer: whole replies with their log probabilities, byte for byte, on any number of
// cards, alone and among 64 others, from the caches and without them, pre-empted, guessed ahead.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { dataUrl, endless, eventually, metric, post, slowly, startServer } from './server.mjs';

const path = '/v1/chat/completions';
const words = (count) => Array.from({ length: count }, (_, index) => `word ${(index * 7919) % 1000}`).join(', ');
const drawn = { temperature: 1, logprobs: true, top_logprobs: 5, return_token_ids: true };
const conversation = (content, fields) => ({ messages: [{ role: 'user', content }], ...drawn, ...fields });
const look = (name) => [{ type: 'text', text: 'What is in this picture?' }, { type: 'image_url', image_url: { url: dataUrl(name) } }];
const schema = { type: 'object', properties: { colour: { type: 'string', maxLength: 12 }, number: { type: 'integer', minimum: 0, maximum: 99999 } }, required: ['colour', 'number'], additionalProperties: false };

/// The requests whose answers are compared.
const requests = {
  'a word': conversation('Hello!', { seed: 1, max_tokens: 48, ignore_eos: true }),
  'a long prompt': conversation(`${words(300)}. What was that?`, { seed: 2, max_tokens: 48, ignore_eos: true }),
  'a picture': conversation(look('scene-1.jpg'), { seed: 3, temperature: 1.5, max_tokens: 48, ignore_eos: true }),
  'two choices': conversation('Hello!', { seed: 4, n: 2, top_p: 0.9, top_k: 40, max_tokens: 32, ignore_eos: true }),
  'a schema': conversation('Hello!', { seed: 5, response_format: { type: 'json_schema', json_schema: { name: 'it', schema } } }),
  'penalties': conversation('Hello!', { seed: 6, repetition_penalty: 1.2, presence_penalty: 0.5, frequency_penalty: 0.5, logit_bias: { 300: 5 }, max_tokens: 32, ignore_eos: true }),
};

/// All of a reply that is not its own name or a time: text, reason, token ids, log probabilities.
async function answer(server, request, fields = {}) {
  const reply = await post(server, path, { ...request, ...fields });
  assert.equal(reply.status, 200, reply.text);
  return { text: JSON.stringify(reply.json.choices), cached: reply.json.usage.prompt_tokens_details.cached_tokens };
}

/// The same put together from a stream's pieces.
async function streamed(server, request, fields = {}) {
  const reply = await post(server, path, { ...request, ...fields, stream: true });
  assert.match(reply.text, /data: \[DONE\]\n\n$/);
  const choices = [];
  for (const event of reply.text.split('\n\n').filter((each) => each.startsWith('data: {'))) {
    for (const { index, delta, logprobs, token_ids: ids, finish_reason: reason } of JSON.parse(event.slice(6)).choices) {
      choices[index] ??= { index, message: { role: 'assistant', content: '', refusal: null }, logprobs: { content: [], refusal: null }, token_ids: [], finish_reason: null };
      choices[index].message.content += delta.content ?? '';
      choices[index].logprobs.content.push(...(logprobs?.content ?? []));
      choices[index].token_ids.push(...(ids ?? []));
      choices[index].finish_reason ??= reason;
    }
  }
  return JSON.stringify(choices);
}

let salts = 0;
const cold = () => ({ cache_salt: `cold-${++salts}` });

const truth = {};
before(async () => {
  const server = await startServer(['--tp', '1']);
  for (const [name, request] of Object.entries(requests)) truth[name] = (await answer(server, request, cold())).text;
  assert.equal(await server.stop(), 0);
});

/// Whatever a server was started with, these hold.
async function expectTruth(server) {
  for (const [name, request] of Object.entries(requests)) {
    assert.equal((await answer(server, request, cold())).text, truth[name], `${name}, alone`);
    assert.equal(await streamed(server, request, cold()), truth[name], `${name}, streamed`);
  }
}

async function expectTruthInCrowd(server) {
  // 64 others of all lengths, some of which come and go meanwhile.
  let done = false;
  const others = Array.from({ length: 64 }, async (_, index) => {
    for (let turn = 0; !done; ++turn) {
      const content = index % 8 === 0 ? look('scene-2.png') : words(1 + ((index * 37 + turn) % 40));
      const reply = await post(server, path, { messages: [{ role: 'user', content }], temperature: 1.2, max_tokens: 20 + 2 * index, ignore_eos: true });
      assert.ok([200, 429].includes(reply.status), reply.text);
    }
  });
  await eventually(async () => (await metric(server, 'cardloom_requests_running')) >= 16);
  try {
    await Promise.all(Object.entries(requests).flatMap(([name, request]) => [
      (async () => assert.equal((await answer(server, request, cold())).text, truth[name], `${name}, among others`))(),
      (async () => assert.equal(await streamed(server, request, cold()), truth[name], `${name}, among others, streamed`))(),
    ]));
  } finally {
    done = true;
    await Promise.all(others);
  }
}

for (const tp of ['1', '2', '3', '8']) {
  test(`--tp ${tp}: alone, among others, from the caches`, async () => {
    const server = await startServer(['--tp', tp, '--max-running', '80', '--max-queue', '512']);
    try {
      await expectTruth(server);
      for (const [name, request] of Object.entries(requests)) {
        const salt = cold();
        assert.equal((await answer(server, request, salt)).text, truth[name], `${name}, fills the cache`);
        const again = await answer(server, request, salt);
        assert.equal(again.text, truth[name], `${name}, from the cache`);
        if (name === 'a long prompt') assert.ok(again.cached > 500, `${again.cached} cached`);
        if (name === 'a picture') assert.ok((await metric(server, 'cardloom_picture_cache_hits_total')) > 0);
      }
      await expectTruthInCrowd(server);
      // A part of the prompt from the cache, the rest computed.
      const long = requests['a long prompt'];
      const salt = cold();
      await answer(server, conversation(`${words(200)}`, { max_tokens: 1 }), salt);
      const half = await answer(server, long, salt);
      assert.equal(half.text, truth['a long prompt']);
      assert.ok(half.cached > 300, `${half.cached} cached`);
    } finally {
      assert.equal(await server.stop(), 0);
    }
  });
}

test('pre-empted for want of blocks, and in other chunks', async () => {
  const server = await startServer(['--tp', '2', '--kv-tokens', '8192', '--chunk', '64', '--max-running', '80', '--max-queue', '512']);
  try {
    await expectTruth(server);
    // They ask again until blocks were short: on a fast machine few of them may run at once.
    let isShort = false;
    const crowd = Array.from({ length: 40 }, async (_, index) => {
      do {
        const reply = await post(server, path, { messages: [{ role: 'user', content: words(60) }], temperature: 1, seed: index, max_tokens: 400, ignore_eos: true, ...cold() });
        assert.equal(reply.json.usage.completion_tokens, 400);
      } while (!isShort);
    });
    await eventually(async () => (await metric(server, 'cardloom_preemptions_total')) > 0).finally(() => { isShort = true; });
    await Promise.all(Object.entries(requests).map(async ([name, request]) => {
      // The youngest of the lowest class give way first: these.
      assert.equal((await answer(server, request, { ...cold(), priority: 2 })).text, truth[name], `${name}, pre-empted`);
    }));
    await Promise.all(crowd);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('--speculate ngram: the same tokens, fewer steps', async () => {
  const server = await startServer(['--tp', '2', '--speculate', 'ngram', '--max-running', '80', '--max-queue', '512']);
  const plain = await startServer(['--tp', '2']);
  try {
    await expectTruth(server);
    await expectTruthInCrowd(server);
    // Text that repeats itself is where guesses are right.
    const echo = conversation(`${'one two three four five six seven. '.repeat(12)}`, { temperature: 0, max_tokens: 120, ignore_eos: true });
    for (const fields of [{}, { structured_outputs: { regex: '(one two three )+' }, max_tokens: 64 }, { stop: ['zzz'] }, { stop: [' '] }, { min_tokens: 20, ignore_eos: false },
      { seed: 9, temperature: 0.3 }]) {
      const expected = (await answer(plain, echo, fields)).text;
      assert.equal((await answer(server, echo, fields)).text, expected, JSON.stringify(fields));
      assert.equal(await streamed(server, echo, fields), expected, JSON.stringify(fields));
    }
    assert.ok((await metric(server, 'cardloom_speculated_tokens_total')) > 0);
    assert.ok((await metric(server, 'cardloom_accepted_tokens_total')) > 0);
  } finally {
    assert.equal(await server.stop(), 0);
    assert.equal(await plain.stop(), 0);
  }
});

// Within how many steps: tests/engine/engine_loop_test.cc.
test('whoever hangs up frees blocks', async () => {
  const server = await startServer(slowly);
  try {
    assert.equal(await metric(server, 'cardloom_kv_cache_usage_ratio'), 0);
    for (const stream of [true, false]) {
      for (let turn = 0; turn < 4; ++turn) {
        const abort = new AbortController();
        const asked = fetch(server.url + path, { method: 'POST', signal: abort.signal, headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ ...endless, stream }) }).then((response) => response.text()).catch(() => {});
        await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 8);
        assert.ok((await metric(server, 'cardloom_kv_cache_usage_ratio')) > 0);
        abort.abort();
        await asked;
        for (const name of ['requests_running', 'kv_cache_usage_ratio']) {
          await eventually(async () => (await metric(server, `cardloom_${name}`)) === 0);
        }
        // And nothing runs on unseen.
        await eventually(async () => {
          const steps = await metric(server, 'cardloom_steps_total');
          await new Promise((resolve) => setTimeout(resolve, 30));
          return (await metric(server, 'cardloom_steps_total')) === steps;
        });
      }
    }
    const replies = (await (await fetch(`${server.url}/metrics`)).text()).match(/^cardloom_(replies|requests_cancelled)_total.*$/gm);
    assert.deepEqual(replies, ['cardloom_requests_cancelled_total{by="client"} 8']);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
