import { memo } from 'preact/compat';
import { useEffect, useErrorBoundary, useMemo, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { changeConversation } from '../chat/library.ts';
import { answer, ask, continueAnswer, runIn, runs, type Run } from '../chat/session.ts';
import { checkAnswer } from '../chat/schema.ts';
import { withChosen, type Message } from '../chat/tree.ts';
import { Markdown } from '../markdown/markdown.tsx';
import { decimal, duration, useT, type Key } from '../i18n/i18n.ts';
import { asCode } from '../share/markdown.ts';
import { copyText } from './clipboard.ts';
import { pastedPictures, picturesAbove, quoteInDraft, takePictures } from './drafts.ts';
import { ErrorCard } from './error_card.tsx';
import { Icon, IconButton, Logo } from './icons.tsx';
import { isComposing, isSendKey } from './keys.ts';
import { StatsLine } from './stats.tsx';
import { Thumbnails } from './thumbnails.tsx';
import { TokenMap } from './token_map.tsx';

export interface MessageProps {
  conversationId: string;
  message: Message;
  siblings: string[]; // ids, this one among them; none where its pair has them
  last: boolean;
  chosen?: boolean; // of the two answers of a comparison
}

export const MessageView = memo(
  function MessageView(props: MessageProps) {
    // What cannot be drawn is shown as it stands: one message must not take the page with it.
    const [error] = useErrorBoundary(console.error);
    if (error) return <article class="message bubble">{props.message.text}</article>;
    return props.message.role === 'user' ? <Question {...props} /> : <Answer {...props} />;
  },
  (before, after) =>
    before.message === after.message &&
    before.last === after.last &&
    before.chosen === after.chosen &&
    before.siblings.join() === after.siblings.join(),
);

function Question({ conversationId, message, siblings, last }: MessageProps) {
  const t = useT();
  const [editing, setEditing] = useState(false);
  const busy = useStore(runs, (now) => runIn(now, conversationId) !== null);
  if (editing)
    return (
      <Editor conversationId={conversationId} message={message} onDone={() => setEditing(false)} />
    );
  return (
    <article class="message question" aria-label={t('you')}>
      <Thumbnails
        pictures={message.pictures}
        large
        onQuote={(picture, quote) => quoteInDraft(conversationId, picture, quote)}
      />
      {message.text !== '' && <Bubble text={message.text} />}
      <div class="message-actions">
        <Siblings conversationId={conversationId} message={message} siblings={siblings} />
        <CopyButton text={message.text} />
        <IconButton
          icon="edit"
          size={16}
          label={t('edit')}
          disabled={busy}
          onClick={() => setEditing(true)}
        />
        {last && !busy && (
          <IconButton
            icon="refresh"
            size={16}
            label={t('regenerate')}
            onClick={() => answer(conversationId, message.id)}
          />
        )}
      </div>
    </article>
  );
}

const kLongText = 1200; // letters, or
const kManyLines = 16;

/// A question; of a long one the beginning, until somebody wants it all.
function Bubble({ text }: { text: string }) {
  const t = useT();
  const [whole, setWhole] = useState(false);
  const long = text.length > kLongText || text.split('\n', kManyLines + 1).length > kManyLines;
  if (!long) return <div class="bubble">{text}</div>;
  return (
    <div class="bubble">
      <div class={whole ? '' : 'bubble-cut'}>{text}</div>
      <button
        type="button"
        class="link-button"
        aria-expanded={whole}
        onClick={() => setWhole(!whole)}
      >
        {t(whole ? 'showLess' : 'showAll')}
      </button>
    </div>
  );
}

function Editor(props: { conversationId: string; message: Message; onDone: () => void }) {
  const t = useT();
  const { message } = props;
  const [text, setText] = useState(message.text);
  const [pictures, setPictures] = useState(message.pictures);
  const [coming, setComing] = useState(0);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  const busy = useStore(runs, (now) => runIn(now, props.conversationId) !== null);
  const canSend = !busy && coming === 0 && (text.trim() !== '' || pictures.length > 0);
  const above = picturesAbove(props.conversationId, message.parent);
  const send = () => {
    if (!canSend) return;
    props.onDone();
    ask(props.conversationId, text.trim(), pictures, message.parent);
  };
  return (
    <article class="message question editing" aria-label={t('edit')}>
      <Thumbnails
        pictures={pictures}
        coming={coming}
        numbered={above}
        onChange={setPictures}
        onQuote={(id, quote) => {
          const n = above + pictures.findIndex((one) => one.id === id) + 1;
          const text = above + pictures.length > 1 ? t('ofPicture', { n, quote }) : quote;
          setText((now) => `${now.trimEnd()} ${text} `.trimStart());
        }}
      />
      <textarea
        aria-label={t('edit')}
        dir="auto"
        value={text}
        rows={Math.min(12, text.split('\n').length + 1)}
        ref={area}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={(event) => {
          const files = pastedPictures(event.clipboardData);
          if (files.length === 0) return;
          event.preventDefault();
          setComing((now) => now + files.length);
          void takePictures(files, pictures.length + coming + above).then((taken) => {
            setPictures((now) => [...now, ...taken]);
            setComing((now) => now - files.length);
          });
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape' && !isComposing(event)) {
            event.stopPropagation();
            props.onDone();
          }
          if (!isSendKey(event)) return;
          event.preventDefault();
          send();
        }}
      />
      <div class="editor-row">
        <span class="quiet">{t('editHint')}</span>
        <button type="button" class="button" onClick={props.onDone}>
          {t('cancel')}
        </button>
        <button type="button" class="button primary" disabled={!canSend} onClick={send}>
          {t('send')}
        </button>
      </div>
    </article>
  );
}

