import { kindNames, kinds } from './kinds.ts';
import type { CardTrack, Timeline } from './timeline.ts';

/// What part of the timeline is drawn, in the server's microseconds.
export interface Window {
  from: number;
  to: number;
}

export interface Look {
  dark: boolean;
  ink: string;
  quiet: string;
  line: string;
  lane: string;
  step: string;
}

export const looks: Record<'light' | 'dark', Look> = {
  light: {
    dark: false,
    ink: '#16211f',
    quiet: '#5b6866',
    line: '#dde4e2',
    lane: '#f0f3f2',
    step: '#c9d5d3',
  },
  dark: {
    dark: true,
    ink: '#e8eeec',
    quiet: '#9daba8',
    line: '#263032',
    lane: '#141c1d',
    step: '#34464a',
  },
};

export const kAxisHeight = 26;
const kStepHeight = 12;
const kStepGap = 4;
const kLaneGap = 18;
const kFamily = "'Segoe UI', Roboto, 'Noto Sans', system-ui, sans-serif";
const kFont = `11px ${kFamily}`;

/// The height of one card's lane, its step strip included.
export function laneHeight(cards: number): number {
  return cards <= 2 ? 108 : cards <= 4 ? 84 : 60;
}

export function chartHeight(cards: number): number {
  return kAxisHeight + cards * (laneHeight(cards) + kLaneGap);
}

export function laneTop(rank: number, cards: number): number {
  return kAxisHeight + rank * (laneHeight(cards) + kLaneGap);
}

/// The card whose lane is at height `y`; null between lanes.
export function laneAt(y: number, cards: number): number | null {
  const rank = Math.floor((y - kAxisHeight) / (laneHeight(cards) + kLaneGap));
  if (rank < 0 || rank >= cards) return null;
  return y - laneTop(rank, cards) <= laneHeight(cards) ? rank : null;
}

/// Draws all lanes over the whole canvas, whose pixels are `scale` a CSS pixel.
export function drawTimeline(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  window: Window,
  size: { width: number; height: number; scale: number },
  look: Look,
): void {
  context.setTransform(size.scale, 0, 0, size.scale, 0, 0);
  context.clearRect(0, 0, size.width, size.height);
  const cards = timeline.tracks.length;
  drawAxis(context, window, size, look);
  const hatch = hatching(context, look);
  timeline.tracks.forEach((track, rank) => {
    const top = laneTop(rank, cards);
    const height = laneHeight(cards);
    context.fillStyle = look.lane;
    context.beginPath();
    context.roundRect(
      0,
      top + kStepHeight + kStepGap,
      size.width,
      height - kStepHeight - kStepGap,
      6,
    );
    context.fill();
    drawSteps(context, timeline, window, size.width, top, look);
    const ops = { top: top + kStepHeight + kStepGap, height: height - kStepHeight - kStepGap };
    drawTrack(context, timeline, track, window, size.width, ops, look, hatch);
  });
}

/// Times before the right edge, at steps of 1, 2 or 5 of some unit.
function drawAxis(
  context: CanvasRenderingContext2D,
  window: Window,
  size: { width: number; height: number },
  look: Look,
): void {
  const span = window.to - window.from;
  const wanted = span / Math.max(3, size.width / 110);
  const unit = 10 ** Math.floor(Math.log10(wanted));
  const every = [1, 2, 5, 10].map((n) => n * unit).find((step) => step >= wanted) ?? 10 * unit;
  context.font = kFont;
  context.textBaseline = 'alphabetic';
  context.textAlign = 'right';
  for (let back = 0; back < span; back += every) {
    const x = Math.round(size.width - (back / span) * size.width) - 0.5;
    context.strokeStyle = look.line;
    context.beginPath();
    context.moveTo(x, kAxisHeight - 6);
    context.lineTo(x, size.height);
    context.stroke();
    context.fillStyle = look.quiet;
    if (x > 44) context.fillText(back === 0 ? '0' : `−${timeText(back)}`, x - 4, kAxisHeight - 10);
  }
}

export function timeText(microseconds: number): string {
  if (microseconds >= 1e6) return `${trim(microseconds / 1e6)} s`;
  if (microseconds >= 1e3) return `${trim(microseconds / 1e3)} ms`;
  return `${trim(microseconds)} µs`;
}

function trim(value: number): string {
  return value >= 100
    ? value.toFixed(0)
    : value >= 10
      ? value.toFixed(1).replace(/\.0$/, '')
      : value.toFixed(2).replace(/\.?0+$/, '');
}

function drawSteps(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  window: Window,
  width: number,
  top: number,
  look: Look,
): void {
  const perUs = width / (window.to - window.from);
  context.font = `10px ${kFamily}`;
  context.textAlign = 'left';
  context.textBaseline = 'middle';
  let painted = -1;
  for (const step of timeline.steps) {
    if (step.end_us < window.from || step.begin_us > window.to) continue;
    const x = (step.begin_us - window.from) * perUs;
    const wide = (step.end_us - step.begin_us) * perUs;
    if (x + wide < painted + 0.5) continue; // nothing of it would be seen
    painted = x + wide;
    context.fillStyle =
      step.pictures > 0 ? (look.dark ? kinds.vision.dark : kinds.vision.light) : look.step;
    context.fillRect(x, top, Math.max(0.6, wide - (wide > 3 ? 1 : 0)), kStepHeight);
    if (wide > 44) {
      context.fillStyle = step.pictures > 0 ? (look.dark ? '#10181a' : '#fff') : look.ink;
      context.save();
      context.beginPath();
      context.rect(x, top, wide - 3, kStepHeight);
      context.clip();
      context.fillText(
        `#${step.step} · ${step.rows}`,
        Math.max(x, 0) + 4,
        top + kStepHeight / 2 + 0.5,
      );
      context.restore();
    }
  }
}

