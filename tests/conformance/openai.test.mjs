// npm `openai` against the real server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { dataUrl, endless, eventually, metric, slowly, startServer, truth } from './server.mjs';

let server;
let client;
before(async () => {
  server = await startServer();
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
});
after(async () => assert.equal(await server.stop(), 0));

const picture = (name, question) => [
  { role: 'user', content: [
    { type: 'text', text: question },
    { type: 'image_url', image_url: { url: dataUrl(name), detail: 'auto' } },
  ] },
];

const weather = { type: 'function', function: {
  name: 'get_weather',
  description: 'The weather of a city',
  parameters: {
    type: 'object',
    properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
    required: ['city'],
    additionalProperties: false,
  },
} };

test('lists the model', async () => {
  const models = [];
  for await (const model of client.models.list()) models.push(model);
  assert.deepEqual(models.map((model) => model.id), [server.model]);
  assert.equal((await client.models.retrieve(server.model)).id, server.model);
  await assert.rejects(client.models.retrieve('gpt-4'), NotFoundError);
});

test('answers what is in a picture', async () => {
  for (const { image, truth: answer, truth_zh: answerZh } of truth) {
    for (const [question, expected] of [['What is in this picture?', answer], ['图中有什么？', answerZh]]) {
      const reply = await client.chat.completions.create({
        model: server.model, messages: picture(image, question), temperature: 0 });
      assert.equal(reply.object, 'chat.completion');
      assert.equal(reply.choices[0].message.role, 'assistant');
      assert.equal(reply.choices[0].message.content, expected);
      assert.equal(reply.choices[0].finish_reason, 'stop');
      assert.equal(reply.usage.prompt_tokens_details.image_tokens, 18);
      assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
    }
  }
});

test('streams the same answer, with usage at the end', async () => {
  const stream = await client.chat.completions.create({
    model: server.model, messages: picture('scene-1.jpg', 'What is in this picture?'), temperature: 0,
    stream: true, stream_options: { include_usage: true } });
  let text = '';
  let finish;
  let usage;
  let chunks = 0;
  for await (const chunk of stream) {
    ++chunks;
    assert.equal(chunk.object, 'chat.completion.chunk');
    text += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, truth[0].truth);
  assert.equal(finish, 'stop');
  assert.ok(chunks > 3, `${chunks} chunks`);
  assert.ok(usage.completion_tokens > 10);
});

test('the stream helper puts the message together', async () => {
  const runner = client.chat.completions.stream({
    model: server.model, messages: [{ role: 'user', content: 'Hello!' }], temperature: 0 });
  const reply = await runner.finalChatCompletion();
  assert.ok(reply.choices[0].message.content.length > 0);
});

test('several choices, seeds and log probabilities', async () => {
  const ask = (seed, n) => client.chat.completions.create({
    model: server.model, messages: [{ role: 'user', content: 'Hello!' }], temperature: 1.5, seed, n,
    max_tokens: 12, logprobs: true, top_logprobs: 3 });
  const first = await ask(7, 3);
  const second = await ask(7, 3);
  assert.equal(first.choices.length, 3);
  assert.deepEqual(first.choices.map((choice) => choice.message.content),
    second.choices.map((choice) => choice.message.content));
  const alone = await ask(7, 1);
  assert.equal(alone.choices[0].message.content, first.choices[0].message.content);
  for (const token of alone.choices[0].logprobs.content) {
    assert.ok(token.logprob <= 0);
    assert.equal(token.top_logprobs.length, 3);
    assert.ok(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob);
  }
});

test('the text ends before a stop string', async () => {
  const reply = await client.chat.completions.create({
    model: server.model, messages: picture('scene-1.jpg', 'What is in this picture?'), temperature: 0,
    stop: [' at the'] });
  assert.equal(reply.choices[0].message.content, 'An orange square');
  assert.equal(reply.choices[0].finish_reason, 'stop');
});

