// Fields, endpoints and settings that no SDK sends by itself: what docs/server.md promises of each.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { dataUrl, endless, eventually, metric, post, slowly, startServer, truth } from './server.mjs';

let server;
before(async () => { server = await startServer(); });
after(async () => assert.equal(await server.stop(), 0));

const hello = [{ role: 'user', content: 'Hello!' }];
const picture = (fields = {}) => ({ type: 'image_url', image_url: { url: dataUrl('scene-1.jpg'), ...fields } });
const question = (...parts) => [{ role: 'user', content: [{ type: 'text', text: 'What is in this picture?' }, ...(parts.length > 0 ? parts : [picture()])] }];
const chat = (fields, path = '/v1/chat/completions') => post(server, path, { temperature: 0, ...fields });
let salts = 0;
/// A prompt that no cache knows.
const fresh = () => ({ cache_salt: `fresh-${++salts}` });

/// The JSON of every event of a stream.
const events = (text) => text.split('\n\n').filter((event) => event.startsWith('data: {')).map((event) => JSON.parse(event.slice(6)));

test('stage times and cached tokens are there however an answer ends', async () => {
  const ends = {
    'a stop string': { stop: [' at the'] },
    'the end of the text': {},
    'max_tokens': { max_tokens: 2 },
    'a stop token': { stop_token_ids: [(await post(server, '/tokenize', { prompt: ' at', add_special_tokens: false })).json.tokens[0]] },
    'a grammar': { structured_outputs: { choice: ['yes', 'no'] } },
    'a tool call': { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {}, additionalProperties: false } } }], tool_choice: 'required' },
  };
  for (const [what, fields] of Object.entries(ends)) {
    for (const stream of [false, true]) {
      const asked = { messages: question(), ...fields, ...fresh(), stream, ...(stream ? { stream_options: { include_usage: true } } : {}) };
      const told = async () => {
        const reply = await chat(asked);
        assert.equal(reply.status, 200, reply.text);
        return stream ? events(reply.text).at(-1) : reply.json;
      };
      const { timings } = await told();
      for (const stage of ['image_decode_ms', 'image_preprocess_ms', 'image_encode_ms', 'prefill_ms', 'queue_ms', 'first_token_ms']) {
        assert.ok(timings[stage] > 0, `${what}, stream ${stream}: ${stage} is ${timings[stage]}`);
      }
      assert.ok(timings.image_fetch_ms >= 0 && timings.decode_ms >= 0 && timings.tokens_per_second >= 0);
    }
  }
  // A prompt of several blocks, a second time.
  const long = { messages: [{ role: 'user', content: 'The same words again and again. '.repeat(30) }], max_tokens: 5, ...fresh() };
  await chat(long);
  for (const fields of [{}, { max_tokens: 5 }]) {
    const reply = await chat({ ...long, ...fields });
    assert.ok(reply.json.usage.prompt_tokens_details.cached_tokens >= 32, JSON.stringify(reply.json.usage));
  }
  const text = (await chat(long)).json.choices[0].message.content;
  const stopped = await chat({ ...long, stop: [text.slice(1, 3)] });
  assert.equal(stopped.json.choices[0].finish_reason, 'stop');
  assert.ok(stopped.json.usage.prompt_tokens_details.cached_tokens >= 32, JSON.stringify(stopped.json.usage));
});

