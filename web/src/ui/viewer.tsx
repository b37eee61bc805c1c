import { useEffect, useRef, useState } from 'preact/hooks';
import { createKeptStore, useStore } from '../base/store.ts';
import { cornersOf, quoteOf, type Region, type RegionUnit } from '../chat/region.ts';
import { details, type Detail } from '../chat/settings.ts';
import type { PictureRef } from '../chat/tree.ts';
import { useT } from '../i18n/i18n.ts';
import { withDetail } from './drafts.ts';
import { Icon, IconButton } from './icons.tsx';
import { RegionLayer } from './region_layer.tsx';
import { changeUi, ui, type Viewed } from './state.ts';
import { describePicture, movedWithin, usePictureUrl } from './thumbnails.tsx';

const kLargest = 12;
const kUnits: RegionUnit[] = ['thousandths', 'pixels'];
const regionUnit = createKeptStore<RegionUnit>('regionUnit', (found) =>
  found === 'pixels' ? 'pixels' : 'thousandths',
);

interface View {
  zoom: number;
  x: number;
  y: number;
}
const kWholePicture: View = { zoom: 1, x: 0, y: 0 };

/// One picture as large as the window: +, - and the wheel zoom, dragging moves, arrows go on to the
/// message's other pictures, r marks a region, Escape closes.
export function Viewer({ viewed }: { viewed: Viewed }) {
  const t = useT();
  const dialog = useRef<HTMLDialogElement>(null);
  const afterwards = useRef<(() => void) | null>(null);
  const [view, setView] = useState(kWholePicture);
  const [marking, setMarking] = useState(false);
  const [region, setRegion] = useState<Region | null>(null);
  const unit = useStore(regionUnit);
  const { pictures, index, quote } = viewed;
  const picture = pictures[index]!;
  const close = () => changeUi({ viewer: null });

  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      // The question cannot take the focus while the dialog is open.
      if (afterwards.current) afterwards.current();
      else if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const mark = (on: boolean) => {
    setMarking(on);
    setRegion(null);
    if (!on) dialog.current?.focus();
  };
  const zoom = (factor: number) => setView((now) => zoomed(now, factor));
  const go = (to: number) => {
    if (to < 0 || to >= pictures.length) return;
    changeUi({ viewer: { ...viewed, index: to } });
    setView(kWholePicture);
    setRegion(null);
  };
  const finish = () => {
    if (!region || !quote) return;
    const text = quoteOf(cornersOf(region, picture, unit), unit);
    afterwards.current = () => quote(picture.id, text);
    close();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.target instanceof HTMLSelectElement) return;
    const step = 60;
    const isZoomed = view.zoom > 1;
    const moves: Record<string, () => void> = {
      '+': () => zoom(1.25),
      '=': () => zoom(1.25),
      '-': () => zoom(0.8),
      '0': () => setView(kWholePicture),
      r: () => quote && mark(!marking),
      ArrowLeft: () => (isZoomed ? setView({ ...view, x: view.x + step }) : go(index - 1)),
      ArrowRight: () => (isZoomed ? setView({ ...view, x: view.x - step }) : go(index + 1)),
      ArrowUp: () => setView({ ...view, y: view.y + step }),
      ArrowDown: () => setView({ ...view, y: view.y - step }),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move();
  };
  return (
    <dialog
      ref={dialog}
      class={marking ? 'viewer marking' : 'viewer'}
      aria-label={t('zoom')}
      tabIndex={-1}
      onCancel={(event) => {
        event.preventDefault();
        if (marking) mark(false);
        else close();
      }}
      onKeyDown={onKey}
    >
      <div class="viewer-head">
        <span class="viewer-name">{describePicture(picture)}</span>
        {pictures.length > 1 && (
          <>
            <IconButton
              icon="left"
              label={t('previousPicture')}
              disabled={index === 0}
              onClick={() => go(index - 1)}
            />
            <span>
              {index + 1} / {pictures.length}
            </span>
            <IconButton
              icon="right"
              label={t('nextPicture')}
              disabled={index === pictures.length - 1}
              onClick={() => go(index + 1)}
            />
          </>
        )}
        <IconButton icon="close" label={t('close')} shortcut="Esc" onClick={close} />
      </div>
      <Stage key={picture.id} picture={picture} view={view} setView={setView} onClose={close}>
        {marking && <RegionLayer region={region} onChange={setRegion} onDone={finish} />}
      </Stage>
      <div class="viewer-bar">
        {marking ? (
          <RegionTools
            picture={picture}
            region={region}
            onQuote={finish}
            onCancel={() => mark(false)}
          />
        ) : (
          <>
            <IconButton
              icon="zoomOut"
              label={t('zoomOut')}
              shortcut="−"
              onClick={() => zoom(0.8)}
            />
            <span class="viewer-zoom">{Math.round(view.zoom * 100)}%</span>
            <IconButton icon="zoomIn" label={t('zoomIn')} shortcut="+" onClick={() => zoom(1.25)} />
            {quote && (
              <button type="button" class="viewer-tool" title="R" onClick={() => mark(true)}>
                <Icon name="region" />
                {t('region')}
              </button>
            )}
            {viewed.change && <PictureTools viewed={viewed} change={viewed.change} />}
          </>
        )}
      </div>
    </dialog>
  );
}

