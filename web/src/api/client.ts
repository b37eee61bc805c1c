import { readKey } from './key.ts';
import type { ServerError } from './types.ts';

/// Why a request did not succeed, in a form that can be stored with the message it belongs to.
export interface Failure {
  /// network: no answer at all; http: an error status; stream: an error after the 200;
  /// cut: the stream ended before the answer did; page: the page itself could not go on.
  kind: 'network' | 'http' | 'stream' | 'cut' | 'page';
  message: string; // the server's own words where there are any
  status?: number;
  type?: string;
  code?: string;
  param?: string;
  requestId?: string;
  retryAfterMs?: number;
}

export class ApiError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

/// fetch() of a path relative to the page, with the API key. Throws ApiError unless the status is
/// 2xx, and the AbortError of `signal` as it is.
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = readKey();
  if (key !== '') headers.set('authorization', `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, {
      ...init,
      headers,
      cache: 'no-store',
      credentials: 'same-origin',
    });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError({ kind: 'network', message: String((error as Error).message ?? error) });
  }
  if (response.ok) return response;
  throw new ApiError(await failureOf(response));
}

export async function getJson<T>(path: string, init: RequestInit = {}): Promise<T> {
  return (await (await request(path, init)).json()) as T;
}

export function postJson(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return request(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}

async function failureOf(response: Response): Promise<Failure> {
  const failure: Failure = { kind: 'http', message: response.statusText, status: response.status };
  const requestId = response.headers.get('x-request-id');
  if (requestId) failure.requestId = requestId;
  const retryAfterMs = retryAfter(response.headers);
  if (retryAfterMs !== null) failure.retryAfterMs = retryAfterMs;
  const text = await response.text().catch(() => '');
  let error: ServerError | string | undefined;
  try {
    error = (JSON.parse(text) as { error?: ServerError | string } | null)?.error;
  } catch {
    // A proxy's page rather than ours.
  }
  if (error) addServerError(failure, error);
  else if (text !== '') failure.message = text.slice(0, 500);
  return failure;
}

/// Other servers and proxies say no more than a text.
export function addServerError(failure: Failure, error: ServerError | string): void {
  if (typeof error === 'string') {
    failure.message = error;
    return;
  }
  failure.message = String(error.message ?? '');
  if (error.type) failure.type = error.type;
  if (error.code !== null && error.code !== undefined) failure.code = String(error.code);
  if (error.param) failure.param = error.param;
}

function retryAfter(headers: Headers): number | null {
  const milliseconds = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (Number.isFinite(milliseconds)) return milliseconds;
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}
