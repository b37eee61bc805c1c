import { createStore } from '../base/store.ts';
import { newId } from '../base/id.ts';
import { inMemory, openDatabase, type Database } from './db.ts';
import { makeArchive, readArchive, withNewIds, type Archive } from './transfer.ts';
import { mergedWith, pictureIdsOf, type Conversation } from './tree.ts';

/// All conversations, which one is open, and whether they outlive the page.
export interface Library {
  ready: boolean;
  kept: boolean;
  all: Record<string, Conversation>;
  openId: string | null;
}

export const library = createStore<Library>({ ready: false, kept: true, all: {}, openId: null });

let database: Database;
const channel = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('cardloom');
const unsaved = new Map<string, ReturnType<typeof setTimeout>>();
/// What the database would not take (it is full, or another tab has a newer one): it lives as long as
/// the page.
const refused = new Set<string>();
const refusedPictures = new Map<string, Blob>();
const pictureUrls = new Map<string, Promise<string | null>>();
/// When a conversation was last put by this tab, counted in puts and reads.
const lastPut = new Map<string, number>();
let clock = 0;
const kDraftMs = 24 * 3600 * 1000; // how long a picture that was never sent may wait in some tab
const kSaveAfterMs = 700; // a streaming answer changes every frame; the database need not

export async function loadLibrary(open: () => Promise<Database> = openDatabase): Promise<void> {
  database = await open();
  await readAll().catch(() => {
    database = inMemory(); // one that cannot be read is as good as none
    return readAll();
  });
  flush();
  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === 'string') void refresh(data).catch(() => undefined);
    };
  }
  addEventListener('pagehide', () => flush());
  await database.deleteUnused(usedPictures(), Date.now() - kDraftMs).catch(() => undefined);
}

function usedPictures(): Set<string> {
  return new Set(Object.values(library.get().all).flatMap((one) => [...pictureIdsOf(one)]));
}

function isKept(): boolean {
  return database.kept && refused.size === 0 && refusedPictures.size === 0;
}

async function readAll(): Promise<void> {
  const found = await database.conversations();
  library.set((now) => {
    // What was asked while the database was being opened is not in it yet.
    const all = { ...Object.fromEntries(found.map((one) => [one.id, one])), ...now.all };
    return { ...now, ready: true, kept: isKept(), all };
  });
}

/// Takes over what another tab did to a conversation.
async function refresh(id: string): Promise<void> {
  const began = ++clock;
  const theirs = await database.conversation(id);
  const mine = conversationOf(id);
  // What this tab is writing is newer than what the database had when it was asked.
  const isWriting = unsaved.has(id) || refused.has(id) || (lastPut.get(id) ?? 0) > began;
  if (!theirs) {
    if (mine && !isWriting) forget(id);
    return;
  }
  const next = !mine ? theirs : isWriting ? mergedWith(mine, theirs) : mergedWith(theirs, mine);
  if (next === mine) return;
  if (next !== theirs) return putConversation(next);
  library.set((now) => ({ ...now, all: { ...now.all, [id]: next } }));
}

function forget(id: string): void {
  library.set((now) => {
    const { [id]: _gone, ...all } = now.all;
    return { ...now, all, openId: now.openId === id ? null : now.openId };
  });
}

export function openConversation(id: string | null): void {
  library.set((now) => ({ ...now, openId: id !== null && now.all[id] ? id : null }));
}

export function conversationOf(id: string): Conversation | undefined {
  return library.get().all[id];
}

/// Puts a new or changed conversation; it is saved soon.
export function putConversation(conversation: Conversation): void {
  library.set((now) => ({ ...now, all: { ...now.all, [conversation.id]: conversation } }));
  lastPut.set(conversation.id, ++clock);
  if (!unsaved.has(conversation.id)) {
    unsaved.set(
      conversation.id,
      setTimeout(() => save(conversation.id), kSaveAfterMs),
    );
  }
}

export function changeConversation(id: string, change: (now: Conversation) => Conversation): void {
  const now = conversationOf(id);
  if (now) putConversation(change(now));
}

function save(id: string): void {
  if (!library.get().ready) return; // loadLibrary() does it
  clearTimeout(unsaved.get(id));
  unsaved.delete(id);
  const conversation = conversationOf(id);
  if (!conversation) return;
  database.putConversation(conversation).then(
    () => {
      refused.delete(id);
      channel?.postMessage(id);
      noteKept();
    },
    () => {
      refused.add(id);
      noteKept();
    },
  );
}