test('max_tokens ends with length', async () => {
  const reply = await client.chat.completions.create({
    model: server.model, messages: picture('scene-1.jpg', 'What is in this picture?'), temperature: 0,
    max_completion_tokens: 3 });
  assert.equal(reply.choices[0].finish_reason, 'length');
  assert.equal(reply.usage.completion_tokens, 3);
});

test('a named tool is called with arguments by its schema', async () => {
  for (const choice of ['required', { type: 'function', function: { name: 'get_weather' } }]) {
    const reply = await client.chat.completions.create({
      model: server.model, messages: [{ role: 'user', content: 'Hello!' }], tools: [weather],
      tool_choice: choice, temperature: 0 });
    assert.equal(reply.choices[0].finish_reason, 'tool_calls');
    const [call] = reply.choices[0].message.tool_calls;
    assert.equal(call.function.name, 'get_weather');
    assert.ok(['Paris', 'Rome'].includes(JSON.parse(call.function.arguments).city));
    assert.match(call.id, /^call_/);
  }
});

test('a called tool is streamed', async () => {
  const runner = client.chat.completions.stream({
    model: server.model, messages: [{ role: 'user', content: 'Hello!' }], tools: [weather],
    tool_choice: 'required', temperature: 0 });
  const reply = await runner.finalChatCompletion();
  assert.ok(['Paris', 'Rome'].includes(JSON.parse(reply.choices[0].message.tool_calls[0].function.arguments).city));
});

test('a conversation with a tool result is taken', async () => {
  const reply = await client.chat.completions.create({
    model: server.model, temperature: 0, max_tokens: 8, tools: [weather],
    messages: [
      { role: 'user', content: 'What is the weather in Rome?' },
      { role: 'assistant', content: null, tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{"city":"Rome"}' } }] },
      { role: 'tool', tool_call_id: 'call_1', content: 'sunny' },
    ] });
  assert.equal(reply.choices.length, 1);
});

test('an answer by a schema is one', async () => {
  const reply = await client.chat.completions.create({
    model: server.model, messages: [{ role: 'user', content: 'Hello!' }], temperature: 0,
    response_format: { type: 'json_schema', json_schema: { name: 'it', strict: true, schema: {
      type: 'object',
      properties: { colour: { enum: ['red', 'green'] }, count: { type: 'integer', minimum: 1, maximum: 9 }, sure: { type: 'boolean' } },
      required: ['colour', 'count', 'sure'],
      additionalProperties: false,
    } } } });
  const value = JSON.parse(reply.choices[0].message.content);
  assert.ok(['red', 'green'].includes(value.colour));
  assert.ok(Number.isInteger(value.count) && value.count >= 1 && value.count <= 9);
  assert.equal(typeof value.sure, 'boolean');
});

test('a schema that cannot be honoured is refused, naming the keyword', async () => {
  await assert.rejects(client.chat.completions.create({
    model: server.model, messages: [{ role: 'user', content: 'Hello!' }],
    response_format: { type: 'json_schema', json_schema: { name: 'it', schema: {
      type: 'object', properties: { x: { type: 'integer', multipleOf: 7 } } } } } }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /\/properties\/x\/multipleOf/);
    return true;
  });
});

test('completions', async () => {
  const reply = await client.completions.create({ model: server.model, prompt: 'Hello', max_tokens: 5, temperature: 0, echo: true });
  assert.equal(reply.object, 'text_completion');
  assert.ok(reply.choices[0].text.startsWith('Hello'));
  const stream = await client.completions.create({ model: server.model, prompt: ['Hello', 'What'], max_tokens: 5, temperature: 0, stream: true });
  const texts = ['', ''];
  for await (const chunk of stream) for (const choice of chunk.choices) texts[choice.index] += choice.text;
  assert.ok(texts[0].length > 0 && texts[1].length > 0);
});

