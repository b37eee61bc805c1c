import { useState } from 'preact/hooks';
import { server } from '../api/status.ts';
import { useStore } from '../base/store.ts';
import { conversationOf, exportConversations, pictureDataUrl } from '../chat/library.ts';
import { pathOf, type Conversation } from '../chat/tree.ts';
import { language, useT, type Key, type Translate } from '../i18n/i18n.ts';
import { fileNameOf, toMarkdown, type Shared, type ShareWords } from '../share/markdown.ts';
import { copyText, download } from './clipboard.ts';
import { Dialog } from './dialog.tsx';
import { Icon } from './icons.tsx';
import { changeUi, toast } from './state.ts';

type Format = 'html' | 'markdown' | 'json';
const kFormats: [Format, Key, Key][] = [
  ['html', 'shareHtml', 'shareHtmlHint'],
  ['markdown', 'shareMarkdown', 'shareMarkdownHint'],
  ['json', 'shareJson', 'shareJsonHint'],
];

/// A conversation as a file for others: a web page, Markdown, or what this page imports.
export function ShareDialog({ id }: { id: string }) {
  const t = useT();
  const lang = useStore(language);
  const [format, setFormat] = useState<Format>('html');
  const [withPictures, setWithPictures] = useState(true);
  const conversation = conversationOf(id);
  const close = () => changeUi({ share: null });
  if (!conversation) return null;
  const hasPictures = pathOf(conversation).some((message) => message.pictures.length > 0);
  const day = new Date().toLocaleDateString('sv'); // 2026-03-01
  const title = conversation.title || t('untitled');
  const markdown = async () =>
    toMarkdown(await sharedOf(conversation, withPictures, t), wordsFor(t, day));

  const save = async () => {
    try {
      if (format === 'json') {
        const archive = await exportConversations([id]);
        download(
          fileNameOf(title, day, 'json'),
          'application/json',
          JSON.stringify(archive, null, 1),
        );
      } else if (format === 'markdown') {
        download(fileNameOf(title, day, 'md'), 'text/markdown', await markdown());
      } else {
        const { toHtml } = await import('../share/html.ts');
        const shared = await sharedOf(conversation, withPictures, t);
        const html = toHtml(shared, wordsFor(t, day), lang === 'zh' ? 'zh-CN' : 'en');
        download(fileNameOf(title, day, 'html'), 'text/html', html);
      }
      close();
    } catch (error) {
      // The server is gone with the part that writes HTML, or it is too long for one string.
      toast(t('exportFailed', { why: (error as Error).message }), true);
    }
  };
  return (
    <Dialog title={t('shareOrExport')} onClose={close}>
      <p class="dialog-name">{title}</p>
      <div class="choice" role="group" aria-label={t('format')}>
        {kFormats.map(([value, name]) => (
          <button
            key={value}
            type="button"
            aria-pressed={format === value}
            onClick={() => setFormat(value)}
          >
            {t(name)}
          </button>
        ))}
      </div>
      <p class="hint">{t(kFormats.find(([value]) => value === format)![2])}</p>
      {hasPictures && format !== 'json' && (
        <label class="check share-pictures">
          <input
            type="checkbox"
            checked={withPictures}
            onChange={(event) => setWithPictures(event.currentTarget.checked)}
          />
          <span>{t('withPictures')}</span>
        </label>
      )}
      <div class="dialog-actions">
        {format === 'markdown' && (
          <button
            type="button"
            class="button"
            onClick={async () => {
              await copyText(await markdown());
              toast(t('copied'));
              close();
            }}
          >
            <Icon name="copy" size={16} />
            {t('copy')}
          </button>
        )}
        <button type="button" class="button primary" onClick={() => void save()}>
          <Icon name="in" size={16} />
          {t('saveFile')}
        </button>
      </div>
    </Dialog>
  );
}

async function sharedOf(
  conversation: Conversation,
  withPictures: boolean,
  t: Translate,
): Promise<Shared> {
  const messages = pathOf(conversation);
  const pictures: Record<string, string> = {};
  for (const { id } of withPictures ? messages.flatMap((message) => message.pictures) : []) {
    const url = await pictureDataUrl(id);
    if (url !== null) pictures[id] = url;
  }
  const { title, system } = conversation;
  return { title: title || t('untitled'), system, messages, pictures };
}

function wordsFor(t: Translate, day: string): ShareWords {
  const { props, model } = server.get();
  return {
    you: t('you'),
    model: t('model'),
    systemPrompt: t('systemPrompt'),
    leftOut: (name) => t('picturesLeftOut', { name }),
    footer: t('sharedBy', { model: props?.model ?? model?.id ?? 'glm-4v', day }),
  };
}