test('a prompt is rendered as it is run', async () => {
  const messages = [...question(picture(), picture()), { role: 'assistant', content: 'Two.' }, ...question(picture())];
  for (const path of ['/v1/chat/completions/render', '/apply-template']) {
    const rendered = (await chat({ messages, max_tokens: 5 }, path)).json;
    assert.match(rendered.prompt, /^\[gMASK\]<sop><\|user\|>\n.*What is in this picture\?<\|assistant\|>\nTwo\.<\|user\|>.*<\|assistant\|>$/s);
    assert.equal(rendered.images.length, 3);
    const { json: tokenized } = await post(server, '/tokenize', { messages });
    assert.deepEqual(rendered.token_ids, tokenized.tokens);
    assert.equal(rendered.count, tokenized.count);
    assert.equal(rendered.image_tokens, 54);
    const [begin] = (await post(server, '/tokenize', { messages: question(), return_token_strs: true })).json.token_strs
      .map((text, index) => [text, index]).filter(([text]) => text === '<|begin_of_image|>').map(([, index]) => index);
    assert.equal(rendered.images[0].token_index, begin);
    const { json: reply } = await chat({ messages, max_tokens: 1, return_token_ids: true });
    assert.equal(reply.prompt_token_ids.length, rendered.count);
    for (const image of rendered.images) {
      assert.equal(image.length, 18);
      // Its first row is its begin, its last one its end.
      assert.equal(reply.prompt_token_ids[image.offset], rendered.token_ids[image.token_index]);
      assert.equal(reply.prompt_token_ids[image.offset + image.length - 1], rendered.token_ids[image.token_index + 2]);
    }
  }
  const generated = await metric(server, 'cardloom_generation_tokens_total');
  assert.equal((await chat({ messages, n: 100000 }, '/apply-template')).status, 400);
  assert.equal((await chat({ messages, model: 'gpt-4' }, '/apply-template')).status, 404);
  assert.equal(await metric(server, 'cardloom_generation_tokens_total'), generated);
});

test('what is tokenized has the spellings of special tokens and comes back as text', async () => {
  const { json } = await post(server, '/tokenize', { messages: hello, return_token_strs: true });
  assert.equal(json.token_strs.join(''), '[gMASK]<sop><|user|>\nHello!<|assistant|>');
  const plain = (await post(server, '/tokenize', { prompt: 'Hello, 你好!', add_special_tokens: false })).json.tokens;
  assert.equal((await post(server, '/detokenize', { tokens: plain })).json.prompt, 'Hello, 你好!');
});

test('token ids: of the prompt once, of the answer one for each token', async () => {
  for (const fields of [{}, { stop: ['zzzzzzzz'] }, { stop: [' at the'] }, { max_tokens: 3, stop: ['orange and so on'] }]) {
    const asked = { messages: question(), return_token_ids: true, logprobs: true, top_logprobs: 1, ...fields };
    const { json: whole } = await chat(asked);
    const streamed = events((await chat({ ...asked, stream: true })).text);
    assert.deepEqual(streamed.flatMap((event) => event.prompt_token_ids ?? []), whole.prompt_token_ids);
    assert.equal(streamed.filter((event) => event.prompt_token_ids).length, 1);
    const deltas = streamed.flatMap((event) => event.choices);
    assert.deepEqual(deltas.flatMap((choice) => choice.token_ids ?? []), whole.choices[0].token_ids);
    assert.deepEqual(deltas.flatMap((choice) => choice.logprobs?.content ?? []), whole.choices[0].logprobs.content);
    assert.equal(deltas.map((choice) => choice.delta.content ?? '').join(''), whole.choices[0].message.content);
    if (whole.choices[0].finish_reason === 'length') {
      assert.equal(whole.choices[0].token_ids.length, whole.usage.completion_tokens);
      assert.equal(whole.choices[0].logprobs.content.length, whole.usage.completion_tokens);
    }
  }
  const { json } = await post(server, '/v1/completions', { prompt: ['Hello', 'What is'], n: 2, max_tokens: 3, temperature: 1, seed: 5, return_token_ids: true });
  assert.deepEqual(json.choices[0].prompt_token_ids, json.choices[1].prompt_token_ids);
  assert.notDeepEqual(json.choices[1].prompt_token_ids, json.choices[2].prompt_token_ids);
});

test('prompts of one completion draw as each alone', async () => {
  const ask = async (prompt) => (await post(server, '/v1/completions', { prompt, max_tokens: 12, temperature: 1.3, seed: 11, ignore_eos: true })).json.choices.map((choice) => choice.text);
  const [first] = await ask('Hello');
  const [second] = await ask('What is');
  assert.deepEqual(await ask(['Hello', 'What is']), [first, second]);
});

