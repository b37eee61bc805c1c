import { createStore } from '../base/store.ts';
import { ApiError, getJson } from './client.ts';
import { keyStore } from './key.ts';
import type { ModelInfo, Props } from './types.ts';

/// connecting: not asked yet; key: the server wants an API key; lost: no answer.
export type Reach = 'connecting' | 'ready' | 'loading' | 'draining' | 'lost' | 'key';

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

let timer: ReturnType<typeof setTimeout> | undefined;
let retryMs = kFirstRetryMs;
let looking = false;

/// Looks at once and from then on regularly; also when the tab comes back and when the key changes.
export function watchServer(): void {
  void look();
  addEventListener('online', () => void look());
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') void look();
  });
  keyStore.subscribe(() => {
    server.set((now) => ({ ...now, reach: 'connecting', props: null }));
    void look();
  });
}

export async function look(): Promise<void> {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  const reach = await ask();
  looking = false;
  const calm = reach === 'ready' || reach === 'key';
  retryMs = calm ? kFirstRetryMs : Math.min(retryMs * 1.6, kLastRetryMs);
  const wait = calm ? kCalmMs : reach === 'loading' ? kLoadingMs : retryMs;
  timer = setTimeout(() => void look(), wait);
}

async function ask(): Promise<Reach> {
  const { reach, loaded } = await readiness();
  const now = server.get();
  if (reach === 'ready' && (now.props === null || now.reach !== 'ready')) {
    try {
      const [props, models] = await Promise.all([
        getJson<Props>('props'),
        getJson<{ data: ModelInfo[] }>('v1/models'),
      ]);
      server.set({ reach, props, model: models.data[0] ?? null, loaded: null });
      return reach;
    } catch (error) {
      const status = error instanceof ApiError ? error.failure.status : undefined;
      const failed: Reach = status === 401 || status === 403 ? 'key' : 'lost';
      server.set({ ...now, reach: failed });
      return failed;
    }
  }
  if (reach !== now.reach || loaded !== now.loaded) server.set({ ...now, reach, loaded });
  return reach;
}

async function readiness(): Promise<{ reach: Reach; loaded: number | null }> {
  const is = (reach: Reach, loaded: number | null = null) => ({ reach, loaded });
  try {
    await getJson('health/ready');
    return is('ready');
  } catch (error) {
    if (!(error instanceof ApiError)) return is('lost');
    const { status, message } = error.failure;
    if (status === 401 || status === 403) return is('key');
    if (status !== 503) return is('lost');
    if (/draining/.test(message)) return is('draining');
    const share = /"loaded":\s*([\d.]+)/.exec(message)?.[1];
    return is('loading', share === undefined ? null : Math.min(1, Number(share)));
  }
}

/// Context length, tokens a picture, limits: from the models' list or the properties.
export function contextTokens(status: ServerStatus): number | null {
  return status.props?.context_tokens ?? status.model?.context_length ?? null;
}

export function imageTokens(status: ServerStatus): number | null {
  return status.props?.image_tokens ?? status.model?.image_tokens ?? null;
}
