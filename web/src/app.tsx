import { useEffect, useState } from 'preact/hooks';
import { useStore } from './base/store.ts';
import { CardsView } from './cards/cards_view.tsx';
import { library, openConversation } from './chat/library.ts';
import { isRunning, stop } from './chat/session.ts';
import { useT } from './i18n/i18n.ts';
import { ChatView } from './ui/chat_view.tsx';
import { Dialogs } from './ui/dialogs.tsx';
import { addFiles, picturesIn } from './ui/drafts.ts';
import { Icon } from './ui/icons.tsx';
import { isComposing, shortcutOf } from './ui/keys.ts';
import { SettingsPanel } from './ui/settings_panel.tsx';
import { focusSearch, Sidebar, startNew } from './ui/sidebar.tsx';
import { TopBar } from './ui/top_bar.tsx';
import { changeUi, narrow, sidebar, toasts, ui } from './ui/state.ts';

export function App() {
  const t = useT();
  const { view, panel, drawer } = useStore(ui);
  const shown = useStore(sidebar);
  useWidth();
  useAddress();
  useKeys();
  return (
    <div class={`app ${shown ? 'with-sidebar' : ''} ${drawer ? 'with-drawer' : ''}`}>
      <a
        class="skip-link"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          document.querySelector<HTMLElement>('#main')?.focus();
        }}
      >
        {t('skip')}
      </a>
      <Sidebar />
      {drawer && (
        <button
          type="button"
          class="scrim"
          aria-label={t('hideSidebar')}
          onClick={() => changeUi({ drawer: false })}
        />
      )}
      <div class="content" inert={drawer && narrow.matches}>
        <TopBar />
        <div class="work">
          <main id="main" tabIndex={-1} inert={panel && narrow.matches}>
            {view === 'chat' ? <ChatView /> : <CardsView />}
          </main>
          {panel && <SettingsPanel />}
        </div>
      </div>
      <DropTarget />
      <Dialogs />
      <Toasts />
    </div>
  );
}

/// Draws the page again when it becomes narrow or wide: what lies over it in one stands beside it in
/// the other.
function useWidth(): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    const onChange = () => redraw((n) => n + 1);
    narrow.addEventListener('change', onChange);
    return () => narrow.removeEventListener('change', onChange);
  }, []);
}

/// Keeps what is open in the address, so that a reload and the back button find it.
function useAddress(): void {
  const view = useStore(ui, (now) => now.view);
  const openId = useStore(library, (now) => now.openId);
  const ready = useStore(library, (now) => now.ready);
  useEffect(() => {
    if (!ready) return undefined;
    const read = () => {
      if (location.hash === '#cards') changeUi({ view: 'cards' });
      else {
        changeUi({ view: 'chat' });
        openConversation(location.hash.startsWith('#c/') ? location.hash.slice(3) : null);
      }
    };
    read();
    addEventListener('hashchange', read);
    return () => removeEventListener('hashchange', read);
  }, [ready]);
  useEffect(() => {
    if (!ready) return;
    // From the stores: what the address said above is in them already, but was not drawn yet.
    const { openId } = library.get();
    const hash = ui.get().view === 'cards' ? '#cards' : openId === null ? '' : `#c/${openId}`;
    if (hash !== location.hash)
      history.pushState(null, '', hash === '' ? location.pathname + location.search : hash);
  }, [ready, view, openId]);
}

const kShortcuts: Record<string, () => void> = {
  '+n': startNew,
  '+o': startNew,
  k: focusSearch,
  b: toggleSidebar,
  '.': () => changeUi({ panel: !ui.get().panel }),
  '+.': () => changeUi({ panel: !ui.get().panel }), // a keyboard may have . and / above others
  '/': () => changeUi({ dialog: 'help' }),
  '+/': () => changeUi({ dialog: 'help' }),
};

function useKeys(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (document.querySelector('dialog[open]')) return; // what is behind it is not meant
      const run =
        event.key === 'Escape' && !isComposing(event)
          ? whatToLeave()
          : kShortcuts[shortcutOf(event) ?? ''];
      if (!run) return;
      event.preventDefault();
      run();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
}

/// What Escape ends: what lies over the page, else the answer that is being written.
function whatToLeave(): (() => void) | undefined {
  const { drawer, panel } = ui.get();
  const { openId } = library.get();
  if (narrow.matches && drawer) return () => changeUi({ drawer: false });
  if (narrow.matches && panel) return () => changeUi({ panel: false });
  return openId !== null && isRunning(openId) ? () => stop(openId) : undefined;
}

function toggleSidebar(): void {
  if (narrow.matches) changeUi({ drawer: !ui.get().drawer });
  else sidebar.set(!sidebar.get());
}

/// Takes pictures dropped anywhere on the page.
function DropTarget() {
  const t = useT();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const onOver = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const onLeave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      changeUi({ view: 'chat' });
      void addFiles(library.get().openId, picturesIn(event.dataTransfer));
    };
    addEventListener('dragover', onOver);
    addEventListener('dragleave', onLeave);
    addEventListener('drop', onDrop);
    return () => {
      removeEventListener('dragover', onOver);
      removeEventListener('dragleave', onLeave);
      removeEventListener('drop', onDrop);
    };
  }, []);
  if (!over) return null;
  return (
    <div class="drop-target">
      <div>
        <Icon name="picture" size={40} />
        {t('dropHere')}
      </div>
    </div>
  );
}

function Toasts() {
  const now = useStore(toasts);
  return (
    <div class="toasts" role="status">
      {now.map((toast) => (
        <div key={toast.id} class={toast.bad ? 'toast bad' : 'toast'}>
          <Icon name={toast.bad ? 'warn' : 'check'} size={16} />
          {toast.text}
        </div>
      ))}
    </div>
  );
}