test('progress counts pictures and tokens up', async () => {
  const asked = { messages: question(picture(), picture()), stream: true, return_progress: true, max_tokens: 2 };
  const told = events((await chat({ ...asked, ...fresh() })).text).filter((event) => event.prompt_progress).map((event) => event.prompt_progress);
  assert.ok(told.length > 0);
  for (const [index, progress] of told.entries()) {
    assert.equal(progress.images, 2);
    assert.equal(progress.tokens, 47);
    if (index === 0) continue;
    assert.ok(progress.images_done >= told[index - 1].images_done && progress.images_done <= 2);
    assert.ok(progress.tokens_done >= told[index - 1].tokens_done && progress.tokens_done <= 47);
  }
  const silent = events((await chat({ ...asked, return_progress: false, ...fresh() })).text);
  assert.ok(!silent.some((event) => event.prompt_progress));
});

test('a last message is continued, by either name of the wish', async () => {
  const whole = (await chat({ messages: question() })).json.choices[0].message.content;
  const messages = [...question(), { role: 'assistant', content: whole.slice(0, 9) }];
  for (const fields of [
    { continue_final_message: true, add_generation_prompt: false }, { continue_final_message: true },
    { chat_template_kwargs: { continue_final_message: true } },
  ]) {
    assert.equal((await chat({ messages, ...fields })).json.choices[0].message.content, whole.slice(9));
  }
  for (const fields of [{ continue_final_message: true, add_generation_prompt: true }, { continue_final_message: true, messages: question() }]) {
    assert.equal((await chat({ messages, ...fields })).status, 400);
  }
});

test('template arguments are a white list', async () => {
  const ignored = await chat({ messages: hello, max_tokens: 1, chat_template_kwargs: { enable_thinking: false, thinking: true } });
  assert.equal(ignored.status, 200);
  assert.equal(ignored.headers.get('x-ignored-fields'), 'chat_template_kwargs.enable_thinking, chat_template_kwargs.thinking');
  for (const name of ['tokenize', 'chat_template', 'tools', '__proto__x', 'return_dict']) {
    const reply = await chat({ messages: hello, chat_template_kwargs: { [name]: true } });
    assert.equal(reply.status, 400);
    assert.equal(reply.json.error.param, 'chat_template_kwargs');
  }
});

test('fields without effect are named in a header, also of a stream', async () => {
  const fields = { messages: hello, max_tokens: 1, reasoning_effort: 'low', verbosity: 'low', web_search_options: {}, no_such_field: 1, 'na\u00efve,field': 1 };
  for (const stream of [false, true]) {
    const reply = await chat({ ...fields, stream });
    assert.equal(reply.headers.get('x-ignored-fields'), 'reasoning_effort, verbosity, web_search_options, no_such_field, na??ve?field');
  }
  const harmless = { user: 'u', metadata: { a: 'b' }, store: false, safety_identifier: 's', prompt_cache_key: 'k', modalities: ['text'], parallel_tool_calls: true };
  assert.equal((await chat({ messages: hello, max_tokens: 1, ...harmless })).headers.get('x-ignored-fields'), null);
});

test('classes of priority, by number and by tier', async () => {
  for (const priority of [0, 1, 2]) assert.equal((await chat({ messages: hello, max_tokens: 1, priority })).status, 200);
  for (const priority of [-1, 3, 0.5, 'high']) assert.equal((await chat({ messages: hello, max_tokens: 1, priority })).status, 400);
  for (const [tier, told] of [['auto', 'default'], ['default', 'default'], ['flex', 'flex'], ['priority', 'priority']]) {
    assert.equal((await chat({ messages: hello, max_tokens: 1, service_tier: tier })).json.service_tier, told);
    assert.equal((await post(server, '/v1/responses', { input: 'Hello!', max_output_tokens: 1, service_tier: tier })).json.service_tier, told);
  }
  assert.equal((await chat({ messages: hello, max_tokens: 1 })).json.service_tier, undefined);
  assert.equal((await chat({ messages: hello, max_tokens: 1, service_tier: 'gold' })).json.error.param, 'service_tier');
});

