import { createStore } from '../base/store.ts';
import { ApiError, getJson } from './client.ts';
import { keyStore } from './key.ts';
import type { ModelInfo, Props } from './types.ts';

/// connecting: not asked yet; key: the server wants an API key; lost: no answer; failed: its cards
/// are gone, and it says so.
export type Reach = 'connecting' | 'ready' | 'loading' | 'draining' | 'failed' | 'lost' | 'key';

export interface ServerStatus {
  reach: Reach;
  model: ModelInfo | null;
  props: Props | null;
  loaded: number | null; // the part of the model that is there while it loads, 0 to 1
}

export const server = createStore<ServerStatus>({
  reach: 'connecting',
  model: null,
  props: null,
  loaded: null,
});

const kCalmMs = 10_000; // between two looks while all is well
const kFirstRetryMs = 1_000;
const kLastRetryMs = 8_000;
const kLoadingMs = 1_000; // the bar should move
const kPatienceMs = 15_000; // then a server that does not answer counts as lost

let timer: ReturnType<typeof setTimeout> | undefined;
let retryMs = kFirstRetryMs;
let looking = false;
let again = false; // somebody wanted a look while one was under way
let keys = 0; // that there were: what is answered to an old one says nothing

/// Looks at once and from then on regularly; also when the tab comes back and when the key changes.
export function watchServer(): void {
  void look();
  addEventListener('online', () => void look());
  addEventListener('offline', () => void look());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void look();
  });
}

keyStore.subscribe(() => {
  ++keys;
  server.set((now) => ({ ...now, reach: 'connecting', props: null }));
  void look();
});

export async function look(): Promise<void> {
  again = looking;
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  let reach = await ask();
  while (again) {
    again = false;
    reach = await ask();
  }
  looking = false;
  const calm = reach === 'ready' || reach === 'key';
  retryMs = calm ? kFirstRetryMs : Math.min(retryMs * 1.6, kLastRetryMs);
  const wait = calm ? kCalmMs : reach === 'loading' ? kLoadingMs : retryMs;
  timer = setTimeout(() => void look(), wait);
}

async function ask(): Promise<Reach> {
  const key = keys;
  const found = await state();
  if (key === keys) server.set((now) => (isSame(now, found) ? now : { ...now, ...found }));
  return found.reach;
}

function isSame(now: ServerStatus, found: Partial<ServerStatus>): boolean {
  return Object.entries(found).every(([name, value]) => now[name as keyof ServerStatus] === value);
}

/// What is known anew: the reach, and the server's properties once it is ready.
async function state(): Promise<Partial<ServerStatus> & { reach: Reach }> {
  const found = await readiness();
  const before = server.get();
  if (found.reach !== 'ready' || (before.reach === 'ready' && before.props !== null)) return found;
  try {
    const [props, models] = await Promise.all([
      get<Props>('props'),
      get<{ data: ModelInfo[] }>('v1/models'),
    ]);
    return { ...found, props, model: models.data[0] ?? null };
  } catch (error) {
    return { ...found, reach: wantsKey(error) ? 'key' : 'lost' };
  }
}

async function readiness(): Promise<{ reach: Reach; loaded: number | null }> {
  const is = (reach: Reach, loaded: number | null = null) => ({ reach, loaded });
  try {
    await get('health/ready');
    return is('ready');
  } catch (error) {
    if (wantsKey(error)) return is('key');
    if (!(error instanceof ApiError) || error.failure.status !== 503) return is('lost');
    const { message } = error.failure;
    const said = /"status":\s*"(\w+)"/.exec(message)?.[1];
    if (said === 'draining' || said === 'failed') return is(said);
    const share = Number(/"loaded":\s*(\d+(?:\.\d+)?)/.exec(message)?.[1]);
    return is('loading', Number.isNaN(share) ? null : Math.min(1, share));
  }
}

function get<T>(path: string): Promise<T> {
  return getJson<T>(path, { signal: AbortSignal.timeout(kPatienceMs) });
}

function wantsKey(error: unknown): boolean {
  const status = error instanceof ApiError ? error.failure.status : undefined;
  return status === 401 || status === 403;
}

/// Context length, tokens a picture, limits: from the models' list or the properties.
export function contextTokens(status: ServerStatus): number | null {
  return status.props?.context_tokens ?? status.model?.context_length ?? null;
}

export function imageTokens(status: ServerStatus): number | null {
  return status.props?.image_tokens ?? status.model?.image_tokens ?? null;
}
