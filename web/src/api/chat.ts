import { addServerError, ApiError, postJson, type Failure } from './client.ts';
import { BrokenStream, readEvents } from './sse.ts';
import type {
  ApiMessage,
  ChatChunk,
  PromptProgress,
  Timings,
  TokenLogprob,
  Usage,
} from './types.ts';
import type { Settings } from '../chat/settings.ts';

const kAlternatives = 5; // likeliest tokens at each place, where probabilities are asked for

/// The body of POST v1/chat/completions. What the person left empty is not sent, so that the
/// server's own defaults hold. Throws SyntaxError if the JSON schema is no JSON.
export function chatBody(messages: ApiMessage[], settings: Settings, continues: boolean): object {
  return {
    messages,
    stream: true,
    stream_options: { include_usage: true },
    return_progress: true,
    ...settings.sampling,
    ...(settings.logprobs ? { logprobs: true, top_logprobs: kAlternatives } : {}),
    ...(settings.format === 'json_object' ? { response_format: { type: 'json_object' } } : {}),
    ...(settings.format === 'json_schema'
      ? {
          response_format: {
            type: 'json_schema',
            json_schema: { name: 'answer', schema: JSON.parse(settings.schema) as unknown },
          },
        }
      : {}),
    ...(continues ? { continue_final_message: true, add_generation_prompt: false } : {}),
  };
}

export type ChatEvent =
  | { kind: 'open'; requestId: string | null }
  | { kind: 'progress'; progress: PromptProgress }
  | { kind: 'text'; text: string }
  | { kind: 'tokens'; tokens: TokenLogprob[] }
  | { kind: 'finish'; reason: string }
  | { kind: 'usage'; usage: Usage | null; timings: Timings | null };

/// Sends the request and yields what comes, to the end of the answer. Throws ApiError, also for an
/// error after the 200 and for a stream that just ends.
export async function* streamChat(body: object, signal: AbortSignal): AsyncGenerator<ChatEvent> {
  const response = await postJson('v1/chat/completions', body, signal);
  const requestId = response.headers.get('x-request-id');
  yield { kind: 'open', requestId };
  const fail = (failure: Failure) => new ApiError(requestId ? { ...failure, requestId } : failure);
  if (!response.body) throw fail({ kind: 'cut', message: '' });
  let finished = false;
  try {
    for await (const { data } of readEvents(response.body)) {
      if (data === '[DONE]') return;
      const chunk = parseChunk(data);
      if (!chunk) throw fail({ kind: 'stream', message: `not JSON: ${data.slice(0, 200)}` });
      if (chunk.error) {
        const failure: Failure = { kind: 'stream', message: '' };
        addServerError(failure, chunk.error);
        throw fail(failure);
      }
      for (const event of eventsOf(chunk)) {
        finished ||= event.kind === 'finish';
        yield event;
      }
    }
  } catch (error) {
    throw error instanceof BrokenStream ? fail({ kind: 'cut', message: '' }) : error;
  }
  if (!finished) throw fail({ kind: 'cut', message: '' });
}

function* eventsOf(chunk: ChatChunk): Generator<ChatEvent> {
  if (chunk.prompt_progress) yield { kind: 'progress', progress: chunk.prompt_progress };
  const choice = chunk.choices?.[0];
  if (choice?.logprobs?.content) yield { kind: 'tokens', tokens: choice.logprobs.content };
  if (choice?.delta?.content) yield { kind: 'text', text: choice.delta.content };
  if (choice?.finish_reason) yield { kind: 'finish', reason: choice.finish_reason };
  if (chunk.usage || chunk.timings) {
    yield { kind: 'usage', usage: chunk.usage ?? null, timings: chunk.timings ?? null };
  }
}

function parseChunk(data: string): ChatChunk | null {
  try {
    const found: unknown = JSON.parse(data);
    return typeof found === 'object' && found !== null ? found : null;
  } catch {
    return null;
  }
}
