import { createStore } from '../base/store.ts';
import { ApiError, isAbort, request } from '../api/client.ts';
import { readEvents } from '../api/sse.ts';
import { Timeline, type CardsEvent, type StepEvent } from './timeline.ts';

const kLagUs = 200_000;
const kIdleUs = 1_500_000;
const kKeepMs = 120_000;

export type FeedState = 'connecting' | 'live' | 'lost' | 'key' | 'none';

/// The stream v1/cards/events into a timeline; it connects again by itself until closed. fetch()
/// and not EventSource, which cannot send the API key.
export class CardFeed {
  readonly timeline = new Timeline();
  readonly state = createStore<FeedState>('connecting');
  readonly cards = createStore<CardsEvent | null>(null);
  paused = false; // steps that come while paused are dropped
  length: number | null = null; // of the window that was looked at last, in microseconds
  private readonly abort = new AbortController();
  private offset: number | null = null; // the page's clock less the server's, in microseconds

  open(): void {
    void this.connect(1000);
  }

  close(): void {
    this.abort.abort();
  }

  /// Where a live window of `length` ends: the server's time, as near as the stream tells, behind
  /// enough for a step that has just ended to be complete; but soon after the last step, so that
  /// there is always something to look at.
  now(length: number): number {
    if (this.offset === null) return this.timeline.latest;
    const end = performance.now() * 1000 - this.offset - kLagUs;
    const last = this.timeline.steps.findLast((step) => step.end_us <= end);
    return last ? Math.min(end, last.end_us + length * 0.04) : end;
  }

  /// Whether the last step is long past.
  isIdle(): boolean {
    return (
      this.offset === null ||
      performance.now() * 1000 - this.offset - this.timeline.latest > kIdleUs
    );
  }

  private async connect(waitMs: number): Promise<void> {
    let nextWait = Math.min(waitMs * 1.6, 10_000);
    try {
      const response = await request('v1/cards/events', { signal: this.abort.signal });
      if (!response.headers.get('content-type')?.startsWith('text/event-stream'))
        throw new NotOffered();
      if (response.body) {
        for await (const { event, data } of readEvents(response.body)) {
          if (this.abort.signal.aborted) return;
          nextWait = 1000;
          this.take(event, data);
        }
      }
      this.state.set('lost');
    } catch (error) {
      if (isAbort(error) || this.abort.signal.aborted) return;
      const status = error instanceof ApiError ? error.failure.status : undefined;
      if (status === 401 || status === 403) this.state.set('key');
      else if (status === 404 || status === 501 || error instanceof NotOffered)
        return this.state.set('none');
      else this.state.set('lost');
    }
    setTimeout(() => {
      if (!this.abort.signal.aborted) void this.connect(nextWait);
    }, waitMs);
  }

  private take(event: string, data: string): void {
    if (event === 'cards') {
      const cards = JSON.parse(data) as CardsEvent;
      this.timeline.reset(cards.tp);
      this.offset = null;
      this.cards.set(cards);
      this.state.set('live');
    } else if (event === 'step') {
      const step = JSON.parse(data) as StepEvent;
      this.keepTime(step.end_us);
      if (!this.paused) this.timeline.add(step);
    }
  }

  /// The least delay seen is the truest; it is forgotten slowly, because clocks drift.
  private keepTime(endUs: number): void {
    const seen = performance.now() * 1000 - endUs;
    if (this.offset === null || seen < this.offset || seen - this.offset > 5e6) this.offset = seen;
    else this.offset += (seen - this.offset) * 0.005;
  }
}

class NotOffered extends Error {}

let kept: { key: string; feed: CardFeed } | null = null;
let leaving: ReturnType<typeof setTimeout> | undefined;

/// The feed of who looks at the cards now with the API key `key`. It goes on for a while after
/// leaveFeed(), so that whoever asks something in the chat and comes back finds what the cards did.
export function feedFor(key: string): CardFeed {
  clearTimeout(leaving);
  if (kept?.key === key) return kept.feed;
  kept?.feed.close();
  kept = { key, feed: new CardFeed() };
  kept.feed.open();
  return kept.feed;
}

export function leaveFeed(feed: CardFeed): void {
  feed.paused = false;
  if (kept?.feed !== feed) return feed.close();
  leaving = setTimeout(() => {
    feed.close();
    if (kept?.feed === feed) kept = null;
  }, kKeepMs);
}