function noteKept(): void {
  const kept = isKept();
  if (library.get().kept !== kept) library.set((now) => ({ ...now, kept }));
}

export function flush(): void {
  for (const id of [...unsaved.keys()]) save(id);
}

export async function removeConversation(id: string): Promise<void> {
  const gone = conversationOf(id);
  if (!gone) return;
  clearTimeout(unsaved.get(id));
  unsaved.delete(id);
  refused.delete(id);
  forget(id);
  const used = usedPictures();
  const pictures = [...pictureIdsOf(gone)].filter((picture) => !used.has(picture));
  for (const picture of pictures) forgetPicture(picture);
  try {
    await database.deleteConversation(id);
    await database.deletePictures(pictures);
  } finally {
    channel?.postMessage(id);
  }
}

function forgetPicture(id: string): void {
  refusedPictures.delete(id);
  void pictureUrls.get(id)?.then((url) => url !== null && URL.revokeObjectURL(url));
  pictureUrls.delete(id);
}

/// The words of conversations as search() reads them: an answer that grows changes one of them.
const haystacks = new WeakMap<Conversation, string>();

function haystackOf(conversation: Conversation): string {
  let text = haystacks.get(conversation);
  if (text === undefined) {
    const texts = Object.values(conversation.messages).map((message) => message.text);
    text = [conversation.title, ...texts].join('\n').toLowerCase();
    haystacks.set(conversation, text);
  }
  return text;
}

/// Conversations whose title or messages contain every word of `text`, the latest first.
export function search(all: Record<string, Conversation>, text: string): Conversation[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return Object.values(all)
    .filter((one) => words.length === 0 || words.every((word) => haystackOf(one).includes(word)))
    .sort((a, b) => b.updated - a.updated);
}

export async function addPicture(blob: Blob): Promise<string> {
  const id = newId();
  try {
    await database.putPicture({ id, blob, added: Date.now() });
  } catch {
    refusedPictures.set(id, blob);
    noteKept();
  }
  pictureUrls.set(id, Promise.resolve(URL.createObjectURL(blob)));
  return id;
}

/// An address that an <img> can show; null if the picture is gone.
export function pictureUrl(id: string): Promise<string | null> {
  let url = pictureUrls.get(id);
  if (!url) {
    url = storedPicture(id).then(
      (blob) => (blob ? URL.createObjectURL(blob) : null),
      () => {
        pictureUrls.delete(id); // the next look may find it
        return null;
      },
    );
    pictureUrls.set(id, url);
  }
  return url;
}

export async function storedPicture(id: string): Promise<Blob | null> {
  return refusedPictures.get(id) ?? database.picture(id);
}

export async function pictureDataUrl(id: string): Promise<string | null> {
  const blob = await storedPicture(id);
  return blob === null ? null : dataUrlOf(blob);
}

function dataUrlOf(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

export async function exportConversations(ids: string[]): Promise<Archive> {
  const conversations = ids.map(conversationOf).filter((one) => one !== undefined);
  const pictures: Record<string, string> = {};
  for (const conversation of conversations) {
    for (const id of pictureIdsOf(conversation)) {
      const url = await pictureDataUrl(id);
      if (url !== null) pictures[id] = url;
    }
  }
  return makeArchive(conversations, pictures);
}

/// Adds the conversations of an exported file; how many. Throws ArchiveError.
export async function importConversations(text: string): Promise<number> {
  const archive = readArchive(text);
  const pictureIds: Record<string, string> = {};
  for (const [id, url] of Object.entries(archive.pictures))
    pictureIds[id] = await addPicture(blobOf(url));
  for (const conversation of archive.conversations)
    putConversation(withNewIds(conversation, pictureIds));
  flush();
  return archive.conversations.length;
}

/// Not fetch(): the content security policy lets the page connect to its own server only.
function blobOf(dataUrl: string): Blob {
  const comma = dataUrl.indexOf(',');
  const type = dataUrl.slice('data:'.length, dataUrl.indexOf(';'));
  const bytes = Uint8Array.from(atob(dataUrl.slice(comma + 1)), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type });
}
