import { memo } from 'preact/compat';
import { useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { changeConversation } from '../chat/library.ts';
import { answer, ask, continueAnswer, runs, type Run } from '../chat/session.ts';
import { withChosen, type Message } from '../chat/tree.ts';
import { Markdown } from '../markdown/markdown.tsx';
import { decimal, duration, useT } from '../i18n/i18n.ts';
import { copyText } from './clipboard.ts';
import { picturesAbove, picturesIn, takePictures } from './drafts.ts';
import { ErrorCard } from './error_card.tsx';
import { Icon, IconButton, Logo } from './icons.tsx';
import { isSendKey } from './keys.ts';
import { StatsLine } from './stats.tsx';
import { Thumbnails } from './thumbnails.tsx';

export interface MessageProps {
  conversationId: string;
  message: Message;
  siblings: string[]; // ids, this one among them
  last: boolean;
}

export const MessageView = memo(
  function MessageView(props: MessageProps) {
    return props.message.role === 'user' ? <Question {...props} /> : <Answer {...props} />;
  },
  (before, after) =>
    before.message === after.message &&
    before.last === after.last &&
    before.siblings.join() === after.siblings.join(),
);

function Question({ conversationId, message, siblings, last }: MessageProps) {
  const t = useT();
  const [editing, setEditing] = useState(false);
  const busy = useStore(runs, (now) => conversationId in now);
  if (editing)
    return (
      <Editor conversationId={conversationId} message={message} onDone={() => setEditing(false)} />
    );
  return (
    <article class="message question" aria-label={t('you')}>
      <Thumbnails pictures={message.pictures} large />
      {message.text !== '' && <div class="bubble">{message.text}</div>}
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

function Editor(props: { conversationId: string; message: Message; onDone: () => void }) {
  const t = useT();
  const { message } = props;
  const [text, setText] = useState(message.text);
  const [pictures, setPictures] = useState(message.pictures);
  const send = () => {
    if (text.trim() === '' && pictures.length === 0) return;
    props.onDone();
    ask(props.conversationId, text.trim(), pictures, message.parent);
  };
  return (
    <article class="message question editing" aria-label={t('edit')}>
      <Thumbnails
        pictures={pictures}
        onRemove={(id) => setPictures((now) => now.filter((one) => one.id !== id))}
      />
      <textarea
        aria-label={t('edit')}
        value={text}
        rows={Math.min(12, text.split('\n').length + 1)}
        ref={(area) => area?.focus()}
        onInput={(event) => setText(event.currentTarget.value)}
        onPaste={(event) => {
          const files = picturesIn(event.clipboardData);
          if (files.length === 0) return;
          event.preventDefault();
          const already = pictures.length + picturesAbove(props.conversationId, message.parent);
          void takePictures(files, already).then((taken) =>
            setPictures((now) => [...now, ...taken]),
          );
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape') {
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
        <button type="button" class="button primary" onClick={send}>
          {t('send')}
        </button>
      </div>
    </article>
  );
}

function Answer({ conversationId, message, siblings, last }: MessageProps) {
  const t = useT();
  const run = useStore(runs, (now) => {
    const found = now[conversationId];
    return found?.messageId === message.id ? found : null;
  });
  const busy = useStore(runs, (now) => conversationId in now);
  const cutOff =
    run === null && !message.failure && message.text !== '' && message.finish !== 'stop';
  const vanished =
    run === null && !message.failure && message.text === '' && message.finish === undefined;
  return (
    <article class="message answer" aria-label={t('model')} aria-busy={run !== null}>
      <div class="answer-mark">
        <Logo size={24} />
      </div>
      <div class="answer-body">
        {message.text === '' && run && <Waiting run={run} />}
        <div class={message.json ? 'json-answer' : undefined}>
          <Markdown text={message.json ? asCode(message.text) : message.text} live={run !== null} />
        </div>
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

/// JSON as markdown: its letters mean nothing there, and spaces before it would.
function asCode(text: string): string {
  return text.trim() === '' ? '' : `~~~~~~json\n${text.trim()}\n~~~~~~`;
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
  const busy = useStore(runs, (now) => conversationId in now);
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
