import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { inMemory, type Database } from '../src/chat/db.ts';
import * as tree from '../src/chat/tree.ts';

type Library = typeof import('../src/chat/library.ts');

/// The tabs' channel, without a thread of its own: each message reaches the others at once.
class Channel {
  static all: Channel[] = [];
  onmessage: ((event: { data: unknown }) => void) | null = null;
  constructor() {
    Channel.all.push(this);
  }
  postMessage(data: unknown): void {
    for (const one of Channel.all) if (one !== this) one.onmessage?.({ data });
  }
}

/// A tab: the module anew, before a database that other tabs may have too.
async function tab(database: Database): Promise<Library> {
  const name = `../src/chat/library.ts?tab=${Channel.all.length}`;
  const library = (await import(name)) as Library;
  await library.loadLibrary(async () => database);
  return library;
}

before(() => {
  Object.assign(globalThis, { BroadcastChannel: Channel, addEventListener: () => undefined });
});

/// Until what was put in motion has come to rest: nothing here waits for more than promises.
const settled = () => new Promise((resolve) => setTimeout(resolve, 20));

function say(library: Library, id: string, text: string): void {
  library.changeConversation(id, (now) => {
    const parent = tree.pathOf(now).at(-1)?.id ?? null;
    return tree.withMessage(now, tree.newMessage(now, { parent, role: 'user', text }));
  });
}

const textsIn = (conversation: tree.Conversation | null | undefined) =>
  Object.values(conversation?.messages ?? {})
    .map((message) => message.text)
    .sort();

test('two tabs that write in one conversation keep what both wrote', async () => {
  const database = inMemory();
  const [a, b] = [await tab(database), await tab(database)];
  const { id } = tree.newConversation('');
  a.putConversation({ ...tree.newConversation(''), id });
  a.flush();
  await settled();
  say(a, id, 'from a');
  say(b, id, 'from b');
  a.flush();
  b.flush();
  await settled();
  a.flush();
  b.flush();
  await settled();
  assert.deepEqual(textsIn(await database.conversation(id)), ['from a', 'from b']);
  assert.deepEqual(textsIn(a.conversationOf(id)), ['from a', 'from b']);
  assert.deepEqual(textsIn(b.conversationOf(id)), ['from a', 'from b']);
  a.openConversation(id);
  await b.removeConversation(id);
  await settled();
  assert.equal(a.conversationOf(id), undefined);
  assert.equal(a.library.get().openId, null);
});

test('what the database refuses lives on in the tab, and it says so', async () => {
  const database = inMemory();
  let full = true;
  const limited: Database = {
    ...database,
    kept: true,
    putConversation: async (one) => {
      if (full) throw new Error('full');
      await database.putConversation(one);
    },
    putPicture: async () => {
      throw new Error('full');
    },
  };
  const [a, b] = [await tab(limited), await tab(limited)];
  assert.ok(a.library.get().kept);
  const conversation = tree.newConversation('');
  a.putConversation(conversation);
  a.flush();
  await settled();
  assert.equal(a.library.get().kept, false);
  Channel.all.at(-1)!.postMessage(conversation.id); // another tab's word must not take it away
  await settled();
  assert.ok(a.conversationOf(conversation.id));
  full = false;
  say(a, conversation.id, 'again');
  a.flush();
  await settled();
  assert.ok(a.library.get().kept);
  assert.deepEqual(textsIn(b.conversationOf(conversation.id)), ['again']);
  const picture = await a.addPicture(new Blob(['x'], { type: 'image/png' }));
  assert.equal(a.library.get().kept, false);
  assert.equal((await a.storedPicture(picture))?.size, 1);
});

test('a database that cannot be read is as none', async () => {
  const broken: Database = {
    ...inMemory(),
    kept: true,
    conversations: () => Promise.reject(new Error('damaged')),
  };
  const library = await tab(broken);
  assert.deepEqual(library.library.get(), { ready: true, kept: false, all: {}, openId: null });
});

test('search finds words of titles and messages, also after they changed', async () => {
  const library = await tab(inMemory());
  const one = { ...tree.newConversation(''), title: 'A Lighthouse', updated: 1 };
  library.putConversation(one);
  library.putConversation({ ...tree.newConversation(''), title: 'boats', updated: 2 });
  const found = (text: string) =>
    library.search(library.library.get().all, text).map((conversation) => conversation.title);
  assert.deepEqual(found(''), ['boats', 'A Lighthouse']);
  assert.deepEqual(found('LIGHT'), ['A Lighthouse']);
  assert.deepEqual(found('light Keeper'), []);
  say(library, one.id, 'the keeper');
  assert.deepEqual(found('light Keeper'), ['A Lighthouse']);
});