test('responses, whole and streamed', async () => {
  const input = [{ role: 'user', content: [
    { type: 'input_text', text: 'What is in this picture?' },
    { type: 'input_image', image_url: dataUrl('scene-1.jpg'), detail: 'auto' },
  ] }];
  const reply = await client.responses.create({ model: server.model, input, temperature: 0 });
  assert.equal(reply.status, 'completed');
  assert.equal(reply.output_text, truth[0].truth);
  assert.ok(reply.timings.first_token_ms > 0);
  const stream = await client.responses.create({ model: server.model, input, temperature: 0, stream: true });
  let text = '';
  let last;
  let number = -1;
  for await (const event of stream) {
    assert.equal(event.sequence_number, ++number);
    if (event.type === 'response.output_text.delta') text += event.delta;
    last = event;
  }
  assert.equal(text, truth[0].truth);
  assert.equal(last.type, 'response.completed');
  assert.ok(last.response.timings.prefill_ms > 0);
  await assert.rejects(client.responses.create({ model: server.model, input: 'Hello!', previous_response_id: 'resp_1' }), BadRequestError);
});

test('errors have class, code and parameter', async () => {
  const ask = (fields) => client.chat.completions.create({ model: server.model, messages: [{ role: 'user', content: 'Hello!' }], ...fields });
  const cases = [
    [{ model: 'gpt-4' }, NotFoundError, 'model_not_found', 'model'],
    [{ temperature: 3 }, BadRequestError, undefined, 'temperature'],
    [{ n: 100000 }, BadRequestError, undefined, 'n'],
    [{ messages: [] }, BadRequestError, undefined, 'messages'],
    [{ messages: picture('scene-1.jpg', 'x').map((message) => ({ ...message, content: [{ type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } }] })) },
      BadRequestError, 'unsupported_image', 'messages[0].content[0].image_url.url'],
    [{ max_tokens: 100000 }, BadRequestError, 'context_length_exceeded', 'messages'],
  ];
  for (const [fields, type, code, param] of cases) {
    await assert.rejects(ask(fields), (error) => {
      assert.ok(error instanceof type, `${JSON.stringify(fields).slice(0, 80)}: ${error}`);
      if (code !== undefined) assert.equal(error.code, code);
      assert.equal(error.param, param);
      assert.ok(error.message.length > 20);
      return true;
    });
  }
});

test('an aborted request frees its blocks', async () => {
  const slow = await startServer(slowly);
  try {
    const impatient = new OpenAI({ baseURL: `${slow.url}/v1`, apiKey: 'none', maxRetries: 0 });
    for (const stream of [true, false]) {
      const abort = new AbortController();
      const asked = impatient.chat.completions.create({ model: slow.model, ...endless, stream }, { signal: abort.signal });
      await eventually(async () => (await metric(slow, 'cardloom_requests_running')) === 8);
      const opened = stream ? await asked : undefined;
      abort.abort();
      if (stream) {
        for await (const chunk of opened) void chunk;
      } else {
        await assert.rejects(asked, APIUserAbortError);
      }
      await eventually(async () => (await metric(slow, 'cardloom_requests_running')) === 0);
    }
  } finally {
    assert.equal(await slow.stop(), 0);
  }
});

test('keys', async () => {
  const guarded = await startServer(['--api-key', 'secret-1'], {});
  try {
    const ask = (apiKey) => new OpenAI({ baseURL: `${guarded.url}/v1`, apiKey, maxRetries: 0 }).models.list();
    await assert.rejects(ask('wrong'), AuthenticationError);
    assert.equal((await ask('secret-1')).data.length, 1);
    assert.equal((await fetch(`${guarded.url}/health/live`)).status, 200);
    for (const path of ['/metrics', '/props', '/version', '/v1/cards/events', '/health']) {
      assert.equal((await fetch(guarded.url + path)).status, 401, path);
    }
  } finally {
    assert.equal(await guarded.stop(), 0);
  }
});
