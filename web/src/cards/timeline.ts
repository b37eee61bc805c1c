import { kindNames, kindOf } from './kinds.ts';

/// One step as the server tells it. A span is [rank, index in ops, index in layers, begin relative
/// to the step's begin, duration, of which waiting], all in microseconds.
export interface StepEvent {
  step: number;
  rows: number;
  sequences: number;
  pictures: number;
  begin_us: number;
  end_us: number;
  ops: string[];
  layers: string[];
  spans: [number, number, number, number, number, number][];
}

export interface CardsEvent {
  tp: number;
  threads_per_card?: number;
  isa?: string;
}

export type Step = Omit<StepEvent, 'ops' | 'layers' | 'spans'>;

/// One operator's use by one card, in the server's microseconds.
export interface Span {
  operator: string;
  layer: string;
  kind: number; // index in kindNames
  step: number;
  begin: number;
  duration: number;
  wait: number;
}

/// The spans of one card, the latest kCapacity of them, in the order of time.
export class CardTrack {
  static readonly kCapacity = 1 << 17;
  readonly begin = new Float64Array(CardTrack.kCapacity);
  readonly duration = new Float32Array(CardTrack.kCapacity);
  readonly wait = new Float32Array(CardTrack.kCapacity);
  readonly operator = new Uint16Array(CardTrack.kCapacity);
  readonly layer = new Uint16Array(CardTrack.kCapacity);
  readonly step = new Uint32Array(CardTrack.kCapacity);
  count = 0; // of all that were ever added

  get oldest(): number {
    return Math.max(0, this.count - CardTrack.kCapacity);
  }

  /// Where the n-th span lies in the arrays.
  slot(n: number): number {
    return n & (CardTrack.kCapacity - 1);
  }

  add(
    begin: number,
    duration: number,
    wait: number,
    operator: number,
    layer: number,
    step: number,
  ): void {
    const at = this.slot(this.count++);
    this.begin[at] = begin;
    this.duration[at] = duration;
    this.wait[at] = Math.min(wait, duration);
    this.operator[at] = operator;
    this.layer[at] = layer;
    this.step[at] = step;
  }

