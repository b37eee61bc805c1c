import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArchiveError, makeArchive, readArchive, withNewIds } from '../src/chat/transfer.ts';
import * as tree from '../src/chat/tree.ts';

const png = 'data:image/png;base64,iVBORw0KGgo=';

function conversation(): tree.Conversation {
  let c = { ...tree.newConversation('be brief', 1000), title: 'A “title”', titled: true };
  const picture = { id: 'pic1', name: 'a.png', width: 4, height: 3, bytes: 8 };
  const question = tree.newMessage(
    c,
    { parent: null, role: 'user', text: 'what?', pictures: [picture] },
    1000,
  );
  c = tree.withMessage(c, question) as typeof c;
  const answer = tree.newMessage(
    c,
    { parent: question.id, role: 'assistant', text: 'that.\n图' },
    1000,
  );
  const stats = {
    usage: { prompt_tokens: 9, completion_tokens: 2, total_tokens: 11 },
    firstTokenMs: 12.5,
  };
  return tree.withMessage(c, { ...answer, finish: 'stop', stats });
}

test('what is exported can be imported unchanged', () => {
  const c = conversation();
  const read = readArchive(JSON.stringify(makeArchive([c], { pic1: png }, new Date(0))));
  assert.deepEqual(read.conversations, [c]);
  assert.deepEqual(read.pictures, { pic1: png });
  assert.equal(read.exported, '1970-01-01T00:00:00.000Z');
});

/// With two answers of a comparison in the place of the first.
function compared(): tree.Conversation {
  let c = conversation();
  const [question] = tree.pathOf(c);
  const a = tree.newMessage(c, { parent: question!.id, role: 'assistant', text: 'A' }, 2000);
  c = tree.withMessage(c, a);
  const b = tree.newMessage(c, { parent: question!.id, role: 'assistant', text: '{}' }, 2000);
  a.pair = { side: 'a', other: b.id, sampling: { temperature: 0.5 } };
  b.pair = { side: 'b', other: a.id, sampling: {}, system: 'in verse' };
  a.tokens = [{ text: 'A', logprob: -0.5, top: [['B', -1]] }];
  Object.assign(b, { json: true, schema: '{}' });
  return tree.withMessage(tree.withMessage(c, a), b);
}

test('a comparison with its probabilities is imported unchanged, under new ids together', () => {
  const c = compared();
  const read = readArchive(JSON.stringify(makeArchive([c], { pic1: png }, new Date(0))));
  assert.deepEqual(read.conversations, [c]);
  const renewed = withNewIds(c, {});
  const last = tree.pathOf(renewed).at(-1)!;
  assert.equal(tree.partnerOf(renewed, last)?.text, 'A');
  assert.ok(!(last.pair!.other in c.messages));
});

test('what a comparison may hold is checked', () => {
  const archive = JSON.parse(JSON.stringify(makeArchive([compared()], {})));
  const b = Object.values<any>(archive.conversations[0].messages).find((m) => m.pair?.side === 'b');
  b.pair = { side: 'b', other: b.pair.other, sampling: { temperature: 99, evil: 1 }, more: 1 };
  b.tokens = [{ text: '<b>', logprob: 'high', top: [] }];
  b.schema = 5;
  const read = readArchive(JSON.stringify(archive)).conversations[0]!.messages[b.id]!;
  assert.deepEqual(read.pair, { side: 'b', other: b.pair.other, sampling: {} });
  assert.equal(read.tokens, undefined);
  assert.equal(read.schema, undefined);
  b.pair = { side: 'c', other: 'x' };
  const again = readArchive(JSON.stringify(archive)).conversations[0]!.messages[b.id]!;
  assert.equal(again.pair, undefined);
});

test('an import has new ids and the same shape', () => {
  const c = conversation();
  const renewed = withNewIds(c, { pic1: 'pic9' });
  assert.notEqual(renewed.id, c.id);
  const [question, answer] = tree.pathOf(renewed);
  assert.equal(answer!.parent, question!.id);
  assert.equal(question!.pictures[0]!.id, 'pic9');
  assert.ok(!(question!.id in c.messages));
  assert.equal(renewed.chosen['root'], question!.id);
});

function refused(change: (archive: any) => void, place: string) {
  const archive = JSON.parse(JSON.stringify(makeArchive([conversation()], { pic1: png })));
  change(archive);
  assert.throws(
    () => readArchive(JSON.stringify(archive)),
    (error) => error instanceof ArchiveError && error.place.startsWith(place),
    `expected a complaint about ${place}`,
  );
}

