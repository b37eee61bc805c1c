import { useEffect, useRef, useState } from 'preact/hooks';
import type { PictureRef } from '../chat/tree.ts';
import { useT } from '../i18n/i18n.ts';
import { IconButton } from './icons.tsx';
import { changeUi } from './state.ts';
import { describePicture, usePictureUrl } from './thumbnails.tsx';

const kLargest = 12;

/// One picture as large as the window: +, - and the wheel zoom, dragging moves, arrows go on to the
/// message's other pictures, Escape closes.
export function Viewer({ pictures, index }: { pictures: PictureRef[]; index: number }) {
  const t = useT();
  const dialog = useRef<HTMLDialogElement>(null);
  const [at, setAt] = useState(index);
  const [view, setView] = useState({ zoom: 1, x: 0, y: 0 });
  const drag = useRef<{ x: number; y: number } | null>(null);
  const picture = pictures[at]!;
  const url = usePictureUrl(picture.id);
  const close = () => changeUi({ viewer: null });

  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const zoom = (factor: number) =>
    setView((now) => {
      const next = Math.min(kLargest, Math.max(1, now.zoom * factor));
      return next === 1
        ? { zoom: 1, x: 0, y: 0 }
        : { zoom: next, x: (now.x * next) / now.zoom, y: (now.y * next) / now.zoom };
    });
  const go = (to: number) => {
    if (to < 0 || to >= pictures.length) return;
    setAt(to);
    setView({ zoom: 1, x: 0, y: 0 });
  };
  const onKey = (event: KeyboardEvent) => {
    const step = 60;
    const moves: Record<string, () => void> = {
      '+': () => zoom(1.25),
      '=': () => zoom(1.25),
      '-': () => zoom(0.8),
      '0': () => setView({ zoom: 1, x: 0, y: 0 }),
      ArrowLeft: () => (view.zoom > 1 ? setView({ ...view, x: view.x + step }) : go(at - 1)),
      ArrowRight: () => (view.zoom > 1 ? setView({ ...view, x: view.x - step }) : go(at + 1)),
      ArrowUp: () => setView({ ...view, y: view.y + step }),
      ArrowDown: () => setView({ ...view, y: view.y - step }),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    move();
  };
  return (
    <dialog
      ref={dialog}
      class="viewer"
      aria-label={t('zoom')}
      onCancel={(event) => {
        event.preventDefault();
        close();
      }}
      onKeyDown={onKey}
    >
      <div
        class="viewer-stage"
        onClick={(event) => event.target === event.currentTarget && close()}
        onWheel={(event) => {
          event.preventDefault();
          zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
        }}
      >
        {url && (
          <img
            src={url}
            alt={picture.name}
            draggable={false}
            style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.zoom})` }}
            class={view.zoom > 1 ? 'zoomed' : ''}
            onDblClick={() => zoom(view.zoom > 1 ? 1 / kLargest : 2.5)}
            onPointerDown={(event) => {
              event.currentTarget.setPointerCapture(event.pointerId);
              drag.current = { x: event.clientX - view.x, y: event.clientY - view.y };
            }}
            onPointerMove={(event) => {
              if (drag.current && view.zoom > 1) {
                setView({
                  ...view,
                  x: event.clientX - drag.current.x,
                  y: event.clientY - drag.current.y,
                });
              }
            }}
            onPointerUp={() => (drag.current = null)}
          />
        )}
      </div>
      <div class="viewer-bar">
        <span class="viewer-name">{describePicture(picture)}</span>
        {pictures.length > 1 && (
          <>
            <IconButton
              icon="left"
              label={t('previousPicture')}
              disabled={at === 0}
              onClick={() => go(at - 1)}
            />
            <span>
              {at + 1} / {pictures.length}
            </span>
            <IconButton
              icon="right"
              label={t('nextPicture')}
              disabled={at === pictures.length - 1}
              onClick={() => go(at + 1)}
            />
          </>
        )}
        <IconButton icon="zoomOut" label={t('zoomOut')} shortcut="−" onClick={() => zoom(0.8)} />
        <span class="viewer-zoom">{Math.round(view.zoom * 100)}%</span>
        <IconButton icon="zoomIn" label={t('zoomIn')} shortcut="+" onClick={() => zoom(1.25)} />
        <IconButton icon="close" label={t('close')} shortcut="Esc" onClick={close} />
      </div>
    </dialog>
  );
}
