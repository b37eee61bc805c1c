import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { postJson } from '../api/client.ts';
import { contextTokens, imageTokens, server } from '../api/status.ts';
import { library } from '../chat/library.ts';
import { ask, runIn, runs, stop, usedTokens } from '../chat/session.ts';
import { settings } from '../chat/settings.ts';
import { useT } from '../i18n/i18n.ts';
import { isSendKey } from './keys.ts';
import {
  addFiles,
  changeDraft,
  clearDraft,
  draftOf,
  drafts,
  pastedPictures,
  picturesAbove,
  quoteInDraft,
} from './drafts.ts';
import { Icon, IconButton, type IconName } from './icons.tsx';
import { changeUi, narrow, toast } from './state.ts';
import { Thumbnails } from './thumbnails.tsx';

export function Composer() {
  const t = useT();
  const id = useStore(library, (now) => now.openId);
  const draft = useStore(drafts, (all) => draftOf(all, id));
  const ready = useStore(library, (now) => now.ready);
  const running = useStore(runs, (now) => runIn(now, id) !== null);
  const area = useRef<HTMLTextAreaElement>(null);
  const isEmpty = draft.text.trim() === '' && draft.pictures.length === 0;
  const canSend = ready && !running && !isEmpty && draft.coming === 0;

  useLayoutEffect(() => {
    if (!area.current) return;
    area.current.style.height = 'auto';
    area.current.style.height = `${area.current.scrollHeight}px`;
  }, [draft.text, id]);
  useEffect(() => {
    if (!narrow.matches) area.current?.focus();
  }, [id]);

  const send = () => {
    if (!canSend) return;
    ask(id, draft.text.trim(), draft.pictures);
    clearDraft(id);
  };
  return (
    <form
      class="composer"
      aria-label={t('composer')}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <InForce />
      <Thumbnails
        pictures={draft.pictures}
        coming={draft.coming}
        numbered={picturesAbove(id)}
        onChange={(pictures) => changeDraft(id, { pictures })}
        onQuote={(picture, quote) => quoteInDraft(id, picture, quote)}
      />
      <textarea
        id="question"
        ref={area}
        rows={1}
        dir="auto"
        value={draft.text}
        placeholder={t('askHint')}
        aria-label={t('ask')}
        onInput={(event) => changeDraft(id, { text: event.currentTarget.value })}
        onKeyDown={(event) => {
          if (!isSendKey(event)) return;
          event.preventDefault();
          send();
        }}
        onPaste={(event) => {
          const files = pastedPictures(event.clipboardData);
          if (files.length === 0) return;
          event.preventDefault();
          void addFiles(id, files);
        }}
      />
      <div class="composer-row">
        <PictureButtons id={id} />
        <ContextBar id={id} />
        {running ? (
          <button
            type="button"
            class="round stop"
            aria-label={t('stop')}
            title={`${t('stop')} (Esc)`}
            onClick={() => id !== null && stop(id)}
          >
            <Icon name="stop" size={20} />
          </button>
        ) : (
          <button
            type="submit"
            class="round"
            aria-label={t('send')}
            title={`${t('send')} (Enter)`}
            disabled={!canSend}
          >
            <Icon name="send" size={20} />
          </button>
        )}
      </div>
    </form>
  );
}

/// The settings that change what an answer is, so that nobody wonders; they lead to the panel.
function InForce() {
  const t = useT();
  const { compare, format, logprobs } = useStore(settings);
  const chips: [boolean, IconName, string][] = [
    [compare.on, 'compare', t('compare')],
    [format === 'json_object', 'braces', t('formatJson')],
    [format === 'json_schema', 'braces', t('formatSchema')],
    [logprobs, 'heat', t('probabilities')],
  ];
  const shown = chips.filter(([on]) => on);
  if (shown.length === 0) return null;
  return (
    <div class="chips" role="group" aria-label={t('inForce')}>
      {shown.map(([, icon, text]) => (
        <button key={text} type="button" onClick={() => changeUi({ panel: true })}>
          <Icon name={icon} size={15} />
          {text}
        </button>
      ))}
    </div>
  );
}

function PictureButtons({ id }: { id: string | null }) {
  const t = useT();
  const file = useRef<HTMLInputElement>(null);
  const camera = useRef<HTMLInputElement>(null);
  const take = (input: HTMLInputElement) => {
    void addFiles(id, [...(input.files ?? [])]);
    input.value = '';
  };
  const openCamera = () => {
    // A phone's own camera is better than ours; a desktop has none behind a file field.
    if (matchMedia('(pointer: coarse)').matches) camera.current?.click();
    else if (navigator.mediaDevices) changeUi({ dialog: 'camera' });
    else toast(t('noCamera'), true);
  };
  return (
    <div class="composer-buttons">
      <input
        ref={file}
        type="file"
        accept="image/*"
        multiple
        hidden
        aria-label={t('addPictures')}
        onChange={(event) => take(event.currentTarget)}
      />
      <input
        ref={camera}
        type="file"
        accept="image/*"
        capture="environment"
        hidden
        aria-label={t('camera')}
        onChange={(event) => take(event.currentTarget)}
      />
      <IconButton
        icon="picture"
        size={20}
        label={t('addPictures')}
        onClick={() => file.current?.click()}
      />
      <IconButton icon="camera" size={20} label={t('camera')} onClick={openCamera} />
    </div>
  );
}

/// Tokens of the conversation so far, and of what is about to be sent, of the context.
function ContextBar({ id }: { id: string | null }) {
  const t = useT();
  const status = useStore(server);
  const conversation = useStore(library, (now) => (id === null ? undefined : now.all[id]));
  const draft = useStore(drafts, (all) => draftOf(all, id));
  const textTokens = useTokenCount(draft.text);
  const context = contextTokens(status);
  const perPicture = imageTokens(status) ?? 0;
  const reading = useStore(runs, (now) => runIn(now, id)?.progress?.tokens);
  if (context === null) return <div class="context" />;
  const used = reading ?? (conversation && usedTokens(conversation)) ?? 0;
  const coming = textTokens + draft.pictures.length * perPicture;
  const share = (tokens: number) => `${Math.min(100, (100 * tokens) / context)}%`;
  const text = t('contextUsed', { used: used + coming, context });
  const over = used + coming > context;
  return (
    <div
      class={over ? 'context over' : 'context'}
      title={t('contextHint', { used, coming, context })}
    >
      {draft.pictures.length > 0 && perPicture > 0 && (
        <span class="context-pictures">
          {t('pictureTokens', { n: draft.pictures.length, tokens: perPicture })}
        </span>
      )}
      <span class="context-text">{text}</span>
      <div
        class="context-bar"
        role="meter"
        aria-label={t('context')}
        aria-valuemin={0}
        aria-valuemax={context}
        aria-valuenow={Math.min(context, used + coming)}
        aria-valuetext={text}
      >
        <span class="context-used" style={{ width: share(used) }} />
        <span class="context-coming" style={{ width: share(coming) }} />
      </div>
    </div>
  );
}

/// How many tokens a text is, as the server counts; 0 until it has said so.
function useTokenCount(text: string): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    if (text.trim() === '') {
      setCount(0);
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      postJson('tokenize', { messages: [{ role: 'user', content: text }] }, abort.signal)
        .then((response) => response.json())
        .then((found: { count?: number }) => setCount(found.count ?? 0))
        .catch(() => undefined); // a convenience: the answer's own usage comes later
    }, 400);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [text]);
  return count;
}
