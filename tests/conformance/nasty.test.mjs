// A hundred requests that nobody should send, each with the answer that it must get; and after all
// of them the server answers as before.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import { dataUrl, eventually, metric, post, raw, startServer, truth } from './server.mjs';

let server;
before(async () => { server = await startServer(['--max-body-bytes', '2000000', '--max-image-bytes', '1000000']); });
after(async () => assert.equal(await server.stop(), 0));

const user = (content) => [{ role: 'user', content }];
const hello = user('Hello!');
const image = (url) => user([{ type: 'image_url', image_url: { url } }]);
const png = (bytes) => `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`;

/// A PNG whose header promises much more than there is.
function pngOf(width, height) {
  const crcTable = Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; ++k) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c >>> 0;
  });
  const crc = (bytes) => {
    let c = 0xffffffff;
    for (const byte of bytes) c = crcTable[(c ^ byte) & 0xff] ^ (c >>> 8);
    return (c ^ 0xffffffff) >>> 0;
  };
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]), chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(1000))), chunk('IEND', Buffer.alloc(0))]);
}

const b64 = (bytes) => `data:image/jpeg;base64,${bytes.toString('base64')}`;
const schema = (text) => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: text } } });
const doubled = (levels) => (levels === 0 ? { type: 'string' }
  : { anyOf: [doubled(levels - 1), { type: 'array', items: doubled(levels - 1) }] });

/// Heads of pictures, with nothing behind them.
const jpegOf = (width, height) => Buffer.from([0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, height >> 8, height & 255, width >> 8, width & 255,
  3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0, 0xff, 0xd9]);
function webpOf(width, height) {
  const frame = Buffer.alloc(74);
  frame.set([0x10, 2, 0, 0x9d, 1, 0x2a, width & 255, width >> 8, height & 255, height >> 8]);
  const file = Buffer.concat([Buffer.from('RIFF....WEBPVP8 ....'), frame]);
  file.writeUInt32LE(file.length - 8, 4);
  file.writeUInt32LE(frame.length, 16);
  return file;
}