  /// The first span that ends after `time`; `count` if none does.
  firstAfter(time: number): number {
    let low = this.oldest;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.slot(middle);
      if (this.begin[at]! + this.duration[at]! <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/// Names to small numbers; what comes after `most` different ones is "other".
class Names {
  readonly names: string[] = [];
  private readonly ids = new Map<string, number>();
  constructor(private readonly most: number) {}

  id(name: string): number {
    const known = this.ids.get(name);
    if (known !== undefined) return known;
    if (this.names.length === this.most) return this.most - 1;
    const shown = this.names.length === this.most - 1 ? 'other' : name;
    this.ids.set(shown, this.names.length);
    this.names.push(shown);
    return this.names.length - 1;
  }
}

const kMaxSteps = 8192;

/// The last seconds of all cards.
export class Timeline {
  tracks: CardTrack[] = [];
  steps: Step[] = [];
  operators = new Names(256);
  kinds: number[] = []; // by operator id
  layers = new Names(4096);
  latest = 0; // the end of the last step

  reset(cards: number): void {
    this.tracks = Array.from({ length: Math.min(64, Math.max(1, cards)) }, () => new CardTrack());
    this.steps = [];
    this.operators = new Names(256);
    this.kinds = [];
    this.layers = new Names(4096);
    this.latest = 0;
  }

  add(event: StepEvent): void {
    // The server's clock went back: it is another server now.
    if (event.end_us < this.latest - 1e6) this.reset(this.tracks.length);
    const { ops, layers, spans, ...step } = event;
    this.steps.push(step);
    if (this.steps.length > kMaxSteps) this.steps.splice(0, kMaxSteps / 4);
    this.latest = Math.max(this.latest, event.end_us);
    const operators = ops.map((name) => this.operators.id(name));
    for (let id = this.kinds.length; id < this.operators.names.length; ++id) {
      this.kinds.push(kindNames.indexOf(kindOf(this.operators.names[id]!)));
    }
    const layerIds = layers.map((name) => this.layers.id(name));
    // The tracks are searched by time, in whatever order the ranks' spans were gathered.
    spans.sort((a, b) => a[3] - b[3]);
    for (const [rank, operator, layer, begin, duration, wait] of spans) {
      this.tracks[rank]?.add(
        event.begin_us + begin,
        duration,
        wait,
        operators[operator] ?? 0,
        layerIds[layer] ?? 0,
        step.step,
      );
    }
  }

  span(track: CardTrack, n: number): Span {
    const at = track.slot(n);
    const operator = track.operator[at]!;
    return {
      operator: this.operators.names[operator] ?? 'other',
      layer: this.layers.names[track.layer[at]!] ?? '',
      kind: this.kinds[operator] ?? kindNames.length - 1,
      step: track.step[at]!,
      begin: track.begin[at]!,
      duration: track.duration[at]!,
      wait: track.wait[at]!,
    };
  }

  /// The span of card `rank` at `time`, or the nearest within `slack`.
  find(rank: number, time: number, slack: number): Span | null {
    const track = this.tracks[rank];
    if (!track) return null;
    let best: number | null = null;
    let bestGap = slack;
    const from = Math.max(track.oldest, track.firstAfter(time) - 1);
    for (let n = from; n < Math.min(track.count, from + 3); ++n) {
      const at = track.slot(n);
      const begin = track.begin[at]!;
      const gap = Math.max(0, begin - time, time - begin - track.duration[at]!);
      if (gap <= bestGap) {
        if (gap === bestGap && best !== null) continue;
        best = n;
        bestGap = gap;
      }
    }
    return best === null ? null : this.span(track, best);
  }
}

/// One row of the table that says the picture in words.
export interface OperatorTime {
  operator: string;
  kind: number;
  calls: number;
  time: number; // microseconds
  wait: number;
}

export interface CardSummary {
  operators: OperatorTime[]; // the most time first
  busy: number; // share of the window, waiting not counted
  wait: number;
}

/// What all cards did between two times. A server with many steps a second shows only some of them,
/// whose numbers tell of the others.
export interface Activity {
  steps: number; // 0: nothing at all
  stepsPerSecond: number;
  stepUs: number;
  rows: number; // a step
  ofShown: number; // steps for each that is shown, 1 or more
}

export function activityOf(timeline: Timeline, from: number, to: number): Activity {
  const steps = timeline.steps.filter((step) => step.end_us > from && step.begin_us < to);
  const [first, last] = [steps[0], steps.at(-1)];
  if (!first || !last) return { steps: 0, stepsPerSecond: 0, stepUs: 0, rows: 0, ofShown: 1 };
  const happened = Math.max(steps.length, last.step - first.step + 1);
  const time = steps.reduce((sum, step) => sum + (step.end_us - step.begin_us), 0);
  const rows = steps.reduce((sum, step) => sum + step.rows, 0);
  return {
    steps: steps.length,
    stepsPerSecond: happened / (Math.max(1, last.end_us - first.begin_us) / 1e6),
    stepUs: time / steps.length,
    rows: rows / steps.length,
    ofShown: happened / steps.length,
  };
}

/// What card `rank` did between two times.
export function summarize(timeline: Timeline, rank: number, from: number, to: number): CardSummary {
  const track = timeline.tracks[rank];
  const byOperator = new Map<number, OperatorTime>();
  let time = 0;
  let wait = 0;
  if (track) {
    for (let n = track.firstAfter(from); n < track.count; ++n) {
      const at = track.slot(n);
      if (track.begin[at]! >= to) break;
      const id = track.operator[at]!;
      let row = byOperator.get(id);
      if (!row) {
        const operator = timeline.operators.names[id] ?? 'other';
        row = { operator, kind: timeline.kinds[id] ?? 0, calls: 0, time: 0, wait: 0 };
        byOperator.set(id, row);
      }
      const begin = Math.max(from, track.begin[at]!);
      const inside = Math.max(0, Math.min(to, track.begin[at]! + track.duration[at]!) - begin);
      const waited = Math.min(inside, track.wait[at]!);
      row.calls += 1;
      row.time += inside;
      row.wait += waited;
      time += inside;
      wait += waited;
    }
  }
  const window = Math.max(1, to - from);
  return {
    operators: [...byOperator.values()].sort((a, b) => b.time - a.time),
    busy: Math.min(1, (time - wait) / window),
    wait: Math.min(1, wait / window),
  };
}