test('a picture may be as large as it is, or the wish is refused', async () => {
  for (const [fields, status] of [[{ detail: 'high' }, 200], [{ detail: 'auto' }, 200], [{ detail: 'low' }, 400], [{ max_pixels: 1 << 24 }, 200], [{ max_pixels: 100 }, 400], [{ max_pixels: 0 }, 400]]) {
    const reply = await chat({ messages: question(picture(fields)), max_tokens: 1 });
    assert.equal(reply.status, status, `${JSON.stringify(fields)}: ${reply.text}`);
    assert.equal(reply.headers.get('x-ignored-fields'), null);
  }
  for (const name of ['mm_processor_kwargs', 'media_io_kwargs']) {
    assert.equal((await chat({ messages: hello, [name]: {} })).json.error.param, name);
  }
});

test('responses without a store', async () => {
  const ask = (fields) => post(server, '/v1/responses', { input: 'Hello!', max_output_tokens: 2, temperature: 0, ...fields });
  for (const fields of [{}, { store: false }, { store: null }]) {
    const reply = await ask(fields);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.store, false);
  }
  for (const fields of [{ store: true }, { background: true }, { previous_response_id: 'resp_1' }, { conversation: 'conv_1' }, { prompt: { id: 'x' } }, { truncation: 'auto' }]) {
    const reply = await ask(fields);
    assert.equal(reply.status, 400);
    assert.equal(reply.json.error.param, Object.keys(fields)[0]);
  }
  const reference = await ask({ input: [{ type: 'item_reference', id: 'msg_1' }] });
  assert.equal(reference.json.error.param, 'input[0]');
  assert.match(reference.json.error.message, /"store": false.*providerOptions/);
  assert.match((await post(server, '/v1/responses/resp_1/cancel', {})).json.error.message, /nothing is stored/);
});

test('other servers\' endpoints are refused by name', async () => {
  for (const [path, what] of [['/v1/embeddings', /embeddings/], ['/v1/rerank', /scores/], ['/v1/score', /scores/], ['/v1/audio/transcriptions', /hears/],
    ['/v1/images/generations', /draws/], ['/v1/files', /keeps nothing/], ['/api/chat', /Ollama/], ['/sleep', /v1\/chat\/completions/]]) {
    const reply = await post(server, path, { input: 'x' });
    assert.equal(reply.status, 404);
    assert.equal(reply.json.error.code, 'unknown_url');
    assert.match(reply.json.error.message, what);
  }
});

test('/props shows every limit and setting, and no secret', async () => {
  const other = await startServer(['--api-key', 'secret-props', '--media-root', '/usr', '--fetch-images', 'allowed', '--image-host', 'example.com',
    '--max-n', '3', '--max-messages', '7', '--max-tokens', '11', '--max-per-key', '5', '--max-stop', '2', '--max-header-bytes', '9000', '--strict']);
  try {
    const headers = { authorization: 'Bearer secret-props' };
    const text = await (await fetch(`${other.url}/props`, { headers })).text();
    const props = JSON.parse(text);
    for (const [name, value] of Object.entries({ max_n: 3, max_messages: 7, max_tokens: 11, max_per_key: 5, max_stop: 2, max_header_bytes: 9000, max_headers: 100,
      max_images: 8, max_image_bytes: 20 << 20, max_image_pixels: 40e6, max_total_pixels: 120e6, max_body_bytes: 64 << 20, max_tools: 128, max_schema_bytes: 64 << 10, max_schema_states: 4096, max_json_depth: 64, max_queue: 256 })) {
      assert.equal(props.limits[name], value, name);
    }
    assert.ok(props.limits.max_connections > 0 && props.limits.max_pending_images > 0);
    assert.equal(props.settings.strict, true);
    assert.equal(props.settings.fetch_images, 'allowed');
    assert.doesNotMatch(text, /secret-props|\/usr|example\.com/);
    const ask = (fields) => post(other, '/v1/chat/completions', { messages: hello, ...fields }, headers);
    assert.match((await ask({ n: 4 })).json.error.message, /--max-n/);
    assert.match((await ask({ messages: Array(8).fill(hello[0]) })).json.error.message, /7/);
    assert.equal((await ask({ stop: ['a', 'b', 'c'] })).json.error.param, 'stop');
    assert.equal((await ask({ ignore_eos: true, temperature: 0 })).json.usage.completion_tokens, 11);
    const unknown = await ask({ temprature: 1 });
    assert.equal(unknown.json.error.code, 'unknown_parameter');
    assert.match(unknown.json.error.message, /the nearest is "temperature"/);
  } finally {
    assert.equal(await other.stop(), 0);
  }
});

