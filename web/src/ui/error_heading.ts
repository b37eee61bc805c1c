import type { Failure } from '../api/client.ts';
import type { Key } from '../i18n/i18n.ts';

/// What went wrong, in the words of a person who does not know HTTP.
export function headingOf(failure: Failure): Key {
  if (failure.kind === 'network') return 'errorNetwork';
  if (failure.kind === 'cut') return 'errorCut';
  if (failure.kind === 'page') return 'errorPage';
  if (failure.code === 'context_length_exceeded') return 'errorContext';
  if (failure.code === 'unsupported_image' || failure.code === 'invalid_image_url')
    return 'errorPicture';
  switch (failure.status) {
    case 401:
    case 403:
      return 'errorKey';
    case 413:
      return 'errorTooLarge';
    case 415:
      return 'errorPicture';
    case 429:
      return 'errorFull';
    case 503:
      return 'errorNotReady';
    case 504:
      return 'errorLate';
    default:
      return failure.status !== undefined && failure.status < 500 ? 'errorRefused' : 'errorServer';
  }
}