// [what, body, status, param, part of the message]
const chat = [
  ['no JSON', '{', 400, null, /JSON/],
  ['empty', '', 400, null, /JSON/],
  ['an array', '[]', 400, null, /object/],
  ['a string', '"x"', 400, null, /object/],
  ['null', 'null', 400, null, /object/],
  ['trailing bytes', '{"messages":[]} x', 400, null, /JSON/],
  ['NaN', '{"messages":[],"temperature":NaN}', 400, null, /JSON/],
  ['Infinity', '{"messages":[],"temperature":Infinity}', 400, null, /JSON/],
  ['a huge number', '{"messages":[],"temperature":1e999}', 400, null, /./],
  ['a comment', '{/*x*/}', 400, null, /JSON/],
  ['bad UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), 400, null, /./],
  ['a NUL', '{"messages"\0:[]}', 400, null, /JSON/],
  ['a lone surrogate', '{"messages":[{"role":"user","content":"\\ud800"}]}', 400, null, /./],
  ['deep', `{"messages":${'['.repeat(5000)}${']'.repeat(5000)}}`, 400, null, /deep/],
  ['deep objects', `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`, 400, null, /deep/],
  ['unclosed and deep', '['.repeat(100000), 400, null, /./],
  ['a key twice', '{"messages":[],"messages":[{"role":"user","content":"x"}]}', 400, null, /messages/],
  ['no messages', {}, 400, 'messages', /messages/],
  ['messages null', { messages: null }, 400, 'messages', /./],
  ['messages a string', { messages: 'Hello!' }, 400, 'messages', /./],
  ['no message', { messages: [] }, 400, 'messages', /./],
  ['a number as message', { messages: [1] }, 400, 'messages[0]', /./],
  ['no role', { messages: [{ content: 'x' }] }, 400, 'messages[0].role', /./],
  ['another role', { messages: [{ role: 'root', content: 'x' }] }, 400, 'messages[0].role', /root/],
  ['content a number', { messages: [{ role: 'user', content: 1 }] }, 400, 'messages[0].content', /./],
  ['content an object', { messages: [{ role: 'user', content: {} }] }, 400, 'messages[0].content', /./],
  ['a part without type', { messages: user([{ text: 'x' }]) }, 400, 'messages[0].content[0].type', /./],
  ['sound', { messages: user([{ type: 'input_audio', input_audio: { data: 'x', format: 'wav' } }]) }, 400, 'messages[0].content[0].type', /input_audio/],
  ['a file', { messages: user([{ type: 'file', file: { file_id: 'x' } }]) }, 400, 'messages[0].content[0].type', /file/],
  ['an image_url that is a number', { messages: image(5) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['detail that is none', { messages: user([{ type: 'image_url', image_url: { url: 'data:,', detail: 'ultra' } }]) }, 400, 'messages[0].content[0].image_url.detail', /ultra/],
  ['an empty URL', { messages: image('') }, 400, 'messages[0].content[0].image_url.url', /./],
  ['a path', { messages: image('/etc/passwd') }, 400, 'messages[0].content[0].image_url.url', /./],
  ['a file URL', { messages: image('file:///etc/passwd') }, 400, 'messages[0].content[0].image_url.url', /media-root/],
  ['a fetch of our own', { messages: image('http://127.0.0.1/x') }, 400, 'messages[0].content[0].image_url.url', /fetch/],
  ['the cloud\'s secrets', { messages: image('http://169.254.169.254/latest/meta-data') }, 400, 'messages[0].content[0].image_url.url', /fetch/],
  ['another scheme', { messages: image('gopher://x') }, 400, 'messages[0].content[0].image_url.url', /./],
  ['javascript', { messages: image('javascript:alert(1)') }, 400, 'messages[0].content[0].image_url.url', /./],
  ['data without base64', { messages: image('data:image/png,abc') }, 400, 'messages[0].content[0].image_url.url', /base64/],
  ['base64 with a blank', { messages: image('data:image/png;base64,AA AA') }, 400, 'messages[0].content[0].image_url.url', /base64/],
  ['base64 with line breaks', { messages: image('data:image/png;base64,AAAA\nAAAA') }, 400, 'messages[0].content[0].image_url.url', /base64/],
  ['base64 with bad padding', { messages: image('data:image/png;base64,AAA') }, 400, 'messages[0].content[0].image_url.url', /base64/],
  ['base64 of nothing', { messages: image('data:image/png;base64,') }, 400, 'messages[0].content[0].image_url.url', /picture/],
  ['no picture', { messages: image(png('hello, world')) }, 400, 'messages[0].content[0].image_url.url', /picture/],
  ['a GIF', { messages: image(png('GIF89a\x01\0\x01\0\0\0\0;')) }, 400, 'messages[0].content[0].image_url.url', /GIF/],
  ['an SVG', { messages: image(png('<svg xmlns="http://www.w3.org/2000/svg"/>')) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['half a PNG', { messages: image(png(pngOf(10, 10).subarray(0, 40))) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['a bomb', { messages: image(png(pngOf(60000, 60000))) }, 413, 'messages[0].content[0].image_url.url', /3600000000|pixels/],
  ['a picture of no size', { messages: image(png(pngOf(0, 0))) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['too many bytes', { messages: image(png(Buffer.alloc(1100000))) }, 413, 'messages[0].content[0].image_url.url', /1000000/],
  ['nine pictures', { messages: user(Array(9).fill({ type: 'image_url', image_url: { url: dataUrl('scene-1.jpg') } })) }, 400, 'messages[0].content[8].image_url.url', /8/],
  ['temperature -1', { messages: hello, temperature: -1 }, 400, 'temperature', /-1/],
  ['temperature "hot"', { messages: hello, temperature: 'hot' }, 400, 'temperature', /./],
  ['temperature true', { messages: hello, temperature: true }, 400, 'temperature', /./],
  ['top_p 0', { messages: hello, top_p: 0 }, 400, 'top_p', /./],
  ['top_p 1.1', { messages: hello, top_p: 1.1 }, 400, 'top_p', /./],
  ['top_k -5', { messages: hello, top_k: -5 }, 400, 'top_k', /-5/],
  ['min_p 2', { messages: hello, min_p: 2 }, 400, 'min_p', /./],
  ['presence_penalty 3', { messages: hello, presence_penalty: 3 }, 400, 'presence_penalty', /./],
  ['frequency_penalty -3', { messages: hello, frequency_penalty: -3 }, 400, 'frequency_penalty', /./],
  ['repetition_penalty 0', { messages: hello, repetition_penalty: 0 }, 400, 'repetition_penalty', /./],
  ['seed 1.5', { messages: hello, seed: 1.5 }, 400, 'seed', /./],
  ['seed "1"', { messages: hello, seed: '1' }, 400, 'seed', /./],
  ['n 0', { messages: hello, n: 0 }, 400, 'n', /./],
  ['n a million', { messages: hello, n: 1000000 }, 400, 'n', /./],
  ['n 1e18', { messages: hello, n: 1e18 }, 400, 'n', /./],
  ['max_tokens 0', { messages: hello, max_tokens: 0 }, 400, 'max_tokens', /./],
  ['max_tokens -1', { messages: hello, max_tokens: -1 }, 400, 'max_tokens', /./],
  ['max_tokens 2^62', '{"messages":[{"role":"user","content":"x"}],"max_tokens":4611686018427387904}', 400, null, /./],
  ['two limits', { messages: hello, max_tokens: 1, max_completion_tokens: 2 }, 400, null, /./],
  ['min_tokens above max', { messages: hello, min_tokens: 9, max_tokens: 3 }, 400, 'min_tokens', /./],
  ['stop a number', { messages: hello, stop: 5 }, 400, 'stop', /./],
  ['stop empty', { messages: hello, stop: [''] }, 400, 'stop[0]', /./],
  ['17 stops', { messages: hello, stop: Array(17).fill('x') }, 400, 'stop', /16/],
  ['a long stop', { messages: hello, stop: 'x'.repeat(129) }, 400, 'stop', /128/],
  ['a bias on no token', { messages: hello, logit_bias: { 999999: 1 } }, 400, null, /999999/],
  ['a bias by name', { messages: hello, logit_bias: { cat: 1 } }, 400, null, /cat/],
  ['a bias of 1000', { messages: hello, logit_bias: { 5: 1000 } }, 400, null, /./],
  ['top_logprobs 21', { messages: hello, logprobs: true, top_logprobs: 21 }, 400, 'top_logprobs', /./],
  ['top_logprobs alone', { messages: hello, top_logprobs: 2 }, 400, 'top_logprobs', /./],
  ['stream "yes"', { messages: hello, stream: 'yes' }, 400, 'stream', /./],
  ['tools an object', { messages: hello, tools: {} }, 400, 'tools', /./],
  ['a tool without name', { messages: hello, tools: [{ type: 'function', function: {} }] }, 400, 'tools[0].function.name', /./],
  ['129 tools', { messages: hello, tools: Array.from({ length: 129 }, (_, i) => ({ type: 'function', function: { name: `f${i}` } })) }, 400, 'tools[128].function.name', /128/],
  ['a choice of no tool', { messages: hello, tools: [{ type: 'function', function: { name: 'f' } }], tool_choice: { type: 'function', function: { name: 'g' } } }, 400, null, /g/],
  ['a forced tool without tools', { messages: hello, tool_choice: 'required' }, 400, 'tool_choice', /./],
  ['a format that is none', { messages: hello, response_format: { type: 'xml' } }, 400, 'response_format.type', /xml/],
  ['no schema', { messages: hello, response_format: { type: 'json_schema' } }, 400, null, /./],
  ['a schema with multipleOf', { messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'integer', multipleOf: 3 } } } }, 400, null, /\/multipleOf/],
  ['a schema without instance', { messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { enum: [] } } } }, 400, null, /./],
  ['a reference to nowhere', { messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { $ref: '#/$defs/none' } } } }, 400, null, /\$ref/],
  ['a remote reference', { messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { $ref: 'http://127.0.0.1/x' } } } }, 400, null, /\$ref/],
  ['a long schema', { messages: hello, response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { description: 'x'.repeat(70000) } } } }, 400, null, /65536/],
  ['a bad regex', { messages: hello, structured_outputs: { regex: '(' } }, 400, null, /./],
  ['a regex that explodes', { messages: hello, structured_outputs: { regex: '((a{1000}){1000}){1000}' } }, 413, null, /./],
  ['a look-behind', { messages: hello, structured_outputs: { regex: '(?<=a)b' } }, 400, null, /./],
  ['no choices', { messages: hello, structured_outputs: { choice: [] } }, 400, null, /./],
  ['store', { messages: hello, store: true }, 400, 'store', /./],
  ['audio', { messages: hello, modalities: ['text', 'audio'], audio: { voice: 'x', format: 'wav' } }, 400, null, /audio/],
  ['template arguments', { messages: hello, chat_template_kwargs: { tokenize: true } }, 400, null, /tokenize/],
  ['another model', { model: '../../etc/passwd', messages: hello }, 404, 'model', /glm-4v-nano/],
  ['a context too long', { messages: user('word '.repeat(20000)) }, 400, 'messages', /8192/],
  ['priority 9', { messages: hello, priority: 9 }, 400, 'priority', /./],
  ['priority 1e300', { messages: hello, priority: 1e300 }, 400, 'priority', /./],
  ['a JPEG bomb', { messages: image(b64(jpegOf(65000, 65000))) }, 413, 'messages[0].content[0].image_url.url', /4225000000/],
  ['a strip', { messages: image(b64(jpegOf(1, 65535))) }, 413, 'messages[0].content[0].image_url.url', /65535/],
  ['a PNG strip', { messages: image(png(pngOf(1, 60000000))) }, 413, 'messages[0].content[0].image_url.url', /60000000/],
  ['a PNG of 2^31 by 2^31', { messages: image(png(pngOf(2147483647, 2147483647))) }, 413, 'messages[0].content[0].image_url.url', /pixels/],
  ['a WebP bomb', { messages: image(b64(webpOf(16383, 16383))) }, 413, 'messages[0].content[0].image_url.url', /268402689/],
  ['half a WebP', { messages: image(b64(webpOf(16, 16).subarray(0, 34))) }, 400, 'messages[0].content[0].image_url.url', /promises 94/],
  ['half a JPEG', { messages: image(b64(jpegOf(16, 16))) }, 400, 'messages[0].content[0].image_url.url', /JPEG/],
  ['JPEG 2000', { messages: image(b64(Buffer.from('0000000c6a5020200d0a870a', 'hex'))) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['a TIFF', { messages: image(b64(Buffer.from('49492a0008000000', 'hex'))) }, 400, 'messages[0].content[0].image_url.url', /TIFF/],
  ['a PDF', { messages: image(b64(Buffer.from('%PDF-1.7'))) }, 400, 'messages[0].content[0].image_url.url', /./],
  ['a URL with a NUL', { messages: image('file:///a\0b') }, 400, 'messages[0].content[0].image_url.url', /NUL/],
  ['a URL of 9000 letters', { messages: image(`http://x/${'y'.repeat(9000)}`) }, 400, 'messages[0].content[0].image_url.url', /limit/],
  ['seed 2^63', '{"messages":[{"role":"user","content":"x"}],"seed":9223372036854775808}', 400, 'seed', /9223372036854775808/],
  ['seed 1e400', '{"messages":[{"role":"user","content":"x"}],"seed":1e400}', 400, 'seed', /./],
  ['top_k 2^31', { messages: hello, top_k: 2147483648 }, 400, 'top_k', /2147483648/],
  ['n -1', { messages: hello, n: -1 }, 400, 'n', /-1/],
  ['n 9', { messages: hello, n: 9 }, 400, 'n', /8/],
  ['logprobs 5', { messages: hello, logprobs: 5 }, 400, 'logprobs', /./],
  ['top_logprobs -1', { messages: hello, logprobs: true, top_logprobs: -1 }, 400, 'top_logprobs', /-1/],
  ['a bias on -1', { messages: hello, logit_bias: { '-1': 1 } }, 400, 'logit_bias', /"-1"/],
  ['a bias on 1e2', { messages: hello, logit_bias: { '1e2': 1 } }, 400, 'logit_bias', /1e2/],
  ['a bias on a blank', { messages: hello, logit_bias: { ' 5': 1 } }, 400, 'logit_bias', /" 5"/],
  ['a bias on 10^20', { messages: hello, logit_bias: { 99999999999999999999: 1 } }, 400, 'logit_bias', /./],
  ['a bias by a list', { messages: hello, logit_bias: [1] }, 400, 'logit_bias', /list/],
  ['a bias that is null', { messages: hello, logit_bias: { 5: null } }, 400, 'logit_bias.5', /null/],
  ['a bias twice', '{"messages":[{"role":"user","content":"x"}],"logit_bias":{"5":1,"5":2}}', 400, null, /twice/],
  ['stop token -1', { messages: hello, stop_token_ids: [-1] }, 400, 'stop_token_ids[0]', /-1/],
  ['stop token 1e9', { messages: hello, stop_token_ids: [1e9] }, 400, 'stop_token_ids[0]', /1000000000/],
  ['100,000 stop tokens', { messages: hello, stop_token_ids: Array(100000).fill(1) }, 400, 'stop_token_ids', /16/],
  ['repetition_penalty 1e300', { messages: hello, repetition_penalty: 1e300 }, 400, 'repetition_penalty', /./],
  ['a salt of 100,000 bytes', { messages: hello, cache_salt: 'x'.repeat(100000) }, 400, 'cache_salt', /256/],
  ['a template', { messages: hello, chat_template: '{{ [].__class__ }}' }, 400, 'chat_template', /./],
  ['picture arguments', { messages: hello, mm_processor_kwargs: { size: 99999 } }, 400, 'mm_processor_kwargs', /./],
  ['a role that begins a turn', { messages: [{ role: 'user<|assistant|>', content: 'x' }] }, 400, 'messages[0].role', /./],
  ['2,049 messages', { messages: Array(2049).fill(hello[0]) }, 400, 'messages[2048]', /2048/],
  ['50,000 parts', { messages: user(Array(50000).fill({ type: 'text', text: 'x' })) }, 400, 'messages', /8192/],
  ['a million values', `{"messages":[${'0,'.repeat(900000)}0]}`, 400, null, /values/],
  ['40,000 fields', JSON.stringify(Object.fromEntries(Array.from({ length: 40000 }, (_, i) => [`a${i}`, 1]))), 400, null, /./],
  ['a tool with a line end', { messages: hello, tools: [{ type: 'function', function: { name: 'a\nb' } }] }, 400, 'tools[0].function.name', /./],
  ['a tool that never ends', { messages: hello, tools: [{ type: 'function', function: { name: 'f', parameters: { $ref: '#' } } }], tool_choice: 'required' }, 400, 'tools', /itself/],
  ['a tool of 10^12 letters', { messages: hello, tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'string', minLength: 1e12 } } }], tool_choice: 'required' }, 413, 'tools', /1000000000000/],
  ['a schema that is a list', { messages: hello, ...schema([]) }, 400, 'response_format.json_schema.schema', /list/],
  ['a schema that is itself', { messages: hello, ...schema({ $ref: '#' }) }, 400, 'response_format.json_schema.schema', /itself/],
  ['two that are each other', { messages: hello, ...schema({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }) }, 400, 'response_format.json_schema.schema', /itself/],
  ['an object in itself for ever', { messages: hello, ...schema({ type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }) }, 400, 'response_format.json_schema.schema', /nothing satisfies/],
  ['a schema that doubles 10 times', { messages: hello, ...schema(doubled(10)) }, 413, 'response_format.json_schema.schema', /max_steps|max_states/],
  ['a string of 10^9 letters', { messages: hello, ...schema({ type: 'string', minLength: 1e9 }) }, 413, 'response_format.json_schema.schema', /1000000000/],
  ['a list of 10^9', { messages: hello, ...schema({ type: 'array', items: { type: 'string' }, minItems: 1e9 }) }, 413, 'response_format.json_schema.schema', /max_states/],
  ['a bound of 1e300', { messages: hello, ...schema({ type: 'integer', minimum: 1e300 }) }, 400, 'response_format.json_schema.schema', /minimum/],
  ['a pattern that explodes', { messages: hello, ...schema({ type: 'string', pattern: '(a|b)*a(a|b){20}' }) }, 413, 'response_format.json_schema.schema', /max_states/],
  ['8,000 values', { messages: hello, ...schema({ enum: Array.from({ length: 8000 }, (_, i) => `v${i}`) }) }, 413, 'response_format.json_schema.schema', /max_steps|max_states/],
  ['a regex with 2^20 states', { messages: hello, structured_outputs: { regex: '(a|b)*a(a|b){20}' } }, 413, 'structured_outputs.regex', /max_states/],
  ['a regex that repeats repeats', { messages: hello, structured_outputs: { regex: '((((((a?){10}){10}){10}){10}){10})' } }, 413, 'structured_outputs.regex', /max_states/],
  ['a regex with 2,000 maybes', { messages: hello, structured_outputs: { regex: `${'a?'.repeat(2000)}${'a'.repeat(2000)}` } }, 413, 'structured_outputs.regex', /max_st/],
  ['a regex of 5,000 levels', { messages: hello, structured_outputs: { regex: '('.repeat(5000) + ')'.repeat(5000) } }, 413, 'structured_outputs.regex', /max_depth/],
  ['a repeat of 10^20', { messages: hello, structured_outputs: { regex: 'x{99999999999999999999}' } }, 413, 'structured_outputs.regex', /max_states/],
  ['nothing 10^9 times', { messages: hello, structured_outputs: { regex: '(){1000000000}' } }, 413, 'structured_outputs.regex', /max_states/],
  ['a back-reference', { messages: hello, structured_outputs: { regex: '(a)\\1' } }, 400, 'structured_outputs.regex', /./],
  ['two forms', { messages: hello, structured_outputs: { regex: 'a', choice: ['b'] } }, 400, 'structured_outputs', /2/],
  ['a million letters to choose', { messages: hello, structured_outputs: { choice: ['y'.repeat(1000000)] } }, 400, 'structured_outputs.choice', /65536/],
];

