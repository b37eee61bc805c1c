import type { Conversation } from './tree.ts';

/// A picture's bytes; `type` is image/png, image/jpeg or image/webp.
export interface StoredPicture {
  id: string;
  blob: Blob;
  added: number;
}

/// The browser's own database: conversations and the pictures they name. Where there is none (some
/// private windows) everything lives in memory as long as the page, and `kept` is false.
export interface Database {
  readonly kept: boolean;
  conversations(): Promise<Conversation[]>;
  conversation(id: string): Promise<Conversation | null>;
  putConversation(conversation: Conversation): Promise<void>;
  deleteConversation(id: string): Promise<void>;
  picture(id: string): Promise<Blob | null>;
  putPicture(picture: StoredPicture): Promise<void>;
  deletePictures(ids: Iterable<string>): Promise<void>;
  /// Deletes pictures added before `before` that no conversation uses.
  deleteUnused(used: Set<string>, before: number): Promise<void>;
}

const kName = 'cardloom';
const kVersion = 1;

export async function openDatabase(): Promise<Database> {
  try {
    return indexed(await open());
  } catch {
    return inMemory();
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(kName, kVersion);
    asked.onupgradeneeded = () => {
      asked.result.createObjectStore('conversations', { keyPath: 'id' });
      asked.result.createObjectStore('pictures', { keyPath: 'id' });
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => asked.result.close();
      resolve(asked.result);
    };
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error('another tab holds an older database'));
  });
}

function indexed(database: IDBDatabase): Database {
  function run<T>(
    store: string,
    mode: IDBTransactionMode,
    work: (store: IDBObjectStore) => IDBRequest<T> | null,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(store, mode);
      const asked = work(transaction.objectStore(store));
      transaction.oncomplete = () => resolve(asked?.result as T);
      transaction.onerror = () => reject(transaction.error);
      transaction.onabort = () => reject(transaction.error ?? new Error('aborted'));
    });
  }
  return {
    kept: true,
    conversations: () => run('conversations', 'readonly', (store) => store.getAll()),
    conversation: async (id) => {
      const found = await run<Conversation | undefined>('conversations', 'readonly', (store) =>
        store.get(id),
      );
      return found ?? null;
    },
    putConversation: async (conversation) => {
      await run('conversations', 'readwrite', (store) => store.put(conversation));
    },
    deleteConversation: (id) => run('conversations', 'readwrite', (store) => store.delete(id)),
    picture: async (id) => {
      const found = await run<StoredPicture | undefined>('pictures', 'readonly', (store) =>
        store.get(id),
      );
      return found?.blob ?? null;
    },
    putPicture: async (picture) => {
      await run('pictures', 'readwrite', (store) => store.put(picture));
    },
    deletePictures: async (ids) => {
      await run('pictures', 'readwrite', (store) => {
        for (const id of ids) store.delete(id);
        return null;
      });
    },
    deleteUnused: async (used, before) => {
      await run('pictures', 'readwrite', (store) => {
        const asked = store.openCursor();
        asked.onsuccess = () => {
          const cursor = asked.result;
          if (!cursor) return;
          const { id, added } = cursor.value as StoredPicture;
          if (!used.has(id) && added < before) cursor.delete();
          cursor.continue();
        };
        return null;
      });
    },
  };
}

export function inMemory(): Database {
  const conversations = new Map<string, Conversation>();
  const pictures = new Map<string, Blob>();
  return {
    kept: false,
    conversations: () => Promise.resolve([...conversations.values()]),
    conversation: async (id) => conversations.get(id) ?? null,
    putConversation: async (conversation) => void conversations.set(conversation.id, conversation),
    deleteConversation: async (id) => void conversations.delete(id),
    picture: async (id) => pictures.get(id) ?? null,
    putPicture: async (picture) => void pictures.set(picture.id, picture.blob),
    deletePictures: async (ids) => {
      for (const id of ids) pictures.delete(id);
    },
    deleteUnused: () => Promise.resolve(),
  };
}
