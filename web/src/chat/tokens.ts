import type { TokenLogprob } from '../api/types.ts';

/// A token of an answer, or several that are one letter only together, with the logarithm of its
/// probability and those of the likeliest tokens at its place.
export interface TokenChance {
  text: string;
  logprob: number;
  top: [text: string, logprob: number][];
}

/// Gathers the tokens of a stream. A token can be a part of a letter's bytes; such ones are kept until
/// the letter is whole, and count as one whose probability is the product.
export class TokenCollector {
  readonly tokens: TokenChance[] = [];
  private held: Uint8Array = new Uint8Array();
  private heldLogprob = 0;

  add(pieces: readonly TokenLogprob[]): void {
    for (const piece of pieces) {
      const bytes = bytesOf(piece);
      const whole = new Uint8Array(this.held.length + bytes.length);
      whole.set(this.held);
      whole.set(bytes, this.held.length);
      const logprob = this.heldLogprob + piece.logprob;
      if (endsInsideLetter(whole)) {
        this.held = whole;
        this.heldLogprob = logprob;
        continue;
      }
      // Alternatives to the last part of a letter say nothing to a reader.
      const top = this.held.length > 0 ? [] : (piece.top_logprobs ?? []);
      this.held = new Uint8Array();
      this.heldLogprob = 0;
      this.tokens.push({
        text: textOf(whole),
        logprob: rounded(logprob),
        top: top.map((one) => [textOf(bytesOf(one)), rounded(one.logprob)]),
      });
    }
  }
}

function bytesOf(piece: TokenLogprob): Uint8Array {
  return piece.bytes ? Uint8Array.from(piece.bytes) : new TextEncoder().encode(piece.token);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/// Whether the last letter of UTF-8 lacks bytes.
function endsInsideLetter(bytes: Uint8Array): boolean {
  for (let back = 1; back <= Math.min(3, bytes.length); ++back) {
    const byte = bytes[bytes.length - back]!;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2);
    if (byte < 0x80) return false;
  }
  return false;
}

function rounded(logprob: number): number {
  return Math.round(logprob * 1e4) / 1e4;
}

/// Tokens out of anything, for files that come from anybody: none unless all are sound.
export function acceptTokens(found: unknown): TokenChance[] {
  if (!Array.isArray(found)) return [];
  const isPair = (one: unknown): one is [string, number] =>
    Array.isArray(one) && typeof one[0] === 'string' && isLogprob(one[1]);
  const tokens: TokenChance[] = [];
  for (const one of found as Partial<TokenChance>[]) {
    if (typeof one?.text !== 'string' || !isLogprob(one.logprob)) return [];
    if (!Array.isArray(one.top) || !one.top.every(isPair)) return [];
    const top = one.top.slice(0, 20).map(([text, logprob]): [string, number] => [text, logprob]);
    tokens.push({ text: one.text, logprob: one.logprob, top });
  }
  return tokens;
}

function isLogprob(found: unknown): found is number {
  return typeof found === 'number' && Number.isFinite(found) && found <= 0.001;
}

/// How sure the model was, from 0 (sure) to 5 (a guess): what the map colours by.
export function doubtOf(logprob: number): number {
  const probability = Math.exp(logprob);
  const bounds = [0.95, 0.8, 0.6, 0.4, 0.2];
  const at = bounds.findIndex((bound) => probability >= bound);
  return at < 0 ? 5 : at;
}

/// The geometric mean of the tokens' probabilities; null without tokens.
export function meanProbability(tokens: readonly TokenChance[]): number | null {
  if (tokens.length === 0) return null;
  return Math.exp(tokens.reduce((sum, token) => sum + token.logprob, 0) / tokens.length);
}