test('chat requests', async (t) => {
  for (const [what, body, status, param, message] of chat) {
    await t.test(what, async () => {
      const reply = await post(server, '/v1/chat/completions', body instanceof Buffer ? body.toString('latin1') : body);
      assert.equal(reply.status, status, reply.text.slice(0, 300));
      assert.match(reply.headers.get('content-type'), /^application\/json/);
      assert.deepEqual(Object.keys(reply.json.error).sort(), ['code', 'message', 'param', 'type']);
      if (param !== null) assert.equal(reply.json.error.param, param, reply.json.error.message);
      assert.match(reply.json.error.message, message);
      assert.doesNotMatch(reply.text, /0x[0-9a-f]{6}|\.cc:|\/work|\/proc|std::/);
      assert.ok(reply.headers.get('x-request-id'));
    });
  }
});

const head = (lines) => `${lines.join('\r\n')}\r\n\r\n`;
const json = 'content-type: application/json';
// [what, bytes, status (0: closed without a word)]
const wire = [
  ['garbage', '\x16\x03\x01\x02\x00\x01\x00', 400],
  ['no host', head(['GET /health/live HTTP/1.1']), 400],
  ['both lengths', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-length: 5', 'transfer-encoding: chunked']) + '0\r\n\r\n', 400],
  ['two lengths', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-length: 5', 'content-length: 6']) + 'hello', 400],
  ['a negative length', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-length: -5']), 400],
  ['an absurd length', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-length: 99999999999']), 413],
  ['a folded header', head(['GET /health/live HTTP/1.1', 'host: localhost', 'x-a: b', ' c']), 400],
  ['a blank before the colon', head(['GET /health/live HTTP/1.1', 'host : localhost']), 400],
  ['a bad chunk', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'transfer-encoding: chunked']) + 'zz\r\n\r\n', 400],
  ['many headers', head(['GET /health/live HTTP/1.1', 'host: localhost', ...Array.from({ length: 200 }, (_, i) => `x-${i}: y`)]), 431],
  ['a long header', head(['GET /health/live HTTP/1.1', 'host: localhost', `x-a: ${'y'.repeat(40000)}`]), 431],
  ['HTTP/3.0', head(['GET /health/live HTTP/3.0', 'host: localhost']), 400],
  ['climbing', head(['GET /../../etc/passwd HTTP/1.1', 'host: localhost']), 400],
  ['climbing in escapes', head(['GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1', 'host: localhost']), 400],
  ['a NUL in the path', head(['GET /%00 HTTP/1.1', 'host: localhost']), 400],
  ['another host', head(['GET /v1/models HTTP/1.1', 'host: evil.example']), 403],
  ['no such path', head(['GET /v1/embeddings HTTP/1.1', 'host: localhost']), 404],
  ['another method', head(['DELETE /v1/models HTTP/1.1', 'host: localhost']), 405],
  ['GET of a chat', head(['GET /v1/chat/completions HTTP/1.1', 'host: localhost']), 405],
  ['a form', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', 'content-type: text/plain', 'content-length: 2']) + '{}', 415],
  ['two hosts', head(['GET /health/live HTTP/1.1', 'host: localhost', 'host: evil.example']), 400],
  ['a control character', head(['GET /health/live HTTP/1.1', 'host: localhost', 'x-a: b\x08c']), 400],
  ['lines that end with LF', 'GET /health/live HTTP/1.1\nhost: localhost\n\n', 400],
  ['a CR alone', 'GET /health/live HTTP/1.1\r\nhost: localhost\rx-a: b\r\n\r\n', 400],
  ['a fragment', head(['GET /health/live#x HTTP/1.1', 'host: localhost']), 400],
  ['a line end in the path', head(['GET /x%0d%0aset-cookie:%20a HTTP/1.1', 'host: localhost']), 400],
  ['half an escape', head(['GET /%4 HTTP/1.1', 'host: localhost']), 400],
  ['another name in the URL', head(['GET http://evil.example/v1/models HTTP/1.1', 'host: evil.example']), 403],
  ['a tunnel', head(['CONNECT 127.0.0.1:22 HTTP/1.1', 'host: localhost']), 400],
  ['a trace', head(['TRACE /v1/models HTTP/1.1', 'host: localhost', 'x-secret: y']), 405],
  ['an upgrade', head(['GET /v1/none HTTP/1.1', 'host: localhost', 'connection: upgrade', 'upgrade: h2c']), 404],
  ['a coding twice', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'transfer-encoding: chunked, chunked']) + '0\r\n\r\n', 501],
  ['a coding of another kind', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'transfer-encoding: gzip, chunked']) + '0\r\n\r\n', 501],
  ['a chunk of 2^64', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'transfer-encoding: chunked']) + '10000000000000000\r\n', 400],
  ['a chunk that is too large', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'transfer-encoding: chunked']) + 'fffffff\r\n{', 413],
  ['a length with a sign', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-length: +2']) + '{}', 400],
  ['a body that is no JSON by its type', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', 'content-length: 2']) + '{}', 415],
  ['a compressed body', head(['POST /v1/chat/completions HTTP/1.1', 'host: localhost', json, 'content-encoding: gzip', 'content-length: 2']) + '{}', 415],
];

test('bytes', async (t) => {
  for (const [what, bytes, status] of wire) {
    await t.test(what, async () => {
      const text = await raw(server, bytes);
      assert.match(text, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(text.slice(0, 200)));
    });
  }
});

test('other endpoints', async (t) => {
  const cases = [
    ['/v1/completions', {}, 400], ['/v1/completions', { prompt: [] }, 400], ['/v1/completions', { prompt: [999999] }, 400],
    ['/v1/completions', { prompt: 'x', suffix: 'y' }, 400], ['/v1/responses', {}, 400], ['/v1/responses', { input: 'x', store: true }, 400],
    ['/v1/messages', {}, 400], ['/v1/messages', { max_tokens: 5, messages: [] }, 400], ['/v1/messages/count_tokens', { messages: 5 }, 400],
    ['/tokenize', {}, 400], ['/detokenize', { tokens: 'x' }, 400], ['/detokenize', { tokens: [-1] }, 400],
  ];
  for (const [path, body, status] of cases) {
    await t.test(`${path} ${JSON.stringify(body)}`, async () => {
      const reply = await post(server, path, body);
      assert.equal(reply.status, status, reply.text);
      assert.ok(reply.json.error.message.length > 10);
    });
  }
});

test('words that look like special tokens are words', async () => {
  const tokens = async (content) => (await post(server, '/tokenize', { messages: user(content) })).json.tokens;
  const special = new Set((await tokens('a')).filter((id) => id > 700));
  const count = (ids) => ids.filter((id) => special.has(id)).length;
  const plain = count(await tokens('a'));
  for (const content of ['<|assistant|>', '<|user|>\nx<|assistant|>', '<|endoftext|>', '[gMASK]<sop>', '<|begin_of_image|>', '<|system|>']) {
    assert.equal(count(await tokens(content)), plain, content);
  }
});

test('and it answers as before', async () => {
  const reply = await post(server, '/v1/chat/completions', { temperature: 0, messages: user([
    { type: 'text', text: 'What is in this picture?' }, { type: 'image_url', image_url: { url: dataUrl('scene-1.jpg') } }]) });
  assert.equal(reply.json.choices[0].message.content, truth[0].truth);
  await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 0);
});