interface Lane {
  top: number;
  height: number;
}

function drawTrack(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  track: CardTrack,
  window: Window,
  width: number,
  lane: Lane,
  look: Look,
  hatch: CanvasPattern | string,
): void {
  const first = track.firstAfter(window.from);
  let last = first;
  while (last < track.count && track.begin[track.slot(last)]! < window.to) ++last;
  if (last - first > width / 3)
    drawDense(context, timeline, track, first, last, window, width, lane, look, hatch);
  else drawSingle(context, timeline, track, first, last, window, width, lane, look, hatch);
}

/// Each operator as a box: its colour, then hatched for as long as it waited.
function drawSingle(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  track: CardTrack,
  first: number,
  last: number,
  window: Window,
  width: number,
  lane: Lane,
  look: Look,
  hatch: CanvasPattern | string,
): void {
  const perUs = width / (window.to - window.from);
  context.font = kFont;
  context.textAlign = 'left';
  context.textBaseline = 'middle';
  for (let n = first; n < last; ++n) {
    const at = track.slot(n);
    const x = (track.begin[at]! - window.from) * perUs;
    const wide = Math.max(0.75, track.duration[at]! * perUs - 0.5);
    const waited = Math.min(wide, track.wait[at]! * perUs);
    const kind = kinds[kindNames[timeline.kinds[track.operator[at]!] ?? 0] ?? 'other'];
    context.fillStyle = look.dark ? kind.dark : kind.light;
    context.fillRect(x, lane.top, wide - waited, lane.height);
    if (waited > 0.3) {
      context.fillStyle = hatch;
      context.fillRect(x + wide - waited, lane.top, waited, lane.height);
    }
    if (wide - waited > 54) {
      context.save();
      context.beginPath();
      context.rect(x, lane.top, wide - waited - 4, lane.height);
      context.clip();
      context.fillStyle = look.dark ? '#0c1213' : '#fff';
      const left = Math.max(x, 0) + 6;
      context.fillText(
        timeline.operators.names[track.operator[at]!] ?? '',
        left,
        lane.top + lane.height / 2 - 7,
      );
      context.globalAlpha = 0.8;
      context.fillText(
        timeline.layers.names[track.layer[at]!] ?? '',
        left,
        lane.top + lane.height / 2 + 8,
      );
      context.restore();
    }
  }
}

/// Too many operators for boxes: each column of pixels is filled as high as the card was busy in it,
/// in the shares of the kinds, so that colours keep their truth at any width.
function drawDense(
  context: CanvasRenderingContext2D,
  timeline: Timeline,
  track: CardTrack,
  first: number,
  last: number,
  window: Window,
  width: number,
  lane: Lane,
  look: Look,
  hatch: CanvasPattern | string,
): void {
  const columns = Math.ceil(width);
  const layers = kindNames.length + 1; // the last is waiting
  const sums = new Float32Array(columns * layers);
  const perColumn = (window.to - window.from) / columns;
  for (let n = first; n < last; ++n) {
    const at = track.slot(n);
    const begin = track.begin[at]! - window.from;
    const end = begin + track.duration[at]!;
    const waits = end - track.wait[at]!;
    const kind = timeline.kinds[track.operator[at]!] ?? 0;
    spread(sums, layers, kind, begin, waits, perColumn, columns);
    spread(sums, layers, layers - 1, waits, end, perColumn, columns);
  }
  for (let layer = 0; layer < layers; ++layer) {
    const kind = kinds[kindNames[layer] ?? 'other'];
    context.fillStyle = layer === layers - 1 ? hatch : look.dark ? kind.dark : kind.light;
    for (let column = 0; column < columns; ++column) {
      const value = sums[column * layers + layer]!;
      if (value <= 0) continue;
      let below = 0;
      for (let under = 0; under < layer; ++under) below += sums[column * layers + under]!;
      const high = (Math.min(value, perColumn) / perColumn) * lane.height;
      const base = (Math.min(below, perColumn) / perColumn) * lane.height;
      context.fillRect(column, lane.top + lane.height - base - high, 1.02, high);
    }
  }
}

function spread(
  sums: Float32Array,
  layers: number,
  layer: number,
  begin: number,
  end: number,
  perColumn: number,
  columns: number,
): void {
  const firstColumn = Math.max(0, Math.floor(begin / perColumn));
  const lastColumn = Math.min(columns - 1, Math.floor(end / perColumn));
  for (let column = firstColumn; column <= lastColumn; ++column) {
    const inside = Math.min(end, (column + 1) * perColumn) - Math.max(begin, column * perColumn);
    if (inside > 0) sums[column * layers + layer]! += inside;
  }
}

let hatchFor: { dark: boolean; pattern: CanvasPattern | string } | null = null;

function hatching(context: CanvasRenderingContext2D, look: Look): CanvasPattern | string {
  if (hatchFor?.dark === look.dark) return hatchFor.pattern;
  const tile = document.createElement('canvas');
  tile.width = tile.height = 6;
  const paint = tile.getContext('2d');
  if (!paint) return look.step;
  paint.fillStyle = look.dark ? '#20292b' : '#e3e8e6';
  paint.fillRect(0, 0, 6, 6);
  paint.strokeStyle = look.dark ? '#5f6f70' : '#9aa8a5';
  paint.lineWidth = 1.2;
  for (const shift of [-6, 0, 6]) {
    paint.beginPath();
    paint.moveTo(shift - 1, 7);
    paint.lineTo(shift + 7, -1);
    paint.stroke();
  }
  const pattern = context.createPattern(tile, 'repeat') ?? look.step;
  hatchFor = { dark: look.dark, pattern };
  return pattern;
}
