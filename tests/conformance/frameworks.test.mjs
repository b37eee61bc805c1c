// The Vercel AI SDK's three providers and LangChain against the real server.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage } from '@langchain/core/messages';
import { ChatOpenAI } from '@langchain/openai';
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { base64, dataUrl, startServer, truth } from './server.mjs';

let server;
let providers;
before(async () => {
  server = await startServer();
  providers = {
    compatible: createOpenAICompatible({ name: 'cardloom', baseURL: `${server.url}/v1`, includeUsage: true, supportsStructuredOutputs: true })(server.model),
    openai: createOpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' })(server.model),
    openaiChat: createOpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' }).chat(server.model),
    anthropic: createAnthropic({ baseURL: `${server.url}/v1`, apiKey: 'none' })(server.model),
  };
});
after(async () => assert.equal(await server.stop(), 0));

const messages = () => [{ role: 'user', content: [
  { type: 'text', text: 'What is in this picture?' },
  { type: 'image', image: Buffer.from(base64('scene-1.jpg'), 'base64'), mediaType: 'image/jpeg' },
] }];

for (const name of ['compatible', 'openai', 'openaiChat', 'anthropic']) {
  test(`${name}: a picture, whole`, async () => {
    const reply = await generateText({ model: providers[name], messages: messages(), temperature: 0, maxRetries: 0 });
    assert.equal(reply.text, truth[0].truth);
    assert.equal(reply.finishReason, 'stop');
  });

  test(`${name}: a picture, streamed`, async () => {
    const reply = streamText({ model: providers[name], messages: messages(), temperature: 0, maxRetries: 0 });
    let text = '';
    for await (const part of reply.textStream) text += part;
    assert.equal(text, truth[0].truth);
    assert.ok((await reply.usage).outputTokens > 10);
  });

  test(`${name}: a forced tool`, async () => {
    const paint = tool({
      description: 'Paints',
      inputSchema: jsonSchema({ type: 'object', properties: { colour: { type: 'string', enum: ['red', 'blue'] } }, required: ['colour'], additionalProperties: false }),
    });
    const reply = await generateText({ model: providers[name], prompt: 'Hello!', tools: { paint }, toolChoice: 'required', stopWhen: stepCountIs(1), temperature: 0, maxRetries: 0 });
    assert.equal(reply.toolCalls[0].toolName, 'paint');
    assert.ok(['red', 'blue'].includes(reply.toolCalls[0].input.colour));
  });
}

for (const name of ['compatible', 'openai', 'openaiChat']) {
  test(`${name}: an object by a schema`, async () => {
    const schema = jsonSchema({ type: 'object', properties: { digit: { type: 'integer', minimum: 0, maximum: 9 }, colour: { type: 'string', enum: ['red', 'blue'] } }, required: ['digit', 'colour'], additionalProperties: false });
    const reply = await generateText({ model: providers[name], prompt: 'Hello!', output: Output.object({ schema }), temperature: 0, maxRetries: 0 });
    assert.ok(reply.output.digit >= 0 && reply.output.digit <= 9);
    assert.ok(['red', 'blue'].includes(reply.output.colour));
  });
}

test('langchain: invoke, stream, structured output', async () => {
  const chat = new ChatOpenAI({ model: server.model, temperature: 0, apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${server.url}/v1` } });
  const message = new HumanMessage({ content: [
    { type: 'text', text: 'What is in this picture?' },
    { type: 'image_url', image_url: { url: dataUrl('scene-1.jpg') } },
  ] });
  assert.equal((await chat.invoke([message])).content, truth[0].truth);
  let text = '';
  for await (const chunk of await chat.stream([message])) text += chunk.content;
  assert.equal(text, truth[0].truth);
  const structured = chat.withStructuredOutput({ title: 'it', type: 'object', properties: { digit: { type: 'integer', minimum: 0, maximum: 9 } }, required: ['digit'], additionalProperties: false });
  const value = await structured.invoke('Hello!');
  assert.ok(value.digit >= 0 && value.digit <= 9);
});
