import { createStore } from '../base/store.ts';
import { newId } from '../base/id.ts';
import { openDatabase, type Database } from './db.ts';
import { makeArchive, readArchive, withNewIds, type Archive } from './transfer.ts';
import { pictureIdsOf, type Conversation } from './tree.ts';

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
const pictureUrls = new Map<string, Promise<string | null>>();
/// When a conversation was last put by this tab, counted in puts and reads.
const lastPut = new Map<string, number>();
let clock = 0;
const kDraftMs = 24 * 3600 * 1000; // how long a picture that was never sent may wait in some tab
const kSaveAfterMs = 700; // a streaming answer changes every frame; the database need not

export async function loadLibrary(): Promise<void> {
  database = await openDatabase();
  await reload();
  if (channel) channel.onmessage = () => void reload();
  addEventListener('pagehide', () => flush());
  await database.deleteUnused(usedPictures(), Date.now() - kDraftMs).catch(() => undefined);
}

function usedPictures(): Set<string> {
  return new Set(Object.values(library.get().all).flatMap((one) => [...pictureIdsOf(one)]));
}

async function reload(): Promise<void> {
  const began = ++clock;
  const found = await database.conversations();
  library.set((now) => {
    const all = Object.fromEntries(found.map((one) => [one.id, one]));
    // What this tab is writing is newer than what the database had when it was asked.
    for (const [id, mine] of Object.entries(now.all)) {
      if (unsaved.has(id) || (lastPut.get(id) ?? 0) > began) all[id] = mine;
    }
    const openId = now.openId !== null && all[now.openId] ? now.openId : null;
    return { ready: true, kept: database.kept, all, openId };
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
  clearTimeout(unsaved.get(id));
  unsaved.delete(id);
  const conversation = conversationOf(id);
  if (!conversation) return;
  database.putConversation(conversation).then(
    () => channel?.postMessage(id),
    () => library.set((now) => ({ ...now, kept: false })),
  );
}

export function flush(): void {
  for (const id of [...unsaved.keys()]) save(id);
}

export async function removeConversation(id: string): Promise<void> {
  const gone = conversationOf(id);
  if (!gone) return;
  clearTimeout(unsaved.get(id));
  unsaved.delete(id);
  library.set((now) => {
    const { [id]: _gone, ...all } = now.all;
    return { ...now, all, openId: now.openId === id ? null : now.openId };
  });
  await database.deleteConversation(id);
  const used = usedPictures();
  await database.deletePictures([...pictureIdsOf(gone)].filter((picture) => !used.has(picture)));
  channel?.postMessage(id);
}

export async function removeAll(): Promise<void> {
  for (const id of Object.keys(library.get().all)) await removeConversation(id);
}

/// Conversations whose title or messages contain every word of `text`, the latest first.
export function search(all: Record<string, Conversation>, text: string): Conversation[] {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  return Object.values(all)
    .filter((conversation) => {
      if (words.length === 0) return true;
      const haystack = [
        conversation.title,
        ...Object.values(conversation.messages).map((m) => m.text),
      ]
        .join('\n')
        .toLowerCase();
      return words.every((word) => haystack.includes(word));
    })
    .sort((a, b) => b.updated - a.updated);
}

export async function addPicture(blob: Blob): Promise<string> {
  const id = newId();
  await database.putPicture({ id, blob, added: Date.now() });
  pictureUrls.set(id, Promise.resolve(URL.createObjectURL(blob)));
  return id;
}

/// An address that an <img> can show; null if the picture is gone.
export function pictureUrl(id: string): Promise<string | null> {
  let url = pictureUrls.get(id);
  if (!url) {
    url = database.picture(id).then((blob) => (blob ? URL.createObjectURL(blob) : null));
    pictureUrls.set(id, url);
  }
  return url;
}

export function storedPicture(id: string): Promise<Blob | null> {
  return database.picture(id);
}

export async function pictureDataUrl(id: string): Promise<string | null> {
  const blob = await database.picture(id);
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