test('a damaged file is refused with the place', () => {
  assert.throws(() => readArchive('{'), ArchiveError);
  assert.throws(() => readArchive('[]'), ArchiveError);
  assert.throws(() => readArchive('null'), ArchiveError);
  refused((a) => (a.format = 'other'), '/format');
  refused((a) => (a.version = 2), '/version');
  refused((a) => (a.conversations = {}), '/conversations');
  refused((a) => (a.conversations[0].title = 5), '/conversations/0/title');
  refused((a) => (a.conversations[0].created = '1'), '/conversations/0/created');
  refused((a) => (a.conversations[0].messages = []), '/conversations/0/messages');
  const first = (a: any) => Object.values<any>(a.conversations[0].messages)[0];
  refused((a) => (first(a).role = 'system'), '/conversations/0/messages/');
  refused((a) => (first(a).parent = 'nobody'), '/conversations/0/messages/');
  refused((a) => (first(a).id = 'other'), '/conversations/0/messages/');
  refused((a) => (first(a).pictures = 'x'), '/conversations/0/messages/');
});

test('pictures are pictures', () => {
  refused((a) => (a.pictures.pic1 = 'data:text/html;base64,PGI+'), '/pictures/pic1');
  refused((a) => (a.pictures.pic1 = 'data:image/svg+xml;base64,PHN2Zz4='), '/pictures/pic1');
  refused((a) => (a.pictures.pic1 = 'https://example.com/a.png'), '/pictures/pic1');
  refused((a) => (a.pictures['../x'] = png), '/pictures/');
});

test('unknown fields are left behind', () => {
  const archive = JSON.parse(JSON.stringify(makeArchive([conversation()], {})));
  archive.conversations[0].extra = '<script>';
  const message = Object.values<any>(archive.conversations[0].messages)[0];
  message.stats = { usage: { prompt_tokens: 5, note: '<b>' }, html: '<i>' };
  const text = JSON.stringify(readArchive(JSON.stringify(archive)));
  assert.ok(!text.includes('<'));
});

test('names that every object has are refused as ids, and found nowhere', () => {
  const rename = (a: any, id: string) => {
    const [old, message] = Object.entries<any>(a.conversations[0].messages)[1]!;
    delete a.conversations[0].messages[old];
    a.conversations[0].messages[id] = { ...message, id };
  };
  for (const id of ['constructor', 'root', 'A', '', 'toString'])
    refused((a) => rename(a, id), '/conversations/0/messages/');
  refused((a) => {
    const answer = Object.values<any>(a.conversations[0].messages)[1];
    answer.parent = 'constructor';
  }, '/conversations/0/messages/');
  const archive = JSON.parse(JSON.stringify(makeArchive([compared()], {})));
  const [question] = Object.values<any>(archive.conversations[0].messages);
  const b = Object.values<any>(archive.conversations[0].messages).find((m) => m.pair?.side === 'b');
  question.pictures[0].id = 'constructor';
  b.pair.other = 'constructor';
  Object.assign(archive.conversations[0].chosen, { root: 'constructor', constructor: b.id });
  const read = readArchive(JSON.stringify(archive)).conversations[0]!;
  assert.doesNotThrow(() => structuredClone(withNewIds(read, { pic1: 'pic9' }))); // a database does
  assert.equal(tree.pathOf(withNewIds(read, {}))[0]!.pictures[0]!.id, 'constructor');
});

test('numbers have bounds, and statistics are numbers', () => {
  const first = (a: any) => Object.values<any>(a.conversations[0].messages)[0];
  refused((a) => (first(a).pictures[0].width = 0), '/conversations/0/messages/');
  refused((a) => (first(a).pictures[0].height = 1e300), '/conversations/0/messages/');
  refused((a) => (first(a).created = -1), '/conversations/0/messages/');
  const archive = JSON.parse(JSON.stringify(makeArchive([conversation()], {})));
  archive.conversations[0].updated = 8e15;
  first(archive).stats = {
    usage: { prompt_tokens: {}, completion_tokens: 1, total_tokens: 2 },
    timings: { decode_ms: { a: 1 }, queue_ms: 3, tokens_per_second: -1 },
    firstTokenMs: { a: 1 },
  };
  const read = readArchive(JSON.stringify(archive)).conversations[0]!;
  assert.ok(read.updated <= Date.now());
  assert.deepEqual(Object.values(read.messages)[0]!.stats, { timings: { queue_ms: 3 } });
});

test('__proto__ as a key is only a key', () => {
  const text =
    '{"format":"cardloom-conversations","version":1,"pictures":{},"conversations":[{"id":"a","title":"","created":1,"updated":1,"system":"","messages":{"__proto__":{}}}]}';
  assert.throws(() => readArchive(text), ArchiveError);
  assert.equal(({} as any).id, undefined);
});
