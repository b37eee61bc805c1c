import { useId, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { isSendable, keyStore, writeKey } from '../api/key.ts';
import { useT, type Key } from '../i18n/i18n.ts';
import { CameraDialog } from './camera_dialog.tsx';
import { Dialog } from './dialog.tsx';
import { ShareDialog } from './share_dialog.tsx';
import { changeUi, ui, type Confirmation } from './state.ts';
import { Viewer } from './viewer.tsx';

export function Dialogs() {
  const { dialog, viewer, confirm, share } = useStore(ui);
  const close = () => changeUi({ dialog: null });
  return (
    <>
      {dialog === 'help' && <HelpDialog onClose={close} />}
      {dialog === 'key' && <KeyDialog onClose={close} />}
      {dialog === 'camera' && <CameraDialog onClose={close} />}
      {confirm && <ConfirmDialog confirm={confirm} />}
      {viewer && <Viewer viewed={viewer} />}
      {share !== null && <ShareDialog id={share} />}
    </>
  );
}

const kKeys: [string[], Key][] = [
  [['Enter'], 'keySend'],
  [['Shift', 'Enter'], 'keyLine'],
  [['Esc'], 'keyStop'],
  [['Ctrl', 'Shift', 'N'], 'newChat'],
  [['Ctrl', 'Shift', 'O'], 'newChatToo'], // Chromium keeps the first for itself
  [['Ctrl', 'K'], 'search'],
  [['Ctrl', 'B'], 'keySidebar'],
  [['Ctrl', '.'], 'settings'],
  [['Ctrl', '/'], 'help'],
  [['Ctrl', 'V'], 'keyPaste'],
  [['Alt', '←', '→'], 'keyOrder'],
  [['+', '−'], 'keyZoomPicture'],
  [['R'], 'keyRegion'],
  [['←', '→'], 'keyToken'],
];
const kCardKeys: [string[], Key][] = [
  [['Space'], 'keyPause'],
  [['←', '→'], 'keyPan'],
  [['+', '−'], 'keyZoom'],
];

function HelpDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  return (
    <Dialog title={t('help')} onClose={onClose}>
      <KeyList keys={kKeys} />
      <h3 class="dialog-subtitle">{t('cards')}</h3>
      <KeyList keys={kCardKeys} />
      <p class="hint">{t('privacy')}</p>
    </Dialog>
  );
}

function KeyList({ keys }: { keys: [string[], Key][] }) {
  const t = useT();
  return (
    <dl class="key-list">
      {keys.map(([names, what]) => (
        <div key={what}>
          <dt>{t(what)}</dt>
          <dd>
            {names.map((name) => (
              <kbd key={name}>{name}</kbd>
            ))}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function KeyDialog({ onClose }: { onClose: () => void }) {
  const t = useT();
  const id = useId();
  const kept = useStore(keyStore);
  const [value, setValue] = useState(kept.value);
  const [remember, setRemember] = useState(kept.remember);
  const wrong = !isSendable(value);
  return (
    <Dialog title={t('apiKey')} onClose={onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          if (wrong) return;
          writeKey(value, remember);
          onClose();
        }}
      >
        <label for={id}>{t('keyLabel')}</label>
        <input
          id={id}
          type="password"
          autocomplete="off"
          spellcheck={false}
          value={value}
          aria-invalid={wrong}
          onInput={(event) => setValue(event.currentTarget.value)}
        />
        {wrong && <p class="wrong">{t('keyLetters')}</p>}
        <label class="check">
          <input
            type="checkbox"
            checked={remember}
            onChange={(event) => setRemember(event.currentTarget.checked)}
          />
          <span>{t('rememberKey')}</span>
        </label>
        <p class="hint">{t('keyHint')}</p>
        <div class="dialog-actions">
          {kept.value !== '' && (
            <button
              type="button"
              class="button"
              onClick={() => {
                writeKey('', false);
                onClose();
              }}
            >
              {t('forgetKey')}
            </button>
          )}
          <button type="submit" class="button primary" disabled={wrong}>
            {t('save')}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function ConfirmDialog({ confirm }: { confirm: Confirmation }) {
  const t = useT();
  const close = () => changeUi({ confirm: null });
  return (
    <Dialog title={confirm.title} onClose={close}>
      <p>{confirm.text}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={close}>
          {t('cancel')}
        </button>
        <button
          type="button"
          class="button danger"
          onClick={() => {
            confirm.run();
            close();
          }}
        >
          {confirm.action}
        </button>
      </div>
    </Dialog>
  );
}
