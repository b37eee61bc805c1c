import assert from 'node:assert/strict';
import test from 'node:test';
import { acceptTokens, doubtOf, meanProbability, TokenCollector } from '../src/chat/tokens.ts';

const bytes = (text: string) => [...new TextEncoder().encode(text)];

test('tokens keep their text, probability and alternatives', () => {
  const collector = new TokenCollector();
  collector.add([
    {
      token: ' red',
      logprob: -0.123456,
      bytes: bytes(' red'),
      top_logprobs: [
        { token: ' red', logprob: -0.123456, bytes: bytes(' red') },
        { token: ' blue', logprob: -3, bytes: null },
      ],
    },
    { token: '好', logprob: 0 },
  ]);
  assert.deepEqual(collector.tokens, [
    {
      text: ' red',
      logprob: -0.1235,
      top: [
        [' red', -0.1235],
        [' blue', -3],
      ],
    },
    { text: '好', logprob: 0, top: [] },
  ]);
});

test('parts of a letter are one token with the product of the probabilities', () => {
  for (const letter of ['é', '好', '😀']) {
    const all = bytes(`a${letter}`);
    for (let cut = 2; cut < all.length; ++cut) {
      const collector = new TokenCollector();
      collector.add([{ token: '\ufffd', logprob: -1, bytes: all.slice(0, cut) }]);
      assert.deepEqual(collector.tokens, []);
      collector.add([
        { token: '\ufffd', logprob: -0.5, bytes: all.slice(cut), top_logprobs: [] },
        { token: '!', logprob: 0, bytes: [33] },
      ]);
      assert.deepEqual(collector.tokens, [
        { text: `a${letter}`, logprob: -1.5, top: [] },
        { text: '!', logprob: 0, top: [] },
      ]);
    }
  }
});

test('bytes that are no letter do not hold back the rest', () => {
  const collector = new TokenCollector();
  collector.add([{ token: '?', logprob: -1, bytes: [0x80, 0x80, 0x80, 0x80] }]);
  collector.add([{ token: 'a', logprob: -1, bytes: [97] }]);
  assert.equal(collector.tokens.length, 2);
});

test('doubt and mean', () => {
  assert.deepEqual(
    [1, 0.96, 0.9, 0.7, 0.5, 0.3, 0.1, 0].map((p) => doubtOf(Math.log(p))),
    [0, 0, 1, 2, 3, 4, 5, 5],
  );
  assert.equal(meanProbability([]), null);
  const two = [0.5, 0.125].map((p) => ({ text: '', logprob: Math.log(p), top: [] }));
  assert.ok(Math.abs(meanProbability(two)! - 0.25) < 1e-12);
});

test('imported tokens are all sound or none', () => {
  const good = { text: 'a', logprob: -1, top: [['b', -2]] };
  assert.deepEqual(acceptTokens([{ ...good, more: 1 }]), [good]);
  for (const bad of [
    null,
    {},
    [null],
    [{ ...good, text: 1 }],
    [{ ...good, logprob: 'x' }],
    [{ ...good, logprob: 2 }],
    [{ ...good, top: [['b']] }],
    [good, { ...good, top: null }],
  ]) {
    assert.deepEqual(acceptTokens(bad), []);
  }
});
