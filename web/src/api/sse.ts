import { isAbort } from './client.ts';

/// One event of a text/event-stream.
export interface SseEvent {
  event: string; // "message" unless the stream names it
  data: string;
}

/// Cuts a text/event-stream into events, whatever the borders of the pieces it is fed with.
/// Source: WHATWG HTML, section 9.2.6 (ids and retry times are left out: nobody here uses them).
export class SseParser {
  private rest = '';
  private event = '';
  private data: string[] = [];
  private started = false;

  push(piece: string): SseEvent[] {
    let text = this.rest + piece;
    if (!this.started && text.length > 0) {
      this.started = true;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    const events: SseEvent[] = [];
    let begin = 0;
    for (;;) {
      const end = lineEnd(text, begin);
      if (end === null) break;
      this.line(text.slice(begin, end.at), events);
      begin = end.next;
    }
    this.rest = text.slice(begin);
    return events;
  }

  private line(line: string, events: SseEvent[]): void {
    if (line === '') {
      if (this.data.length > 0)
        events.push({ event: this.event || 'message', data: this.data.join('\n') });
      this.event = '';
      this.data = [];
      return;
    }
    if (line.startsWith(':')) return; // a comment: the server's ping
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this.data.push(value);
    if (field === 'event') this.event = value;
  }
}

/// The next line end at or after `from`; null if the line is not complete. A carriage return at the
/// very end may be half of a pair, so it waits for the next piece.
function lineEnd(text: string, from: number): { at: number; next: number } | null {
  for (let i = from; i < text.length; ++i) {
    const code = text.charCodeAt(i);
    if (code === 10) return { at: i, next: i + 1 };
    if (code === 13) {
      if (i + 1 === text.length) return null;
      return { at: i, next: text.charCodeAt(i + 1) === 10 ? i + 2 : i + 1 };
    }
  }
  return null;
}

/// A stream that broke off: the server died, or the network did.
export class BrokenStream extends Error {}

/// The events of a response body, until it ends; an unfinished last event is dropped. Throws
/// BrokenStream, and the AbortError of the request as it is.
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<SseEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw isAbort(error) ? error : new BrokenStream(String(error));
      });
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    // The consumer may have left early: tell the server that nobody listens.
    void reader.cancel().catch(() => undefined);
  }
}
