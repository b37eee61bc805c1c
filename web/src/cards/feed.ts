import { createStore } from '../base/store.ts';
import { ApiError, isAbort, request } from '../api/client.ts';
import { readEvents } from '../api/sse.ts';
import { Timeline, type CardsEvent, type StepEvent } from './timeline.ts';

export type FeedState = 'connecting' | 'live' | 'lost' | 'key' | 'none';

/// The stream v1/cards/events into a timeline; it connects again by itself until closed. fetch()
/// and not EventSource, which cannot send the API key.
export class CardFeed {
  readonly timeline = new Timeline();
  readonly state = createStore<FeedState>('connecting');
  readonly cards = createStore<CardsEvent | null>(null);
  paused = false; // steps that come while paused are dropped
  private readonly abort = new AbortController();
  private offset: number | null = null; // the page's clock less the server's, in microseconds

  open(): void {
    void this.connect(1000);
  }

  close(): void {
    this.abort.abort();
  }

  /// The server's time now, as near as the stream tells; behind by `lag`, so that a step that has
  /// just ended is complete when it comes into view.
  now(lag = 200_000): number {
    return this.offset === null
      ? this.timeline.latest
      : performance.now() * 1000 - this.offset - lag;
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
