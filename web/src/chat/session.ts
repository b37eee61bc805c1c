import { createStore } from '../base/store.ts';
import { chatBody, streamChat, type ChatEvent } from '../api/chat.ts';
import { ApiError, isAbort, type Failure } from '../api/client.ts';
import { look } from '../api/status.ts';
import type { ApiMessage, ContentPart, PromptProgress } from '../api/types.ts';
import {
  changeConversation,
  conversationOf,
  flush,
  openConversation,
  pictureDataUrl,
  putConversation,
} from './library.ts';
import { settings, type Settings } from './settings.ts';
import { t } from '../i18n/i18n.ts';
import { TokenCollector } from './tokens.ts';
import * as tree from './tree.ts';

/// An answer that is being written.
export interface Run {
  conversationId: string;
  messageId: string;
  phase: 'waiting' | 'reading' | 'answering';
  progress: PromptProgress | null;
  startedAt: number; // performance.now()
  firstTokenAt: number | null;
  pieces: number; // of text so far, about one a token
}

/// The runs, by message: a comparison writes two answers of a conversation at once.
export type Runs = Record<string, Run>;
export const runs = createStore<Runs>({});
const aborts = new Map<string, AbortController>();

/// The run in a conversation (null: in none), the first if there are two.
export function runIn(now: Runs, conversationId: string | null): Run | null {
  return Object.values(now).find((run) => run.conversationId === conversationId) ?? null;
}

export function isRunning(conversationId: string): boolean {
  return runIn(runs.get(), conversationId) !== null;
}

/// Asks a question below `parent` (undefined: at the end of the branch being read) of the
/// conversation, or of a new one if `conversationId` is null.
export function ask(
  conversationId: string | null,
  text: string,
  pictures: tree.PictureRef[],
  parent?: string | null,
): void {
  if (conversationId !== null && isRunning(conversationId)) return;
  let conversation = conversationId === null ? undefined : conversationOf(conversationId);
  conversation ??= tree.newConversation(settings.get().system);
  const below = parent === undefined ? (tree.pathOf(conversation).at(-1)?.id ?? null) : parent;
  const question = tree.newMessage(conversation, { parent: below, role: 'user', text, pictures });
  conversation = tree.withMessage(conversation, question);
  if (!conversation.titled && conversation.title === '') {
    conversation = { ...conversation, title: tree.titleFrom(text) || (pictures[0]?.name ?? '') };
  }
  putConversation(conversation);
  openConversation(conversation.id);
  answer(conversation.id, question.id);
}

/// Another answer to the question `questionId`, or two while settings are compared.
export function answer(conversationId: string, questionId: string): void {
  let conversation = conversationOf(conversationId);
  if (!conversation || isRunning(conversationId)) return;
  const { compare, sampling } = settings.get();
  const replies = [newReply(conversation, questionId)];
  if (compare.on) {
    const [a] = replies as [tree.Message];
    const b = newReply(tree.withMessage(conversation, a), questionId);
    a.pair = { side: 'a', other: b.id, sampling };
    b.pair = { side: 'b', other: a.id, sampling: compare.sampling };
    if (compare.system.trim() !== '') b.pair.system = compare.system;
    replies.unshift(b); // so that the first setting's answer is the chosen one
  }
  for (const reply of replies) conversation = tree.withMessage(conversation, reply);
  putConversation(conversation);
  for (const reply of replies) void run(conversationId, reply.id, false);
}

function newReply(conversation: tree.Conversation, questionId: string): tree.Message {
  const { format, schema } = settings.get();
  return {
    ...tree.newMessage(conversation, { parent: questionId, role: 'assistant' }),
    ...(format === 'text' ? {} : { json: true }),
    ...(format === 'json_schema' ? { schema } : {}),
  };
}

/// Tries a failed answer again: in its place if it has no text yet, else as another answer.
export function retry(conversationId: string, messageId: string): void {
  const message = conversationOf(conversationId)?.messages[messageId];
  if (!message || isRunning(conversationId)) return;
  if (message.text !== '') {
    if (message.parent !== null) answer(conversationId, message.parent);
    return;
  }
  changeConversation(conversationId, (now) => tree.withoutOutcome(now, messageId));
  void run(conversationId, messageId, false);
}

/// Goes on with an answer that was cut off.
export function continueAnswer(conversationId: string, messageId: string): void {
  const message = conversationOf(conversationId)?.messages[messageId];
  if (!message || message.text === '' || isRunning(conversationId)) return;
  changeConversation(conversationId, (now) => tree.withoutOutcome(now, messageId));
  void run(conversationId, messageId, true);
}

export function stop(conversationId: string): void {
  for (const run of Object.values(runs.get())) {
    if (run.conversationId === conversationId) aborts.get(run.messageId)?.abort();
  }
}

/// The settings that an answer is asked with: those of its side in a comparison.
function settingsFor(message: tree.Message | undefined): Settings {
  const now = settings.get();
  return message?.pair ? { ...now, sampling: message.pair.sampling } : now;
}

