import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as tree from '../src/chat/tree.ts';

type Conversation = tree.Conversation;

function add(
  conversation: Conversation,
  parent: string | null,
  role: 'user' | 'assistant',
  text: string,
): [Conversation, string] {
  const message = tree.newMessage(conversation, { parent, role, text }, 1000);
  return [tree.withMessage(conversation, message), message.id];
}

/// Two questions, the second with two answers and one edited version with one answer.
function branched() {
  let c = tree.newConversation('be brief', 1000);
  let q1, a1, q2, a2, a2b, q2b, a3;
  [c, q1] = add(c, null, 'user', 'one');
  [c, a1] = add(c, q1, 'assistant', 'first');
  [c, q2] = add(c, a1, 'user', 'two');
  [c, a2] = add(c, q2, 'assistant', 'second');
  [c, a2b] = add(c, q2, 'assistant', 'second again');
  [c, q2b] = add(c, a1, 'user', 'two, edited');
  [c, a3] = add(c, q2b, 'assistant', 'third');
  return { c, q1, a1, q2, a2, a2b, q2b, a3 };
}

const texts = (messages: tree.Message[]) => messages.map((message) => message.text);

test('the newest branch is the one being read', () => {
  assert.deepEqual(texts(tree.pathOf(branched().c)), ['one', 'first', 'two, edited', 'third']);
});

test('choosing a sibling shows its own branch, as it was left', () => {
  const { c, q2, a2 } = branched();
  const back = tree.withChosen(c, q2);
  assert.deepEqual(texts(tree.pathOf(back)), ['one', 'first', 'two', 'second again']);
  assert.deepEqual(texts(tree.pathOf(tree.withChosen(back, a2))), [
    'one',
    'first',
    'two',
    'second',
  ]);
});

const childrenOf = (c: tree.Conversation, parent: string) =>
  tree
    .versionsOf(c)
    .get(parent)!
    .map((id) => c.messages[id]!);

test('siblings are in the order of their making, even in one millisecond', () => {
  const { c, a1, q2 } = branched();
  assert.deepEqual(texts(childrenOf(c, a1)), ['two', 'two, edited']);
  assert.deepEqual(texts(childrenOf(c, q2)), ['second', 'second again']);
});

test('ancestors do not depend on the choice', () => {
  const { c, a2 } = branched();
  assert.deepEqual(texts(tree.ancestorsOf(c, a2)), ['one', 'first', 'two', 'second']);
});

test('two tabs that write in one conversation lose nothing of each other', () => {
  const { c, a3 } = branched();
  const add = (to: tree.Conversation, text: string) =>
    tree.withMessage(to, tree.newMessage(to, { parent: a3, role: 'user', text }));
  const mine = add(c, 'here');
  const theirs = add(tree.withChange(c, a3, { text: 'third, longer', finish: 'stop' }), 'there');
  const merged = tree.mergedWith(mine, theirs);
  assert.deepEqual(
    texts(Object.values(merged.messages).filter((message) => message.parent === a3)).sort(),
    ['here', 'there'],
  );
  assert.equal(merged.messages[a3]!.text, 'third, longer');
  assert.equal(tree.pathOf(merged).at(-1)!.text, 'here'); // each tab keeps what it reads
  assert.equal(tree.mergedWith(merged, theirs), merged); // nothing new: the same, so that it ends
  const over = tree.withChange(merged, a3, { failure: { kind: 'cut', message: '' } });
  assert.equal(tree.mergedWith(over, merged), over);
  const stopped = tree.withChange(c, a3, { finish: 'stopped' });
  assert.equal(tree.mergedWith(c, stopped).messages[a3]!.finish, 'stopped');
});

test('changes do not touch the conversation before', () => {
  const { c, a3 } = branched();
  const before = JSON.stringify(c);
  const failed = tree.withChange(c, a3, {
    failure: { kind: 'network', message: 'gone' },
    finish: 'stop',
  });
  assert.equal(JSON.stringify(c), before);
  const again = tree.withoutOutcome(failed, a3).messages[a3]!;
  assert.ok(!('failure' in again) && !('finish' in again));
  assert.equal(again.text, 'third');
});

test('a cycle ends', () => {
  const { c, q1, a1 } = branched();
  const cyclic = tree.withChange(c, q1, { parent: a1 });
  assert.deepEqual(tree.pathOf(cyclic), []);
  assert.ok(tree.ancestorsOf(cyclic, a1).length <= 7);
});

test('titles', () => {
  assert.equal(tree.titleFrom('\n  What is this?\nmore'), 'What is this?');
  assert.equal(tree.titleFrom(''), '');
  const long = tree.titleFrom('🖼️ picture '.repeat(20));
  assert.ok(Array.from(long).length <= 60 && long.endsWith('…'));
});

test('a comparison is one version, as long as both answers are there', () => {
  const { c, q2, a2, a2b } = branched();
  const pair = (side: 'a' | 'b', other: string) => ({ pair: { side, other, sampling: {} } });
  let compared = tree.withChange(c, a2, pair('a', a2b));
  compared = tree.withChange(compared, a2b, pair('b', a2));
  assert.deepEqual(tree.versionsOf(c).get(q2), [a2, a2b]);
  assert.deepEqual(tree.versionsOf(compared).get(q2), [a2]);
  assert.equal(tree.partnerOf(compared, compared.messages[a2]!)?.id, a2b);
  const { [a2]: _gone, ...messages } = compared.messages;
  const left = { ...compared, messages };
  assert.equal(tree.partnerOf(left, left.messages[a2b]!), undefined);
  assert.deepEqual(tree.versionsOf(left).get(q2), [a2b]);
  // A file of somebody may name any message as the other one.
  const odd = tree.withChange(c, a2, pair('b', q2));
  assert.equal(tree.partnerOf(odd, odd.messages[a2]!), undefined);
});