function zoomed(now: View, factor: number): View {
  const next = Math.min(kLargest, Math.max(1, now.zoom * factor));
  if (next === 1) return kWholePicture;
  return { zoom: next, x: (now.x * next) / now.zoom, y: (now.y * next) / now.zoom };
}

/// The picture, moved and zoomed, with what lies upon it.
function Stage(props: {
  picture: PictureRef;
  view: View;
  setView: (change: View | ((now: View) => View)) => void;
  onClose: () => void;
  children: preact.ComponentChildren;
}) {
  const { picture, view, setView } = props;
  const url = usePictureUrl(picture.id);
  const drag = useRef<{ x: number; y: number } | null>(null);
  return (
    <div
      class="viewer-stage"
      onClick={(event) => event.target === event.currentTarget && props.onClose()}
      onWheel={(event) => {
        event.preventDefault();
        setView((now) => zoomed(now, event.deltaY < 0 ? 1.15 : 1 / 1.15));
      }}
    >
      {url && (
        <div
          class={view.zoom > 1 ? 'viewer-picture zoomed' : 'viewer-picture'}
          style={{
            '--aspect': picture.width / picture.height,
            '--least': `${Math.max(picture.width, 560)}px`,
            transform: `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`,
          }}
          onDblClick={() => setView((now) => zoomed(now, now.zoom > 1 ? 1 / kLargest : 2.5))}
          onPointerDown={(event) => {
            if (event.target instanceof HTMLElement && event.target.closest('.region-layer'))
              return;
            event.currentTarget.setPointerCapture(event.pointerId);
            drag.current = { x: event.clientX - view.x, y: event.clientY - view.y };
          }}
          onPointerMove={(event) => {
            const from = drag.current;
            if (!from || view.zoom === 1) return;
            setView({ ...view, x: event.clientX - from.x, y: event.clientY - from.y });
          }}
          onPointerUp={() => (drag.current = null)}
          onPointerCancel={() => (drag.current = null)}
        >
          <img src={url} alt={picture.name} draggable={false} />
          {props.children}
        </div>
      )}
    </div>
  );
}

/// The coordinates of the marked region and their way into the question.
function RegionTools(props: {
  picture: PictureRef;
  region: Region | null;
  onQuote: () => void;
  onCancel: () => void;
}) {
  const t = useT();
  const unit = useStore(regionUnit);
  const { picture, region } = props;
  return (
    <>
      <output class="viewer-region">
        {region ? quoteOf(cornersOf(region, picture, unit), unit) : t('regionHint')}
      </output>
      <div class="choice" role="group" aria-label={t('regionUnit')}>
        {kUnits.map((one) => (
          <button
            key={one}
            type="button"
            aria-pressed={unit === one}
            onClick={() => regionUnit.set(one)}
          >
            {t(`unit_${one}`)}
          </button>
        ))}
      </div>
      <button type="button" class="button" onClick={props.onCancel}>
        {t('cancel')}
      </button>
      <button type="button" class="button primary" disabled={!region} onClick={props.onQuote}>
        {t('quoteRegion')}
      </button>
    </>
  );
}

/// Detail and place of a picture that was not sent yet.
function PictureTools(props: { viewed: Viewed; change: (pictures: PictureRef[]) => void }) {
  const t = useT();
  const { pictures, index } = props.viewed;
  const picture = pictures[index]!;
  const apply = (next: PictureRef[], at: number | null) => {
    props.change(next);
    if (at !== null) changeUi({ viewer: { ...props.viewed, pictures: next, index: at } });
  };
  const choose = async (detail: Detail) => {
    const changed = await withDetail(picture, detail);
    const now = ui.get().viewer; // somebody may have gone on, or closed it, meanwhile
    apply(
      (now?.pictures ?? pictures).map((one) => (one.id === picture.id ? changed : one)),
      now?.index ?? null,
    );
  };
  const move = (to: number) => apply(movedWithin(pictures, index, to), to);
  return (
    <>
      <label class="viewer-detail">
        {t('detail')}
        <select
          value={picture.detail ?? 'original'}
          onChange={(event) => void choose(event.currentTarget.value as Detail)}
        >
          {details.map((detail) => (
            <option key={detail} value={detail}>
              {t(`detail_${detail}`)}
            </option>
          ))}
        </select>
      </label>
      {pictures.length > 1 && (
        <>
          <IconButton
            icon="earlier"
            label={t('moveEarlier')}
            disabled={index === 0}
            onClick={() => move(index - 1)}
          />
          <IconButton
            icon="later"
            label={t('moveLater')}
            disabled={index === pictures.length - 1}
            onClick={() => move(index + 1)}
          />
        </>
      )}
    </>
  );
}
