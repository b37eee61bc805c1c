import { useEffect, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { useT } from '../i18n/i18n.ts';
import { isDark, theme } from '../ui/state.ts';
import { kLongest, kShortest, type ChartView } from './cards_view.tsx';
import { chartHeight, drawTimeline, laneAt, laneHeight, laneTop, looks, timeText } from './draw.ts';
import type { CardFeed } from './feed.ts';
import { kindNames } from './kinds.ts';
import type { CardSummary, Span, Step } from './timeline.ts';

interface Hover {
  x: number;
  y: number;
  span: Span;
  step: Step | undefined;
}

const kFrameMs = 30; // between two pictures
const kRestFactor = 6; // rest this much longer than drawing took: the machine may run the model too
const kCalmMs = 500; // when motion is not wanted, or nothing moves

export function CardChart(props: {
  feed: CardFeed;
  cards: number;
  view: ChartView;
  change: (next: Partial<ChartView>) => void;
  summaries: CardSummary[];
}) {
  const t = useT();
  const { feed, cards, view, change } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const pointer = useRef<{ x: number; y: number } | null>(null);
  const drag = useRef<{ x: number; end: number } | null>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  const chosenTheme = useStore(theme);
  const height = chartHeight(cards);

  const endNow = () => (view.paused ? view.end : feed.now(view.length));
  const windowNow = () => ({ from: endNow() - view.length, to: endNow() });
  const look = (at: { x: number; y: number } | null) => {
    const width = canvas.current?.clientWidth ?? 1;
    const rank = at === null ? null : laneAt(at.y, cards);
    if (at === null || rank === null) return setHover(null);
    const { from, to } = windowNow();
    const perPixel = (to - from) / width;
    const span = feed.timeline.find(rank, from + at.x * perPixel, 3 * perPixel);
    if (!span) return setHover(null);
    const step = feed.timeline.steps.findLast((one) => one.step === span.step);
    return setHover({ ...at, span, step });
  };

  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d');
    if (!element || !context) return undefined;
    const still = matchMedia('(prefers-reduced-motion: reduce)');
    let frame = 0;
    let lastDrawn = 0;
    let restMs = kFrameMs;
    const draw = (now: number) => {
      frame = requestAnimationFrame(draw);
      const calm = still.matches || (feed.isIdle() && !view.paused);
      if (now - lastDrawn < (calm ? kCalmMs : restMs)) return;
      lastDrawn = now;
      const scale = devicePixelRatio || 1;
      const width = element.clientWidth;
      if (
        element.width !== Math.round(width * scale) ||
        element.height !== Math.round(height * scale)
      ) {
        element.width = Math.round(width * scale);
        element.height = Math.round(height * scale);
      }
      drawTimeline(
        context,
        feed.timeline,
        windowNow(),
        { width, height, scale },
        looks[isDark() ? 'dark' : 'light'],
      );
      restMs = Math.max(kFrameMs, kRestFactor * (performance.now() - now));
      if (!view.paused && pointer.current) look(pointer.current);
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, [feed, view, cards, chosenTheme]);

  const zoom = (factor: number, atShare = 1) => {
    const length = Math.min(kLongest, Math.max(kShortest, view.length * factor));
    // What is under the pointer stays under it.
    const end = view.end + (length - view.length) * (1 - atShare);
    change(view.paused ? { length, end } : { length });
  };
  const onKey = (event: KeyboardEvent) => {
    const moves: Record<string, () => void> = {
      ' ': () => change({ paused: !view.paused }),
      '+': () => zoom(0.5, 0.5),
      '=': () => zoom(0.5, 0.5),
      '-': () => zoom(2, 0.5),
      ArrowLeft: () => change({ paused: true, end: endNow() - view.length / 5 }),
      ArrowRight: () => view.paused && change({ end: view.end + view.length / 5 }),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move();
  };
  return (
    <div class="chart">
      <ul class="lane-labels" style={{ height: `${height}px` }}>
        {Array.from({ length: cards }, (_, rank) => (
          <li
            key={rank}
            style={{ top: `${laneTop(rank, cards)}px`, height: `${laneHeight(cards)}px` }}
          >
            <strong>{t('card', { n: rank })}</strong>
            <span>
              {t('busyOf', { busy: Math.round((props.summaries[rank]?.busy ?? 0) * 100) })}
            </span>
            <span>
              {t('waitOf', { wait: Math.round((props.summaries[rank]?.wait ?? 0) * 100) })}
            </span>
          </li>
        ))}
      </ul>
      <div
        class={view.paused ? 'chart-canvas paused' : 'chart-canvas'}
        tabIndex={0}
        role="group"
        aria-label={t('chartLabel')}
        onKeyDown={onKey}
      >
        <canvas
          ref={canvas}
          role="img"
          aria-label={t('chartLabel')}
          style={{ height: `${height}px` }}
          onPointerDown={(event) => {
            if (event.pointerType === 'mouse' && event.button !== 0) return;
            drag.current = { x: event.offsetX, end: endNow() };
            event.currentTarget.setPointerCapture(event.pointerId);
          }}
          onPointerMove={(event) => {
            pointer.current = { x: event.offsetX, y: event.offsetY };
            const from = drag.current;
            if (from && Math.abs(event.offsetX - from.x) > 3) {
              const perPixel = view.length / (canvas.current?.clientWidth ?? 1);
              change({ paused: true, end: from.end - (event.offsetX - from.x) * perPixel });
            }
            look(pointer.current);
          }}
          onPointerUp={() => (drag.current = null)}
          onPointerCancel={() => (drag.current = null)}
          onPointerLeave={() => {
            pointer.current = null;
            setHover(null);
          }}
          onWheel={(event) => {
            if (!event.ctrlKey && !view.paused) return;
            event.preventDefault();
            zoom(event.deltaY < 0 ? 0.8 : 1.25, event.offsetX / (canvas.current?.clientWidth ?? 1));
          }}
        />
        {hover && <Tip hover={hover} width={canvas.current?.clientWidth ?? 0} />}
      </div>
    </div>
  );
}

function Tip({ hover, width }: { hover: Hover; width: number }) {
  const t = useT();
  const { span, step } = hover;
  const right = hover.x > width / 2;
  const place = right ? { right: `${width - hover.x + 14}px` } : { left: `${hover.x + 14}px` };
  return (
    <div class="tip" style={{ ...place, top: `${hover.y + 14}px` }}>
      <strong>
        <i class={`kind-${kindNames[span.kind] ?? 'other'}`} />
        {span.operator}
        <span>{timeText(span.duration)}</span>
      </strong>
      <span>{span.layer}</span>
      {span.wait >= 1 && <span>{t('tipWait', { wait: timeText(span.wait) })}</span>}
      {step && (
        <span>{t('tipStep', { step: step.step, rows: step.rows, sequences: step.sequences })}</span>
      )}
      {step !== undefined && step.pictures > 0 && (
        <span>{t('tipPictures', { n: step.pictures })}</span>
      )}
    </div>
  );
}
