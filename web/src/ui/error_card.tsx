import { useEffect, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import type { Failure } from '../api/client.ts';
import { continueAnswer, retry, runIn, runs } from '../chat/session.ts';
import { conversationOf } from '../chat/library.ts';
import { useT } from '../i18n/i18n.ts';
import { copyText } from './clipboard.ts';
import { headingOf } from './error_heading.ts';
import { Icon, IconButton } from './icons.tsx';
import { changeUi, toast } from './state.ts';

/// What went wrong in a person's words, the server's own text, and the ways on.
export function ErrorCard(props: { conversationId: string; messageId: string; failure: Failure }) {
  const t = useT();
  const { conversationId, messageId, failure } = props;
  const busy = useStore(runs, (now) => runIn(now, conversationId) !== null);
  const wait = useCountdown(failure.retryAfterMs);
  const hasText = (conversationOf(conversationId)?.messages[messageId]?.text ?? '') !== '';
  // What a browser says of a lost network ("Failed to fetch") helps nobody.
  const text = failure.kind === 'network' ? t('errorNetworkText') : failure.message;
  const facts = [
    failure.status === undefined ? '' : `HTTP ${failure.status}`,
    failure.type ?? '',
    failure.code && failure.code !== failure.type ? failure.code : '',
    failure.param ?? '',
  ].filter((fact) => fact !== '');
  return (
    <section class="error-card" role="alert">
      <h3>
        <Icon name="warn" />
        {t(headingOf(failure))}
      </h3>
      {text !== '' && <p class="error-text">{text}</p>}
      {facts.length > 0 && <p class="error-facts">{facts.join(' · ')}</p>}
      {failure.requestId && (
        <p class="error-facts">
          {t('requestId')} <code>{failure.requestId}</code>
          <IconButton
            icon="copy"
            size={14}
            label={t('copyRequestId')}
            onClick={() => {
              void copyText(failure.requestId ?? '');
              toast(t('copied'));
            }}
          />
        </p>
      )}
      <div class="error-actions">
        {(failure.status === 401 || failure.status === 403) && (
          <button type="button" class="button" onClick={() => changeUi({ dialog: 'key' })}>
            <Icon name="key" size={16} />
            {t('enterKey')}
          </button>
        )}
        {hasText && (
          <button
            type="button"
            class="button"
            disabled={busy}
            onClick={() => continueAnswer(conversationId, messageId)}
          >
            <Icon name="forward" size={16} />
            {t('continue')}
          </button>
        )}
        <button
          type="button"
          class="button primary"
          disabled={busy}
          onClick={() => retry(conversationId, messageId)}
        >
          <Icon name="refresh" size={16} />
          {wait > 0 ? t('retryIn', { n: wait }) : t('retry')}
        </button>
      </div>
    </section>
  );
}

/// Whole seconds left of the time after which the server wants to be asked again.
function useCountdown(milliseconds: number | undefined): number {
  const [left, setLeft] = useState(Math.min(120, Math.ceil((milliseconds ?? 0) / 1000)));
  useEffect(() => {
    if (left <= 0) return undefined;
    const timer = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(timer);
  }, [left]);
  return left;
}
