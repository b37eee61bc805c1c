import { memo } from 'preact/compat';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import {
  changeConversation,
  exportConversations,
  importConversations,
  library,
  openConversation,
  removeConversation,
  search,
} from '../chat/library.ts';
import { runIn, runs, stop } from '../chat/session.ts';
import type { Conversation } from '../chat/tree.ts';
import { t, useT, type Key } from '../i18n/i18n.ts';
import { download } from './clipboard.ts';
import { Icon, IconButton, Logo } from './icons.tsx';
import { isComposing } from './keys.ts';
import { changeUi, narrow, sidebar, toast, ui } from './state.ts';

export function startNew(): void {
  openConversation(null);
  changeUi({ view: 'chat', drawer: false });
  requestAnimationFrame(() => document.querySelector<HTMLElement>('#question')?.focus());
}

export function focusSearch(): void {
  if (narrow.matches) changeUi({ drawer: true });
  else sidebar.set(true);
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
                <HistoryItem key={conversation.id} id={conversation.id} name={conversation.title} />
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

/// Drawn again when its own name changes, not with each word of an answer.
const HistoryItem = memo(function HistoryItem({ id, name }: { id: string; name: string }) {
  const t = useT();
  const isOpen = useStore(library, (now) => now.openId === id);
  const inChat = useStore(ui, (now) => now.view === 'chat');
  const running = useStore(runs, (now) => runIn(now, id) !== null);
  const [renaming, setRenaming] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const title = name || t('untitled');
  if (renaming) {
    return (
      <Rename
        name={name}
        onDone={(next, byKey) => {
          setRenaming(false);
          if (next !== null)
            changeConversation(id, (now) => ({ ...now, title: next, titled: true }));
          if (byKey) requestAnimationFrame(() => button.current?.focus());
        }}
      />
    );
  }
  return (
    <li class={isOpen && inChat ? 'history-item open' : 'history-item'}>
      <button
        ref={button}
        type="button"
        class="history-title"
        aria-current={isOpen && inChat ? 'page' : undefined}
        onClick={() => {
          openConversation(id);
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
          onClick={() => changeUi({ share: id })}
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
                  stop(id);
                  void remove([id]);
                },
              },
            })
          }
        />
      </div>
    </li>
  );
});

/// The name of a conversation while it is being changed; null: it stays.
function Rename(props: { name: string; onDone: (name: string | null, byKey: boolean) => void }) {
  const t = useT();
  const input = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  useEffect(() => {
    input.current?.focus();
    input.current?.select();
  }, []);
  const done = (name: string | null, byKey: boolean) => {
    if (over.current) return; // taking the field away is a blur, too
    over.current = true;
    const next = name?.trim() ?? '';
    props.onDone(next === '' || next === props.name ? null : next, byKey);
  };
  return (
    <li>
      <input
        ref={input}
        class="rename"
        aria-label={t('rename')}
        defaultValue={props.name}
        onBlur={(event) => done(event.currentTarget.value, false)}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (isComposing(event)) return;
          if (event.key === 'Enter') done(event.currentTarget.value, true);
          if (event.key === 'Escape') done(null, true);
        }}
      />
    </li>
  );
}

/// What the database still holds afterwards would be back with the next page.
async function remove(ids: string[]): Promise<void> {
  try {
    for (const id of ids) await removeConversation(id);
  } catch (error) {
    toast((error as Error).message, true);
  }
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
              run: () => {
                ids.forEach(stop);
                void remove(ids);
              },
            },
          })
        }
      />
    </div>
  );
}

async function save(ids: string[]): Promise<void> {
  try {
    const archive = await exportConversations(ids);
    const day = archive.exported.slice(0, 10);
    download(`cardloom-${day}.json`, 'application/json', JSON.stringify(archive, null, 1));
  } catch (error) {
    toast(t('exportFailed', { why: (error as Error).message }), true); // too long for one string
  }
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
