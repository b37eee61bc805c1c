import { newId } from '../base/id.ts';
import type { Usage } from '../api/types.ts';
import { acceptSampling, details } from './settings.ts';
import { acceptTokens } from './tokens.ts';
import {
  kRoot,
  type AnswerStats,
  type Conversation,
  type Message,
  type PictureRef,
} from './tree.ts';

/// A file of exported conversations: everything in it, pictures too, as one JSON.
export interface Archive {
  format: typeof kFormat;
  version: 1;
  exported: string;
  conversations: Conversation[];
  pictures: Record<string, string>; // id to data: URL
}

const kFormat = 'cardloom-conversations';
const kPictureUrl = /^data:image\/(?:png|jpeg|webp);base64,[A-Za-z0-9+/]+={0,2}$/;
const kMostPixels = 1e6; // of a side
const kLatest = 8.64e15; // milliseconds that a date can say
const kId = /^[a-z0-9]{1,64}$/;

export function makeArchive(
  conversations: Conversation[],
  pictures: Record<string, string>,
  now = new Date(),
): Archive {
  return { format: kFormat, version: 1, exported: now.toISOString(), conversations, pictures };
}

/// What is wrong with a file, with the place in it.
export class ArchiveError extends Error {
  constructor(
    readonly place: string,
    readonly rule: string,
  ) {
    super(`${place}: ${rule}`);
  }
}

/// The archive in `text`. Everything is checked, because the file may come from anybody: unknown
/// fields are left out, a message without its parent or a picture of another type is refused.
/// Throws ArchiveError.
export function readArchive(text: string): Archive {
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    throw new ArchiveError('/', `must be JSON (${(error as Error).message})`);
  }
  const root = objectAt(found, '/');
  if (root['format'] !== kFormat) throw new ArchiveError('/format', `must be "${kFormat}"`);
  if (root['version'] !== 1) throw new ArchiveError('/version', 'must be 1');
  const pictures: Record<string, string> = {};
  for (const [id, url] of Object.entries(objectAt(root['pictures'] ?? {}, '/pictures'))) {
    const place = `/pictures/${id}`;
    if (!kId.test(id)) throw new ArchiveError(place, 'must be named by small letters and digits');
    if (typeof url !== 'string' || !kPictureUrl.test(url)) {
      throw new ArchiveError(place, 'must be a data: URL of a PNG, JPEG or WebP');
    }
    pictures[id] = url;
  }
  const list = root['conversations'];
  if (!Array.isArray(list)) throw new ArchiveError('/conversations', 'must be an array');
  const conversations = list.map((one, i) => conversationAt(one, `/conversations/${i}`));
  return { ...makeArchive(conversations, pictures), exported: String(root['exported'] ?? '') };
}

/// The same conversation under new ids, so that importing twice never overwrites anything.
export function withNewIds(
  conversation: Conversation,
  pictureIds: Record<string, string>,
): Conversation {
  const ids = new Map([[kRoot, kRoot]]);
  for (const id of Object.keys(conversation.messages)) ids.set(id, newId());
  const messages: Record<string, Message> = {};
  for (const message of Object.values(conversation.messages)) {
    const id = ids.get(message.id)!;
    messages[id] = {
      ...message,
      id,
      parent: message.parent === null ? null : ids.get(message.parent)!,
      ...(message.pair
        ? { pair: { ...message.pair, other: ids.get(message.pair.other) ?? '' } }
        : {}),
      pictures: message.pictures.map((picture) => ({
        ...picture,
        id: Object.hasOwn(pictureIds, picture.id) ? pictureIds[picture.id]! : picture.id,
      })),
    };
  }
  const chosen: Record<string, string> = {};
  for (const [parent, child] of Object.entries(conversation.chosen)) {
    const [from, to] = [ids.get(parent), ids.get(child)];
    if (from !== undefined && to !== undefined) chosen[from] = to;
  }
  return { ...conversation, id: newId(), messages, chosen };
}

function conversationAt(found: unknown, place: string): Conversation {
  const from = objectAt(found, place);
  const messages: Record<string, Message> = {};
  for (const [id, one] of Object.entries(objectAt(from['messages'], `${place}/messages`))) {
    const message = messageAt(one, `${place}/messages/${id}`);
    // Neither the root's name nor one that every object has.
    if (!kId.test(id) || id === kRoot || id in Object.prototype)
      throw new ArchiveError(
        `${place}/messages/${id}`,
        'must be named by small letters and digits',
      );
    if (message.id !== id)
      throw new ArchiveError(`${place}/messages/${id}/id`, 'must be its own key');
    messages[id] = message;
  }
  for (const message of Object.values(messages)) {
    if (message.parent !== null && !Object.hasOwn(messages, message.parent)) {
      throw new ArchiveError(
        `${place}/messages/${message.id}/parent`,
        'must be a message of the conversation',
      );
    }
  }
  const chosen: Record<string, string> = {};
  for (const [parent, child] of Object.entries(objectAt(from['chosen'] ?? {}, `${place}/chosen`))) {
    const isKnown = parent === kRoot || Object.hasOwn(messages, parent);
    if (isKnown && typeof child === 'string' && Object.hasOwn(messages, child))
      chosen[parent] = child;
  }
  return {
    id: textAt(from, 'id', place),
    title: textAt(from, 'title', place),
    titled: from['titled'] === true,
    created: timeAt(from, 'created', place),
    updated: Math.min(Date.now(), timeAt(from, 'updated', place)), // none above all others for ever
    system: textAt(from, 'system', place),
    messages,
    chosen,
  };
}