function Answer({ conversationId, message, siblings, last, chosen }: MessageProps) {
  const t = useT();
  const [map, setMap] = useState(false);
  const run = useStore(runs, (now) => now[message.id] ?? null);
  const busy = useStore(runs, (now) => runIn(now, conversationId) !== null);
  const cutOff =
    run === null && !message.failure && message.text !== '' && message.finish !== 'stop';
  const vanished =
    run === null && !message.failure && message.text === '' && message.finish === undefined;
  return (
    <article class="message answer" aria-label={t('model')} aria-busy={run !== null}>
      {message.pair ? (
        <PairHead conversationId={conversationId} message={message} chosen={chosen ?? true} />
      ) : (
        <div class="answer-mark">
          <Logo size={24} />
        </div>
      )}
      <div class="answer-body">
        {message.text === '' && run && <Waiting run={run} />}
        {map && message.tokens ? (
          <TokenMap tokens={message.tokens} />
        ) : (
          <div class={message.json ? 'json-answer' : undefined}>
            <Markdown
              text={message.json ? asCode(message.text) : message.text}
              live={run !== null}
            />
          </div>
        )}
        {message.json && run === null && message.text !== '' && <VerdictNote message={message} />}
        {message.text !== '' && run && <Speed run={run} />}
        {message.failure && (
          <ErrorCard
            conversationId={conversationId}
            messageId={message.id}
            failure={message.failure}
          />
        )}
        {message.finish === 'length' && <p class="note">{t('finishLength')}</p>}
        {message.finish === 'stopped' && <p class="note">{t('finishStopped')}</p>}
        {(vanished || (cutOff && message.finish === undefined)) && (
          <p class="note">{t('finishCut')}</p>
        )}
        {run === null && (
          <div class="message-actions">
            <Siblings conversationId={conversationId} message={message} siblings={siblings} />
            {message.text !== '' && <CopyButton text={message.text} />}
            {message.parent !== null && (message.text !== '' || !message.failure) && (
              <IconButton
                icon="refresh"
                size={16}
                label={t('regenerate')}
                disabled={busy}
                onClick={() => message.parent !== null && answer(conversationId, message.parent)}
              />
            )}
            {(message.tokens?.length ?? 0) > 0 && (
              <IconButton
                icon="heat"
                size={16}
                label={t('probabilities')}
                pressed={map}
                onClick={() => setMap(!map)}
              />
            )}
            {last && cutOff && (
              <button
                type="button"
                class="link-button"
                disabled={busy}
                onClick={() => continueAnswer(conversationId, message.id)}
              >
                <Icon name="forward" size={16} />
                {t('continue')}
              </button>
            )}
            {message.stats && <StatsLine stats={message.stats} />}
          </div>
        )}
      </div>
    </article>
  );
}

