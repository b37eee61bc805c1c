import { useMemo, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import {
  changeConversation,
  exportConversations,
  importConversations,
  library,
  openConversation,
  removeAll,
  removeConversation,
  search,
} from '../chat/library.ts';
import { isRunning, runIn, runs, stop } from '../chat/session.ts';
import type { Conversation } from '../chat/tree.ts';
import { useT, type Key } from '../i18n/i18n.ts';
import { download } from './clipboard.ts';
import { Icon, IconButton, Logo } from './icons.tsx';
import { changeUi, sidebar, toast, ui } from './state.ts';

export function startNew(): void {
  openConversation(null);
  changeUi({ view: 'chat', drawer: false });
  requestAnimationFrame(() => document.querySelector<HTMLElement>('#question')?.focus());
}

export function focusSearch(): void {
  sidebar.set(true);
  changeUi({ drawer: true });
  requestAnimationFrame(() => document.querySelector<HTMLInputElement>('#search')?.select());
}

export function Sidebar() {
  const t = useT();
  const { all, kept, ready } = useStore(library);
  const [text, setText] = useState('');
  const found = useMemo(() => search(all, text), [all, text]);
  return (
    <nav class="sidebar" aria-label={t('history')}>
      <div class="sidebar-head">
        <div class="brand">
          <Logo />
          <span>Cardloom</span>
        </div>
        <IconButton
          icon="sidebar"
          label={t('hideSidebar')}
          shortcut="Ctrl+B"
          onClick={() => {
            sidebar.set(false);
            changeUi({ drawer: false });
          }}
        />
      </div>
      <button type="button" class="new-chat" onClick={startNew} title="Ctrl+Shift+N">
        <Icon name="plus" />
        {t('newChat')}
      </button>
      <div class="search-box">
        <Icon name="search" size={16} />
        <input
          id="search"
          type="search"
          placeholder={t('search')}
          aria-label={t('search')}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </div>
      <div class="history" role="region" aria-label={t('conversations')} tabIndex={0}>
        {ready && found.length === 0 && (
          <p class="history-empty">{text === '' ? t('noHistory') : t('nothingFound')}</p>
        )}
        {groupByDay(found).map(([key, conversations]) => (
          <section key={key}>
            <h2>{t(key)}</h2>
            <ul>
              {conversations.map((conversation) => (
                <HistoryItem key={conversation.id} conversation={conversation} />
              ))}
            </ul>
          </section>
        ))}
      </div>
      {!kept && <p class="notice">{t('notKept')}</p>}
      <SidebarFoot count={found.length} ids={Object.keys(all)} />
    </nav>
  );
}

function HistoryItem({ conversation }: { conversation: Conversation }) {
  const t = useT();
  const isOpen = useStore(library, (now) => now.openId === conversation.id);
  const inChat = useStore(ui, (now) => now.view === 'chat');
  const running = useStore(runs, (now) => runIn(now, conversation.id) !== null);
  const [renaming, setRenaming] = useState(false);
  const title = conversation.title || t('untitled');
  const rename = (name: string) => {
    setRenaming(false);
    if (name.trim() === '' || name === conversation.title) return;
    changeConversation(conversation.id, (now) => ({ ...now, title: name.trim(), titled: true }));
  };
  if (renaming) {
    return (
      <li>
        <input
          class="rename"
          aria-label={t('rename')}
          value={conversation.title}
          ref={(input) => input?.focus()}
          onBlur={(event) => rename(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') rename(event.currentTarget.value);
            if (event.key === 'Escape') setRenaming(false);
            event.stopPropagation();
          }}
        />
      </li>
    );
  }
  return (
    <li class={isOpen && inChat ? 'history-item open' : 'history-item'}>
      <button
        type="button"
        class="history-title"
        aria-current={isOpen && inChat ? 'page' : undefined}
        onClick={() => {
          openConversation(conversation.id);
          changeUi({ view: 'chat', drawer: false });
        }}
        onDblClick={() => setRenaming(true)}
      >
        {running && <span class="dot dot-busy" role="img" aria-label={t('answering')} />}
        <span class="history-text">{title}</span>
      </button>
      <div class="history-actions">
        <IconButton
          icon="edit"
          size={15}
          label={`${t('rename')}: ${title}`}
          onClick={() => setRenaming(true)}
        />
        <IconButton
          icon="out"
          size={15}
          label={`${t('shareOrExport')}: ${title}`}
          onClick={() => changeUi({ share: conversation.id })}
        />
        <IconButton
          icon="trash"
          size={15}
          label={`${t('delete')}: ${title}`}
          onClick={() =>
            changeUi({
              confirm: {
                title: t('deleteTitle'),
                text: t('deleteText', { title }),
                action: t('delete'),
                run: () => {
                  if (isRunning(conversation.id)) stop(conversation.id);
                  void removeConversation(conversation.id);
                },
              },
            })
          }
        />
      </div>
    </li>
  );
}

function SidebarFoot({ count, ids }: { count: number; ids: string[] }) {
  const t = useT();
  const file = useRef<HTMLInputElement>(null);
  const take = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    input.value = '';
    if (!chosen) return;
    try {
      toast(t('imported', { n: await importConversations(await chosen.text()) }));
    } catch (error) {
      toast(t('importFailed', { why: (error as Error).message }), true);
    }
  };
  return (
    <div class="sidebar-foot">
      <span class="quiet">{t('count', { n: count })}</span>
      <input
        ref={file}
        type="file"
        accept=".json,application/json"
        hidden
        aria-label={t('import')}
        onChange={(event) => void take(event.currentTarget)}
      />
      <IconButton icon="in" label={t('import')} onClick={() => file.current?.click()} />
      <IconButton
        icon="out"
        label={t('exportAll')}
        disabled={ids.length === 0}
        onClick={() => void save(ids)}
      />
      <IconButton
        icon="trash"
        label={t('deleteAll')}
        disabled={ids.length === 0}
        onClick={() =>
          changeUi({
            confirm: {
              title: t('deleteAll'),
              text: t('deleteAllText', { n: ids.length }),
              action: t('delete'),
              run: () => void removeAll(),
            },
          })
        }
      />
    </div>
  );
}

export async function save(ids: string[]): Promise<void> {
  const archive = await exportConversations(ids);
  const day = archive.exported.slice(0, 10);
  download(`cardloom-${day}.json`, 'application/json', JSON.stringify(archive, null, 1));
}

/// Under the headings today, yesterday, the last week, earlier; empty ones are left out.
function groupByDay(conversations: Conversation[]): [Key, Conversation[]][] {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const day = 24 * 3600 * 1000;
  const groups: [Key, number, Conversation[]][] = [
    ['today', midnight, []],
    ['yesterday', midnight - day, []],
    ['lastWeek', midnight - 7 * day, []],
    ['earlier', Number.NEGATIVE_INFINITY, []],
  ];
  for (const conversation of conversations) {
    groups.find(([, from]) => conversation.updated >= from)![2].push(conversation);
  }
  return groups
    .filter(([, , members]) => members.length > 0)
    .map(([key, , members]) => [key, members]);
}
