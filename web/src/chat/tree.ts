import { newId } from '../base/id.ts';
import type { Failure } from '../api/client.ts';
import type { Timings, Usage } from '../api/types.ts';
import type { Detail, Settings } from './settings.ts';
import type { TokenChance } from './tokens.ts';

/// A picture as a message names it; its bytes lie in the database under the id.
export interface PictureRef {
  id: string;
  name: string;
  width: number;
  height: number;
  bytes: number;
  detail?: Detail; // where it is not the original
}

export interface AnswerStats {
  usage?: Usage;
  timings?: Timings;
  firstTokenMs?: number; // measured by the page, network included
  totalMs?: number;
}

export interface Message {
  id: string;
  parent: string | null;
  role: 'user' | 'assistant';
  text: string;
  pictures: PictureRef[];
  created: number;
  finish?: string; // stop, length, ... as the server says; "stopped" if the person did
  stats?: AnswerStats;
  failure?: Failure;
  json?: boolean; // an answer that was asked for as JSON
  schema?: string; // and of this JSON schema
  tokens?: TokenChance[]; // of an answer whose probabilities were asked for
  pair?: Pair;
}

/// One of two answers to the same question with different settings.
export interface Pair {
  side: 'a' | 'b';
  other: string; // the id of the other answer
  sampling: Settings['sampling'];
  system?: string; // where it is not the conversation's own
}

/// A conversation is a tree: editing a question or asking for another answer adds a sibling, and
/// `chosen` says which child of each message is the one being read.
export interface Conversation {
  id: string;
  title: string;
  titled: boolean; // by the person, so that the first question does not name it
  created: number;
  updated: number;
  system: string;
  messages: Record<string, Message>;
  chosen: Record<string, string>; // parent id, or kRoot, to child id
}

export const kRoot = 'root';

export function newConversation(system: string, now = Date.now()): Conversation {
  return {
    id: newId(),
    title: '',
    titled: false,
    created: now,
    updated: now,
    system,
    messages: {},
    chosen: {},
  };
}

/// The branch being read, from the first message to the last.
export function pathOf(conversation: Conversation): Message[] {
  const children = new Map<string, Message[]>();
  for (const message of Object.values(conversation.messages)) {
    const key = message.parent ?? kRoot;
    const siblings = children.get(key);
    if (siblings) siblings.push(message);
    else children.set(key, [message]);
  }
  const path: Message[] = [];
  let at = kRoot;
  for (;;) {
    const siblings = children.get(at);
    if (!siblings) return path;
    siblings.sort((a, b) => a.created - b.created);
    const next =
      siblings.find((message) => message.id === conversation.chosen[at]) ?? siblings.at(-1)!;
    path.push(next);
    children.delete(at); // a cycle in an imported file would otherwise never end
    at = next.id;
  }
}

/// The path from the first message down to `id`, whatever is chosen.
export function ancestorsOf(conversation: Conversation, id: string): Message[] {
  const path: Message[] = [];
  const seen = new Set<string>();
  for (let at = conversation.messages[id]; at && !seen.has(at.id);) {
    seen.add(at.id);
    path.unshift(at);
    at = at.parent === null ? undefined : conversation.messages[at.parent];
  }
  return path;
}

/// With `message` added below its parent and chosen.
export function withMessage(conversation: Conversation, message: Message): Conversation {
  return {
    ...conversation,
    updated: Math.max(conversation.updated, message.created),
    messages: { ...conversation.messages, [message.id]: message },
    chosen: { ...conversation.chosen, [message.parent ?? kRoot]: message.id },
  };
}

export function withChange(
  conversation: Conversation,
  id: string,
  change: Partial<Message>,
): Conversation {
  const message = conversation.messages[id];
  if (!message) return conversation;
  return {
    ...conversation,
    messages: { ...conversation.messages, [id]: { ...message, ...change } },
  };
}

/// With the failure of `id` forgotten, for a second try in the same place.
export function withoutOutcome(conversation: Conversation, id: string): Conversation {
  const message = conversation.messages[id];
  if (!message) return conversation;
  const { failure: _failure, finish: _finish, ...rest } = message;
  return { ...conversation, messages: { ...conversation.messages, [id]: rest } };
}

export function withChosen(conversation: Conversation, id: string): Conversation {
  const message = conversation.messages[id];
  if (!message) return conversation;
  return { ...conversation, chosen: { ...conversation.chosen, [message.parent ?? kRoot]: id } };
}

/// `base` with what another tab has added: messages that it lacks, and those that grew there. Which
/// tab writes last does not matter then; nothing that was asked or answered is lost.
export function mergedWith(base: Conversation, other: Conversation): Conversation {
  const grown = Object.values(other.messages).filter((message) => {
    const own = base.messages[message.id];
    return !own || isFurther(message, own);
  });
  if (grown.length === 0) return base;
  return {
    ...base,
    updated: Math.max(base.updated, other.updated),
    messages: {
      ...base.messages,
      ...Object.fromEntries(grown.map((message) => [message.id, message])),
    },
    chosen: { ...other.chosen, ...base.chosen },
  };
}

function isFurther(message: Message, than: Message): boolean {
  const isOver = ({ finish, failure }: Message) => finish !== undefined || failure !== undefined;
  if (message.text.length !== than.text.length) return message.text.length > than.text.length;
  return isOver(message) && !isOver(than);
}

export interface NewMessage {
  parent: string | null;
  role: Message['role'];
  text?: string;
  pictures?: PictureRef[];
}

/// `created` is unique within the conversation, so that siblings have one order.
export function newMessage(
  conversation: Conversation,
  from: NewMessage,
  now = Date.now(),
): Message {
  let created = now;
  for (const message of Object.values(conversation.messages))
    created = Math.max(created, message.created + 1);
  return {
    id: newId(),
    parent: from.parent,
    role: from.role,
    text: from.text ?? '',
    pictures: from.pictures ?? [],
    created,
  };
}

/// What a conversation is called until somebody names it: the first line of the first question.
export function titleFrom(text: string): string {
  const line =
    text
      .split('\n')
      .find((part) => part.trim() !== '')
      ?.trim() ?? '';
  const letters = Array.from(line);
  return letters.length <= 60 ? line : `${letters.slice(0, 59).join('').trimEnd()}…`;
}

/// The other answer of a comparison, if it is still there.
export function partnerOf(conversation: Conversation, message: Message): Message | undefined {
  const other = message.pair && conversation.messages[message.pair.other];
  if (!other?.pair || other.pair.other !== message.id || other.parent !== message.parent) {
    return undefined;
  }
  return other.pair.side === message.pair?.side ? undefined : other;
}

/// The ids of each message's children (kRoot: of the root) in order, the two of a comparison as one.
export function versionsOf(conversation: Conversation): Map<string, string[]> {
  const versions = new Map<string, string[]>();
  const ordered = Object.values(conversation.messages).sort((a, b) => a.created - b.created);
  for (const message of ordered) {
    if (message.pair?.side === 'b' && partnerOf(conversation, message)) continue;
    const key = message.parent ?? kRoot;
    const siblings = versions.get(key);
    if (siblings) siblings.push(message.id);
    else versions.set(key, [message.id]);
  }
  return versions;
}

export function pictureIdsOf(conversation: Conversation): Set<string> {
  const ids = new Set<string>();
  for (const message of Object.values(conversation.messages)) {
    for (const picture of message.pictures) ids.add(picture.id);
  }
  return ids;
}