/// Which setting of a comparison wrote this answer, and whether the chat goes on with it.
function PairHead(props: { conversationId: string; message: Message; chosen: boolean }) {
  const t = useT();
  const { conversationId, message, chosen } = props;
  const busy = useStore(runs, (now) => runIn(now, conversationId) !== null);
  const { side, sampling, system } = message.pair!;
  const parts = Object.entries(sampling).map(
    ([name, value]) => `${t(name as Key)} ${decimal(value, 3)}`,
  );
  if (system !== undefined) parts.push(t('ownSystem'));
  return (
    <header class="pair-head">
      <span
        class={`side-mark side-${side}`}
        aria-label={t('setting', { side: side.toUpperCase() })}
      >
        {side.toUpperCase()}
      </span>
      <span class="pair-setting">{parts.join(' · ') || t('serverDefaults')}</span>
      {chosen ? (
        <span class="pair-chosen" title={t('goesOn')} role="img" aria-label={t('goesOn')}>
          <Icon name="check" size={16} />
        </span>
      ) : (
        <button
          type="button"
          class="link-button"
          disabled={busy}
          onClick={() => changeConversation(conversationId, (now) => withChosen(now, message.id))}
        >
          {t('goOnWith')}
        </button>
      )}
    </header>
  );
}

/// Whether a JSON answer is what was asked for.
function VerdictNote({ message }: { message: Message }) {
  const t = useT();
  const verdict = useMemo(() => checkAnswer(message.text, message.schema), [message]);
  if (verdict.kind === 'valid') {
    return (
      <p class="verdict good">
        <Icon name="check" size={16} />
        {t(message.schema === undefined ? 'verdictJson' : 'verdictValid')}
      </p>
    );
  }
  return (
    <div class="verdict bad">
      <p>
        <Icon name="warn" size={16} />
        {verdict.kind === 'not_json' ? t('verdictNotJson') : t('verdictInvalid')}
      </p>
      {verdict.kind === 'invalid' && (
        <ul>
          {verdict.violations.map(({ path, rule }, i) => (
            <li key={i}>
              {path === '' ? t('verdictRoot') : <code>{path}</code>} <code>{rule}</code>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/// What happens before the first word: queue, pictures, prompt.
function Waiting({ run }: { run: Run }) {
  const t = useT();
  const progress = run.progress;
  if (!progress) {
    return (
      <p class="waiting">
        <span class="threads" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        {t('waiting')}
      </p>
    );
  }
  const pictures = progress.images_done < progress.images;
  const share = pictures
    ? progress.images_done / progress.images
    : progress.tokens_done / Math.max(1, progress.tokens);
  return (
    <div class="waiting">
      <span>
        {pictures
          ? t('readingPictures', { done: progress.images_done, all: progress.images })
          : t('readingPrompt', { done: progress.tokens_done, all: progress.tokens })}
      </span>
      <div
        class="progress"
        role="progressbar"
        aria-label={t('progress')}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(100 * share)}
      >
        <span style={{ width: `${100 * share}%` }} />
      </div>
    </div>
  );
}

function Speed({ run }: { run: Run }) {
  const t = useT();
  const seconds = run.firstTokenAt === null ? 0 : (performance.now() - run.firstTokenAt) / 1000;
  return (
    <p class="speed" aria-hidden="true">
      <span class="caret" />
      {run.firstTokenAt !== null &&
        t('firstTokenAfter', { time: duration(run.firstTokenAt - run.startedAt) })}
      {seconds > 0.5 &&
        ` · ${t('aboutTokensPerSecond', { n: decimal((run.pieces - 1) / seconds) })}`}
    </p>
  );
}

function CopyButton({ text }: { text: string }) {
  const t = useT();
  const [copied, setCopied] = useState(false);
  return (
    <IconButton
      icon={copied ? 'check' : 'copy'}
      size={16}
      label={t(copied ? 'copied' : 'copy')}
      onClick={() => {
        void copyText(text);
        setCopied(true);
        setTimeout(() => setCopied(false), 1500);
      }}
    />
  );
}

function Siblings({ conversationId, message, siblings }: Omit<MessageProps, 'last'>) {
  const t = useT();
  const busy = useStore(runs, (now) => runIn(now, conversationId) !== null);
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(message.id);
  const go = (to: number) =>
    changeConversation(conversationId, (now) => withChosen(now, siblings[to]!));
  return (
    <div class="siblings" role="group" aria-label={t('versions')}>
      <IconButton
        icon="left"
        size={16}
        label={t('previousVersion')}
        disabled={busy || at === 0}
        onClick={() => go(at - 1)}
      />
      <span>
        {at + 1} / {siblings.length}
      </span>
      <IconButton
        icon="right"
        size={16}
        label={t('nextVersion')}
        disabled={busy || at === siblings.length - 1}
        onClick={() => go(at + 1)}
      />
    </div>
  );
}