function messageAt(found: unknown, place: string): Message {
  const from = objectAt(found, place);
  const role = from['role'];
  if (role !== 'user' && role !== 'assistant') {
    throw new ArchiveError(`${place}/role`, 'must be "user" or "assistant"');
  }
  const pictures = from['pictures'] ?? [];
  if (!Array.isArray(pictures)) throw new ArchiveError(`${place}/pictures`, 'must be an array');
  const message: Message = {
    id: textAt(from, 'id', place),
    parent: from['parent'] === null ? null : textAt(from, 'parent', place),
    role,
    text: textAt(from, 'text', place),
    pictures: pictures.map((one, i) => pictureAt(one, `${place}/pictures/${i}`)),
    created: timeAt(from, 'created', place),
  };
  if (typeof from['finish'] === 'string') message.finish = from['finish'];
  if (from['json'] === true) message.json = true;
  if (typeof from['schema'] === 'string') message.schema = from['schema'];
  const tokens = acceptTokens(from['tokens']);
  if (tokens.length > 0) message.tokens = tokens;
  if (isPlainObject(from['pair'])) {
    const { side, other, sampling, system } = from['pair'];
    if ((side === 'a' || side === 'b') && typeof other === 'string') {
      message.pair = { side, other, sampling: acceptSampling(sampling) };
      if (typeof system === 'string') message.pair.system = system;
    }
  }
  if (isPlainObject(from['stats'])) message.stats = acceptStats(from['stats']);
  return message;
}

function pictureAt(found: unknown, place: string): PictureRef {
  const from = objectAt(found, place);
  const detail = details.find((one) => one === from['detail']);
  return {
    id: textAt(from, 'id', place),
    name: textAt(from, 'name', place),
    width: numberAt(from, 'width', place, 1, kMostPixels),
    height: numberAt(from, 'height', place, 1, kMostPixels),
    bytes: numberAt(from, 'bytes', place, 0, Number.MAX_SAFE_INTEGER),
    ...(detail ? { detail } : {}),
  };
}

const kUsage = ['prompt_tokens', 'completion_tokens', 'total_tokens'] as const;
const kUsageDetails = ['cached_tokens', 'image_tokens'] as const;
const kTimings = [
  'queue_ms',
  'image_fetch_ms',
  'image_decode_ms',
  'image_preprocess_ms',
  'image_encode_ms',
  'prefill_ms',
  'first_token_ms',
  'decode_ms',
  'tokens_per_second',
] as const;

/// Statistics out of anything: the numbers that are shown, and nothing else can hide in them.
function acceptStats(found: Record<string, unknown>): AnswerStats {
  const stats: AnswerStats = numbersOf(found, ['firstTokenMs', 'totalMs']);
  if (isPlainObject(found['timings'])) stats.timings = numbersOf(found['timings'], kTimings);
  const { usage } = found;
  if (isPlainObject(usage)) {
    const counts = numbersOf(usage, kUsage);
    const details = usage['prompt_tokens_details'];
    if (kUsage.every((name) => counts[name] !== undefined)) {
      stats.usage = counts as Usage;
      if (isPlainObject(details))
        stats.usage.prompt_tokens_details = numbersOf(details, kUsageDetails);
    }
  }
  return stats;
}

function numbersOf<Name extends string>(
  from: Record<string, unknown>,
  names: readonly Name[],
): Partial<Record<Name, number>> {
  const kept: Partial<Record<Name, number>> = {};
  for (const name of names) {
    const value = from[name];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) kept[name] = value;
  }
  return kept;
}

function isPlainObject(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

function objectAt(found: unknown, place: string): Record<string, unknown> {
  if (!isPlainObject(found)) throw new ArchiveError(place, 'must be an object');
  return found;
}

function textAt(from: Record<string, unknown>, key: string, place: string): string {
  const found = from[key];
  if (typeof found !== 'string') throw new ArchiveError(`${place}/${key}`, 'must be a string');
  return found;
}

function timeAt(from: Record<string, unknown>, key: string, place: string): number {
  return numberAt(from, key, place, 0, kLatest);
}

function numberAt(
  from: Record<string, unknown>,
  key: string,
  place: string,
  least: number,
  most: number,
): number {
  const found = from[key];
  if (typeof found !== 'number' || !(found >= least && found <= most)) {
    throw new ArchiveError(`${place}/${key}`, `must be a number from ${least} to ${most}`);
  }
  return found;
}
