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
}

export const server = createStore<ServerStatus>({ reach: 'connecting', model: null, props: null });

const kCalmMs = 10_000; // between two looks while all is well
const kFirstRetryMs = 1_000;
const kLastRetryMs = 8_000;

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
  timer = setTimeout(() => void look(), calm ? kCalmMs : retryMs);
}

async function ask(): Promise<Reach> {
  const reach = await readiness();
  const now = server.get();
  if (reach === 'ready' && (now.props === null || now.reach !== 'ready')) {
    try {
      const [props, models] = await Promise.all([
        getJson<Props>('props'),
        getJson<{ data: ModelInfo[] }>('v1/models'),
      ]);
      server.set({ reach, props, model: models.data[0] ?? null });
      return reach;
    } catch (error) {
      const status = error instanceof ApiError ? error.failure.status : undefined;
      const failed: Reach = status === 401 || status === 403 ? 'key' : 'lost';
      server.set({ ...now, reach: failed });
      return failed;
    }
  }
  if (reach !== now.reach) server.set({ ...now, reach });
  return reach;
}

async function readiness(): Promise<Reach> {
  try {
    await getJson('health/ready');
    return 'ready';
  } catch (error) {
    if (!(error instanceof ApiError)) return 'lost';
    const { status, message } = error.failure;
    if (status === 401 || status === 403) return 'key';
    if (status === 503) return /draining/.test(message) ? 'draining' : 'loading';
    return 'lost';
  }
}

/// Context length, tokens a picture, limits: from the models' list or the properties.
export function contextTokens(status: ServerStatus): number | null {
  return status.props?.context_tokens ?? status.model?.context_length ?? null;
}

export function imageTokens(status: ServerStatus): number | null {
  return status.props?.image_tokens ?? status.model?.image_tokens ?? null;
}