async function run(conversationId: string, messageId: string, continues: boolean): Promise<void> {
  const abort = new AbortController();
  aborts.set(messageId, abort);
  setRun(messageId, {
    conversationId,
    messageId,
    phase: 'waiting',
    progress: null,
    startedAt: performance.now(),
    firstTokenAt: null,
    pieces: 0,
  });
  const text = new FrameText(conversationId, messageId);
  const collector = new TokenCollector();
  let finish: string | undefined;
  let failure: Failure | undefined;
  const stats: tree.AnswerStats = {};
  try {
    const messages = await apiMessages(conversationId, messageId, continues);
    for await (const event of streamChat(
      chatBody(
        messages,
        settingsFor(conversationOf(conversationId)?.messages[messageId]),
        continues,
      ),
      abort.signal,
    )) {
      if (event.kind === 'text') text.add(event.text);
      if (event.kind === 'tokens') collector.add(event.tokens);
      if (event.kind === 'finish') finish = event.reason;
      if (event.kind === 'usage') {
        if (event.usage) stats.usage = event.usage;
        if (event.timings) stats.timings = event.timings;
      }
      note(messageId, event);
    }
  } catch (error) {
    if (isAbort(error)) finish = 'stopped';
    else failure = failureFrom(error);
  }
  text.flush();
  const now = runs.get()[messageId];
  if (now?.firstTokenAt) stats.firstTokenMs = now.firstTokenAt - now.startedAt;
  if (now) stats.totalMs = performance.now() - now.startedAt;
  aborts.delete(messageId);
  changeConversation(conversationId, (conversation) => ({
    ...tree.withChange(conversation, messageId, {
      stats,
      ...tokensOf(conversation.messages[messageId], collector, continues),
      ...(finish === undefined ? {} : { finish }),
      ...(failure === undefined ? {} : { failure }),
    }),
    updated: Date.now(),
  }));
  setRun(messageId, null);
  flush();
  if (failure) void look(); // it may be the server that is gone, full, or wants another key
}

/// The tokens of the whole answer. One that goes on without them, or began without, has none: a map of
/// half a text would mislead.
function tokensOf(
  message: tree.Message | undefined,
  collector: TokenCollector,
  continues: boolean,
): Pick<tree.Message, 'tokens'> {
  if (!continues) return collector.tokens.length > 0 ? { tokens: collector.tokens } : {};
  if (!message?.tokens) return {};
  return { tokens: collector.tokens.length > 0 ? [...message.tokens, ...collector.tokens] : [] };
}

function failureFrom(error: unknown): Failure {
  if (error instanceof ApiError) return error.failure;
  return { kind: 'page', message: error instanceof Error ? error.message : String(error) };
}

function note(messageId: string, event: ChatEvent): void {
  const now = runs.get()[messageId];
  if (!now) return;
  if (event.kind === 'progress') {
    setRun(messageId, { ...now, phase: 'reading', progress: event.progress });
  } else if (event.kind === 'text') {
    const firstTokenAt = now.firstTokenAt ?? performance.now();
    setRun(messageId, { ...now, phase: 'answering', firstTokenAt, pieces: now.pieces + 1 });
  }
}

function setRun(messageId: string, run: Run | null): void {
  runs.set((now) => {
    if (run) return { ...now, [messageId]: run };
    const { [messageId]: _before, ...others } = now;
    return others;
  });
}

const kFrameMs = 17;
const kHiddenMs = 250; // a hidden tab has no frames
const kRestFactor = 2; // rest this much longer than drawing took, so that one can type meanwhile
const kLongestRestMs = 1000;

/// Adds streamed text to its message, once a frame or less often where drawing it takes long.
class FrameText {
  private text = '';
  private frame = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private restUntil = 0;

  constructor(
    private readonly conversationId: string,
    private readonly messageId: string,
  ) {}

  add(piece: string): void {
    this.text += piece;
    if (this.timer !== undefined) return;
    const rest = this.restUntil - performance.now();
    this.timer = setTimeout(() => this.flush(), rest > 0 ? rest : kHiddenMs);
    if (rest <= 0) this.frame = requestAnimationFrame(() => this.flush());
  }

  flush(): void {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.timer = undefined;
    if (this.text === '') return;
    const piece = this.text;
    this.text = '';
    const began = performance.now();
    changeConversation(this.conversationId, (now) =>
      tree.withChange(now, this.messageId, {
        text: (now.messages[this.messageId]?.text ?? '') + piece,
      }),
    );
    // Components draw in a microtask; a task behind it knows how long they took.
    setTimeout(() => {
      const now = performance.now();
      this.restUntil = now + Math.min(kLongestRestMs, kRestFactor * (now - began - kFrameMs));
    });
  }
}

/// The branch above `messageId` as the API wants it, with the pictures' bytes; `continues` puts the
/// answer so far at its end.
async function apiMessages(
  conversationId: string,
  messageId: string,
  continues: boolean,
): Promise<ApiMessage[]> {
  const conversation = conversationOf(conversationId);
  if (!conversation) return [];
  const messages: ApiMessage[] = [];
  const system = conversation.messages[messageId]?.pair?.system ?? conversation.system;
  if (system.trim() !== '') messages.push({ role: 'system', content: system });
  for (const message of tree.ancestorsOf(conversation, messageId)) {
    if (message.id === messageId && !continues) continue;
    if (message.role === 'assistant' && message.text === '') continue; // it failed before a word
    messages.push({ role: message.role, content: await contentOf(message) });
  }
  return messages;
}

async function contentOf(message: tree.Message): Promise<ApiMessage['content']> {
  if (message.pictures.length === 0) return message.text;
  const parts: ContentPart[] = [];
  for (const picture of message.pictures) {
    const url = await pictureDataUrl(picture.id);
    if (url === null) throw new Error(t('pictureLost', { name: picture.name }));
    parts.push({ type: 'image_url', image_url: { url } });
  }
  if (message.text !== '') parts.push({ type: 'text', text: message.text });
  return parts;
}

/// Tokens that the branch being read takes, from the last answer's own count.
export function usedTokens(conversation: tree.Conversation): number | null {
  const last = tree.pathOf(conversation).findLast((message) => message.stats?.usage);
  return last?.stats?.usage?.total_tokens ?? null;
}
