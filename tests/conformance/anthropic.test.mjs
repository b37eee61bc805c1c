// npm `@anthropic-ai/sdk` against the real server.
import Anthropic, { BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { base64, startServer, truth } from './server.mjs';

let server;
let client;
before(async () => {
  server = await startServer();
  client = new Anthropic({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
});
after(async () => assert.equal(await server.stop(), 0));

const question = () => [{ role: 'user', content: [
  { type: 'image', source: { type: 'base64', media_type: 'image/jpeg', data: base64('scene-1.jpg') } },
  { type: 'text', text: 'What is in this picture?' },
] }];

test('answers what is in a picture', async () => {
  const reply = await client.messages.create({ model: server.model, max_tokens: 100, temperature: 0, messages: question() });
  assert.equal(reply.type, 'message');
  assert.equal(reply.content[0].text, truth[0].truth);
  assert.equal(reply.stop_reason, 'end_turn');
  assert.ok(reply.usage.input_tokens > 18 && reply.usage.output_tokens > 10);
});

test('streams it', async () => {
  const stream = client.messages.stream({ model: server.model, max_tokens: 100, temperature: 0, messages: question() });
  let text = '';
  stream.on('text', (delta) => { text += delta; });
  const reply = await stream.finalMessage();
  assert.equal(text, truth[0].truth);
  assert.equal(reply.content[0].text, truth[0].truth);
  assert.equal(reply.stop_reason, 'end_turn');
});

test('a stop sequence is told', async () => {
  const reply = await client.messages.create({ model: server.model, max_tokens: 100, temperature: 0, stop_sequences: [' at the'], messages: question() });
  assert.equal(reply.content[0].text, 'An orange square');
  assert.equal(reply.stop_reason, 'stop_sequence');
  assert.equal(reply.stop_sequence, ' at the');
});

test('max_tokens', async () => {
  const reply = await client.messages.create({ model: server.model, max_tokens: 2, temperature: 0, messages: question() });
  assert.equal(reply.stop_reason, 'max_tokens');
  assert.ok(reply.timings.first_token_ms > 0);
});

test('a forced tool is used', async () => {
  const stream = client.messages.stream({
    model: server.model, max_tokens: 100, temperature: 0, messages: [{ role: 'user', content: 'Hello!' }],
    tools: [{ name: 'paint', description: 'Paints', input_schema: { type: 'object', properties: { colour: { enum: ['red', 'blue'] } }, required: ['colour'], additionalProperties: false } }],
    tool_choice: { type: 'tool', name: 'paint' } });
  const reply = await stream.finalMessage();
  assert.equal(reply.stop_reason, 'tool_use');
  const call = reply.content.find((block) => block.type === 'tool_use');
  assert.equal(call.name, 'paint');
  assert.ok(['red', 'blue'].includes(call.input.colour));
});

test('counts tokens', async () => {
  const counted = await client.messages.countTokens({ model: server.model, messages: question() });
  const reply = await client.messages.create({ model: server.model, max_tokens: 1, messages: question() });
  const cached = reply.usage.cache_read_input_tokens ?? 0;
  assert.equal(counted.input_tokens, reply.usage.input_tokens + cached);
});

test('errors', async () => {
  await assert.rejects(client.messages.create({ model: server.model, max_tokens: 5, temperature: 7, messages: question() }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.error.type, 'error');
    assert.equal(error.error.error.type, 'invalid_request_error');
    return true;
  });
  await assert.rejects(client.messages.create({ model: 'claude', max_tokens: 5, messages: question() }), NotFoundError);
});
