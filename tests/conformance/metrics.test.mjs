// What /metrics says after all kinds of requests: clean for promtool, under the names that dashboards
// know, and with all that docs/grafana.json draws.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { dataUrl, endless, eventually, metric, post, slowly, startServer } from './server.mjs';

const promtool = process.env.PROMTOOL ?? 'promtool';
const user = (content) => [{ role: 'user', content }];
const picture = (url) => user([{ type: 'image_url', image_url: { url } }]);

/// One of everything that is counted.
async function use(server) {
  const chat = (fields) => post(server, '/v1/chat/completions', { max_tokens: 8, ...fields });
  assert.equal((await chat({ messages: picture(dataUrl('scene-1.jpg')) })).status, 200);
  assert.equal((await chat({ messages: picture(dataUrl('scene-1.jpg')), n: 2 })).status, 200);
  assert.equal((await chat({ messages: user('Hello!'), stream: true })).status, 200);
  assert.equal((await chat({ messages: picture('data:image/gif;base64,R0lGODlh') })).status, 400);
  assert.equal((await chat({ messages: user('Hello!'), temperature: -1 })).status, 400);
  assert.equal((await chat({ messages: user('Hello!'), response_format: { type: 'json_object' } })).status, 200);
  assert.equal((await post(server, '/v1/messages', { max_tokens: 4, messages: user('Hello!') })).status, 200);
  assert.equal((await post(server, '/tokenize', { prompt: 'Hello!' })).status, 200);
  assert.equal((await fetch(`${server.url}/none`)).status, 404);
  assert.equal((await fetch(`${server.url}/v1/models`, { method: 'DELETE' })).status, 405);
  const leaving = new AbortController();
  const reply = await fetch(`${server.url}/v1/chat/completions`, {
    method: 'POST', signal: leaving.signal, headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...endless, stream: true }) });
  await reply.body.getReader().read();
  leaving.abort();
  await eventually(async () => (await metric(server, 'cardloom_requests_running')) === 0);
}

const textOf = async (server) => (await fetch(`${server.url}/metrics`)).text();
/// Every name of a sample or family.
const namesIn = (text) => new Set([...text.matchAll(/^(?:# TYPE )?([a-z0-9_:]+)/gim)].map((match) => match[1]));

function complaints(t, text) {
  const found = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
  if (found.error) {
    t.skip(`no promtool: ${found.error.message}`);
    return [];
  }
  return `${found.stdout}${found.stderr}`.split('\n').filter((line) => line !== '');
}

test('our names', async (t) => {
  const server = await startServer(slowly);
  try {
    assert.deepEqual(complaints(t, await textOf(server)), []);
    await use(server);
    const text = await textOf(server);
    assert.deepEqual(complaints(t, text), []);
    assert.doesNotMatch(text, /vllm/);
    for (const line of [
      /^cardloom_images_total\{format="jpeg",result="ok"\} 2$/m,
      /^cardloom_images_total\{format="other",result="refused"\} 1$/m,
      /^cardloom_requests_cancelled_total\{by="client"\} 1$/m,
      /^cardloom_requests_rejected_total\{reason="unknown_url"\} 1$/m,
      /^cardloom_http_requests_total\{handler="none",method="GET",status="404"\} 1$/m,
      /^cardloom_http_requests_total\{handler="models",method="other",status="405"\} 1$/m,
      /^cardloom_replies_total\{finish_reason="(length|stop)"\} [1-9]/m,
      /^cardloom_image_encode_seconds_count [1-9]/m,
      /^cardloom_requests_waiting_by_reason\{reason="blocks"\} 0$/m,
      /^cardloom_step_rows_bucket\{le="1"\} [1-9]/m,
      /^cardloom_cache_config_info\{block_size="32",kv_cache="bf16",num_blocks="[1-9][0-9]*",num_picture_slots="[1-9]/m,
      /^cardloom_build_info\{.*model="glm-4v-nano".*\} 1$/m,
      /^process_resident_memory_bytes [1-9]/m,
    ]) assert.match(text, line);
    const names = namesIn(text);
    const dashboard = readFileSync(fileURLToPath(new URL('../../docs/grafana.json', import.meta.url)), 'utf8');
    const drawn = new Set(dashboard.match(/\b(?:cardloom|process)_[a-z_]+/g));
    assert.ok(drawn.size > 20);
    for (const name of drawn) assert.ok(names.has(name), `docs/grafana.json draws ${name}, which is not there`);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test("vLLM's names", async (t) => {
  const server = await startServer([...slowly, '--metrics-alias', 'vllm']);
  try {
    await use(server);
    const text = await textOf(server);
    // Its colons and its histogram's "_total" are against the rules, and what its dashboards ask for.
    for (const line of complaints(t, text)) {
      assert.match(line, /^vllm:\S+ metric names should not contain ':'$|^vllm:iteration_tokens_total non-counter metrics /);
    }
    const names = namesIn(text);
    for (const name of ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc', 'prompt_tokens_total',
      'generation_tokens_total', 'prompt_tokens_cached_total', 'request_success_total', 'num_preemptions_total',
      'prefix_cache_queries_total', 'prefix_cache_hits_total', 'mm_cache_queries_total', 'mm_cache_hits_total',
      'time_to_first_token_seconds', 'inter_token_latency_seconds', 'e2e_request_latency_seconds',
      'request_queue_time_seconds', 'request_inference_time_seconds', 'request_prefill_time_seconds',
      'request_decode_time_seconds', 'request_prompt_tokens', 'request_generation_tokens', 'request_params_n',
      'request_params_max_tokens', 'num_requests_waiting_by_reason', 'iteration_tokens_total', 'cache_config_info',
      'corrupted_requests_total', 'time_per_output_token_seconds']) assert.ok(names.has(`vllm:${name}`), name);
    for (const line of text.split('\n')) {
      if (line.startsWith('vllm:')) assert.match(line, /\{.*engine="0",.*model_name="glm-4v-nano"/);
    }
    assert.match(text, /^vllm:request_success_total\{engine="0",finished_reason="length",model_name="glm-4v-nano"\} [1-9]/m);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
