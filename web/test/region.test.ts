import assert from 'node:assert/strict';
import test from 'node:test';
import { cornersOf, moved, quoteOf, regionBetween, resized } from '../src/chat/region.ts';

const near = (a: object, b: object) =>
  assert.deepEqual(
    Object.values(a).map((x: number) => Math.round(x * 1e6)),
    Object.values(b).map((x: number) => Math.round(x * 1e6)),
  );

test('a box is in order, within the picture and never empty', () => {
  near(regionBetween(0.8, 0.1, 0.2, 0.5), { left: 0.2, top: 0.1, right: 0.8, bottom: 0.5 });
  near(regionBetween(-3, -1, 7, 2), { left: 0, top: 0, right: 1, bottom: 1 });
  for (const at of [-1, 0, 0.5, 1, 2]) {
    const { left, right, top, bottom } = regionBetween(at, at, at, at);
    assert.ok(0 <= left && left < right && right <= 1, `${left} ${right}`);
    assert.ok(0 <= top && top < bottom && bottom <= 1);
  }
});

test('moving keeps the size, resizing the first corner', () => {
  const box = regionBetween(0.2, 0.2, 0.4, 0.5);
  near(moved(box, 0.1, -0.1), { left: 0.3, top: 0.1, right: 0.5, bottom: 0.4 });
  near(moved(box, 9, -9), { left: 0.8, top: 0, right: 1, bottom: 0.3 });
  near(resized(box, 0.1, 9), { left: 0.2, top: 0.2, right: 0.5, bottom: 1 });
  const least = resized(box, -9, -9);
  assert.ok(least.left === 0.2 && least.right > 0.2 && least.right < 0.21);
});

test('quotes', () => {
  const size = { width: 1600, height: 1200 };
  const box = regionBetween(0, 0.25, 0.5, 1);
  assert.deepEqual(cornersOf(box, size, 'thousandths'), [0, 250, 500, 999]);
  assert.deepEqual(cornersOf(box, size, 'pixels'), [0, 300, 800, 1199]);
  assert.equal(quoteOf([0, 250, 500, 999], 'thousandths'), '[[000,250,500,999]]');
  assert.equal(quoteOf([0, 300, 800, 1199], 'pixels'), '[0, 300, 800, 1199] px');
});
