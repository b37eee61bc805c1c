import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  activityOf,
  CardTrack,
  summarize,
  Timeline,
  type StepEvent,
} from '../src/cards/timeline.ts';
import { kindNames, kindOf } from '../src/cards/kinds.ts';
import { laneAt, laneTop, timeText } from '../src/cards/draw.ts';

function step(number: number, begin: number): StepEvent {
  return {
    ...{ step: number, rows: 3, sequences: 3, pictures: 0, begin_us: begin, end_us: begin + 100 },
    ops: ['matmul', 'matmul_all_reduce'],
    layers: ['text.layers.0.mlp.gate_up', 'text.layers.0.mlp.down'],
    spans: [
      [0, 0, 0, 0, 40, 0],
      [1, 0, 0, 0, 50, 0],
      [0, 1, 1, 40, 60, 10],
      [1, 1, 1, 50, 50, 0],
    ],
  };
}

function timelineOf(steps: number): Timeline {
  const timeline = new Timeline();
  timeline.reset(2);
  for (let i = 0; i < steps; ++i) timeline.add(step(i, 1000 + 200 * i));
  return timeline;
}

test('time by operator and card', () => {
  const { operators, busy, wait } = summarize(timelineOf(10), 0, 1000, 3000);
  assert.deepEqual(
    operators.map((row) => [row.operator, row.calls, row.time, row.wait]),
    [
      ['matmul_all_reduce', 10, 600, 100],
      ['matmul', 10, 400, 0],
    ],
  );
  assert.equal(busy, 0.45);
  assert.equal(wait, 0.05);
});

test('steps that are not shown are counted too', () => {
  const timeline = new Timeline();
  timeline.reset(2);
  for (let i = 0; i < 5; ++i) timeline.add(step(1 + 4 * i, 1000 + 400 * i));
  const activity = activityOf(timeline, 0, 9e9);
  assert.deepEqual(activity, {
    steps: 5,
    stepsPerSecond: 17 / 0.0017,
    stepUs: 100,
    rows: 3,
    ofShown: 17 / 5,
  });
  assert.equal(activityOf(timeline, 5000, 9000).steps, 0);
});

test('only what lies in the window counts', () => {
  const { operators } = summarize(timelineOf(10), 0, 1020, 1060);
  assert.deepEqual(
    operators.map((row) => [row.operator, row.time]),
    [
      ['matmul', 20],
      ['matmul_all_reduce', 20],
    ],
  );
  assert.deepEqual(summarize(timelineOf(10), 0, 1100, 1200).operators, []);
  assert.deepEqual(summarize(timelineOf(1), 5, 0, 9e9).operators, []);
});

test('finding the span under the pointer', () => {
  const timeline = timelineOf(3);
  assert.equal(timeline.find(0, 1020, 0)?.operator, 'matmul');
  assert.equal(timeline.find(0, 1045, 0)?.layer, 'text.layers.0.mlp.down');
  assert.equal(timeline.find(0, 1150, 10), null);
  assert.equal(timeline.find(0, 1105, 10)?.operator, 'matmul_all_reduce');
  assert.equal(timeline.find(0, 1195, 10)?.begin, 1200);
  assert.equal(timeline.find(7, 1020, 10), null);
});

test('the ring forgets the oldest and stays searchable', () => {
  const timeline = timelineOf(CardTrack.kCapacity);
  const track = timeline.tracks[0]!;
  assert.equal(track.count, 2 * CardTrack.kCapacity);
  assert.equal(track.firstAfter(0), CardTrack.kCapacity);
  const last = 1000 + 200 * (CardTrack.kCapacity - 1);
  assert.equal(timeline.find(0, last + 10, 0)?.step, CardTrack.kCapacity - 1);
  assert.ok(timeline.steps.length <= 8192);
});

test('another server begins at its own time', () => {
  const timeline = timelineOf(3);
  timeline.add({ ...step(50, 9e9) });
  timeline.add(step(1, 500));
  assert.equal(timeline.steps.length, 1);
  assert.equal(timeline.tracks.length, 2);
});

test('spans that make no sense are left out', () => {
  const timeline = timelineOf(0);
  timeline.add({
    ...step(1, 0),
    spans: [
      [9, 0, 0, 0, 1, 0],
      [-1, 0, 0, 0, 1, 0],
      [0, 77, 99, 0, 5, 50],
    ],
  });
  assert.equal(timeline.tracks[0]!.count, 1);
  assert.equal(timeline.find(0, 2, 0)?.wait, 5);
});

test('operators have kinds', () => {
  for (const [name, kind] of [
    ['matmul', 'matmul'],
    ['paged_attention', 'attention'],
    ['new_all_reduce', 'reduce'],
    ['zzz', 'other'],
  ]) {
    assert.equal(kindOf(name!), kind);
  }
  assert.ok(kindNames.includes(kindOf('top_k')));
});

test('lanes and times', () => {
  assert.equal(laneAt(laneTop(1, 2) + 5, 2), 1);
  assert.equal(laneAt(2, 2), null);
  assert.equal(laneAt(1e5, 2), null);
  assert.deepEqual([5e6, 27700, 154, 1.25e6].map(timeText), ['5 s', '27.7 ms', '154 µs', '1.25 s']);
});

test('spans may come in any order', () => {
  const timeline = timelineOf(0);
  const one = step(1, 1000);
  timeline.add({ ...one, spans: one.spans.reverse() });
  assert.equal(timeline.find(0, 1020, 0)?.operator, 'matmul');
  assert.equal(timeline.find(1, 1060, 0)?.operator, 'matmul_all_reduce');
});
