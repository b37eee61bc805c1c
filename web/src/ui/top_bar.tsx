import { useStore } from '../base/store.ts';
import { server, type Reach } from '../api/status.ts';
import { keyStore } from '../api/key.ts';
import { library } from '../chat/library.ts';
import { language, useT, type Key } from '../i18n/i18n.ts';
import { Icon, IconButton, Logo } from './icons.tsx';
import { startNew } from './sidebar.tsx';
import { changeUi, narrow, sidebar, theme, ui, type Theme } from './state.ts';

const kReach: Record<Reach, { key: Key; dot: string }> = {
  connecting: { key: 'reachConnecting', dot: 'dot-busy' },
  ready: { key: 'reachReady', dot: 'dot-good' },
  loading: { key: 'reachLoading', dot: 'dot-busy' },
  draining: { key: 'reachDraining', dot: 'dot-warn' },
  failed: { key: 'reachFailed', dot: 'dot-bad' },
  lost: { key: 'reachLost', dot: 'dot-bad' },
  key: { key: 'reachKey', dot: 'dot-warn' },
};

export function TopBar() {
  const t = useT();
  const { view, panel } = useStore(ui);
  const shown = useStore(sidebar);
  const openId = useStore(library, (now) => now.openId);
  return (
    <header class="top-bar">
      <div class="top-left">
        <div class={shown ? 'only-narrow' : ''}>
          <IconButton
            icon="sidebar"
            label={t('showSidebar')}
            shortcut="Ctrl+B"
            onClick={() => (narrow.matches ? changeUi({ drawer: true }) : sidebar.set(true))}
          />
        </div>
        <div class={shown ? 'brand hidden' : 'brand only-wide'}>
          <Logo size={24} />
        </div>
        <Status />
      </div>
      <div class="tabs" role="group" aria-label={t('view')}>
        <button
          type="button"
          aria-pressed={view === 'chat'}
          onClick={() => changeUi({ view: 'chat' })}
        >
          <Icon name="chat" size={16} />
          <span>{t('chat')}</span>
        </button>
        <button
          type="button"
          aria-pressed={view === 'cards'}
          onClick={() => changeUi({ view: 'cards', drawer: false })}
        >
          <Icon name="cards" size={16} />
          <span>{t('cards')}</span>
        </button>
      </div>
      <div class="top-right">
        {view === 'chat' && openId !== null && (
          <IconButton
            icon="share"
            label={t('shareOrExport')}
            onClick={() => changeUi({ share: openId })}
          />
        )}
        <LanguageSwitch />
        <ThemeSwitch />
        <div class="only-wide">
          <IconButton
            icon="help"
            label={t('help')}
            shortcut="Ctrl+/"
            onClick={() => changeUi({ dialog: 'help' })}
          />
        </div>
        <div class="only-narrow">
          <IconButton icon="plus" label={t('newChat')} onClick={startNew} />
        </div>
        <IconButton
          icon="sliders"
          label={t('settings')}
          shortcut="Ctrl+."
          expanded={panel}
          onClick={() => changeUi({ panel: !panel })}
        />
      </div>
    </header>
  );
}

function Status() {
  const t = useT();
  const { reach, model, props, loaded } = useStore(server);
  const hasKey = useStore(keyStore, (key) => key.value !== '');
  const { key, dot } = kReach[reach];
  const name = props?.model ?? model?.id;
  const facts = props
    ? [
        props.tp === undefined ? '' : t('tp', { n: props.tp }),
        (props.isa ?? '').toUpperCase(),
        props.weights ?? props.dtype ?? '',
        props.version ? `v${props.version}` : '',
      ].filter((fact) => fact !== '')
    : [];
  const asksKey = reach === 'key' || hasKey;
  return (
    <div class="status-line">
      <div class="status" role="status" title={[t(key), ...facts].join(' · ')}>
        <span class={`dot ${dot}`} />
        <span class="status-name">{reach === 'ready' && name ? name : t(key)}</span>
        {loaded !== null && (
          <>
            <span class="load-bar" aria-hidden="true">
              <span style={{ width: `${100 * loaded}%` }} />
            </span>
            <span class="status-percent" aria-hidden="true">
              {Math.floor(100 * loaded)} %
            </span>
          </>
        )}
        {reach === 'ready' && facts.length > 0 && (
          <span class="status-facts">{facts.slice(0, 3).join(' · ')}</span>
        )}
      </div>
      {asksKey && (
        <button type="button" class="link-button" onClick={() => changeUi({ dialog: 'key' })}>
          <Icon name="key" size={15} />
          <span class="only-wide">{t(reach === 'key' ? 'enterKey' : 'apiKey')}</span>
        </button>
      )}
    </div>
  );
}

function LanguageSwitch() {
  const t = useT();
  const now = useStore(language);
  return (
    <button
      type="button"
      class="icon-button language"
      title={t('language')}
      aria-label={t('switchLanguage')}
      onClick={() => language.set(now === 'en' ? 'zh' : 'en')}
    >
      <span lang={now === 'en' ? 'zh' : 'en'}>{now === 'en' ? '中' : 'EN'}</span>
    </button>
  );
}

const kThemes: Record<Theme, { next: Theme; icon: 'system' | 'sun' | 'moon'; key: Key }> = {
  system: { next: 'light', icon: 'system', key: 'themeSystem' },
  light: { next: 'dark', icon: 'sun', key: 'themeLight' },
  dark: { next: 'system', icon: 'moon', key: 'themeDark' },
};

function ThemeSwitch() {
  const t = useT();
  const now = useStore(theme);
  const { next, icon, key } = kThemes[now];
  return (
    <IconButton icon={icon} label={`${t('theme')}: ${t(key)}`} onClick={() => theme.set(next)} />
  );
}