test('one key cannot take all places', async () => {
  const other = await startServer([...slowly, '--max-per-key', '2'], { CARDLOOM_API_KEYS: 'first-key-1,second-key' });
  try {
    const ask = (key, fields = {}) => post(other, '/v1/chat/completions', { messages: hello, max_tokens: 1, ...fields }, { 'x-api-key': key });
    const left = new AbortController();
    const hold = () => fetch(`${other.url}/v1/chat/completions`, { method: 'POST', signal: left.signal,
      headers: { 'content-type': 'application/json', 'x-api-key': 'first-key-1' }, body: JSON.stringify(endless) }).catch(() => {});
    const runs = (count) => eventually(async () => (await metric(other, 'cardloom_requests_running', { 'x-api-key': 'second-key' })) >= count);
    const held = [hold()];
    await runs(8);
    // The other place, one after another: it is free before the answer is read.
    for (let i = 0; i < 20; ++i) assert.equal((await ask('first-key-1')).status, 200);
    held.push(hold());
    await runs(16);
    const third = await ask('first-key-1');
    assert.equal(third.status, 429);
    assert.equal(third.json.error.code, 'rate_limit_exceeded');
    assert.ok(Number(third.headers.get('retry-after-ms')) > 0 && Number(third.headers.get('retry-after')) > 0);
    assert.equal((await fetch(`${other.url}/v1/models`, { headers: { 'x-api-key': 'first-key-1' } })).status, 200);
    assert.equal((await ask('second-key')).status, 200);
    left.abort();
    await Promise.all(held);
    await eventually(async () => (await ask('first-key-1')).status === 200);
  } finally {
    assert.equal(await other.stop(), 0);
  }
});

test('no page of somebody else\'s may read or ask', async () => {
  for (const method of ['GET', 'OPTIONS', 'POST']) {
    const response = await fetch(`${server.url}/v1/models`, { method, headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } });
    for (const name of response.headers.keys()) assert.doesNotMatch(name, /^access-control/);
    assert.equal(response.status, method === 'GET' ? 200 : 405);
  }
  const text = await fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify({ messages: hello }) });
  assert.equal(text.status, 415);
});

test('a stream that is silent has a sign of life', async () => {
  const other = await startServer(['--max-running', '1', '--ping-interval', '1']);
  try {
    const ask = (fields, signal) => fetch(`${other.url}/v1/chat/completions`, { method: 'POST', signal, headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ messages: hello, stream: true, temperature: 0, ...fields }) });
    const leave = new AbortController();
    const others = Array.from({ length: 40 }, () => ask({ max_tokens: 8000, ignore_eos: true, priority: 0 }, leave.signal).catch(() => {}));
    await eventually(async () => (await metric(other, 'cardloom_requests_waiting')) >= 30);
    let text = '';
    for await (const part of (await ask({ priority: 2, max_tokens: 3 })).body.pipeThrough(new TextDecoderStream())) {
      text += part;
      if (text.includes(': ping\n\n')) leave.abort();
    }
    assert.match(text, /^data: .*\n\n: ping\n\n.*data: \[DONE\]\n\n$/s);
    await Promise.all(others);
  } finally {
    assert.equal(await other.stop(), 0);
  }
});

test('the truth, after all of this', async () => {
  assert.equal((await chat({ messages: question() })).json.choices[0].message.content, truth[0].truth);
});
