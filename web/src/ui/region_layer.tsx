import { useLayoutEffect, useRef } from 'preact/hooks';
import { moved, regionBetween, resized, type Region } from '../chat/region.ts';
import { useT } from '../i18n/i18n.ts';

const kStep = 0.01; // of the picture, for one press of an arrow key
const kWhole: Region = { left: 0.3, top: 0.3, right: 0.7, bottom: 0.7 };

/// The box that a person draws on a picture; it lies upon the picture and is as large.
export function RegionLayer(props: {
  region: Region | null;
  onChange: (region: Region) => void;
  onDone: () => void;
}) {
  const t = useT();
  const layer = useRef<HTMLDivElement>(null);
  const from = useRef<{ x: number; y: number } | null>(null);
  const { region } = props;
  // With the box on the screen already: the next key may be an arrow.
  useLayoutEffect(() => layer.current?.focus(), []);
  /// Where on the picture a pointer is, in shares; the rectangle knows of zoom and movement.
  const shares = (event: PointerEvent) => {
    const box = layer.current!.getBoundingClientRect();
    return {
      x: (event.clientX - box.left) / box.width,
      y: (event.clientY - box.top) / box.height,
    };
  };
  const onKey = (event: KeyboardEvent) => {
    const arrows: Record<string, [number, number]> = {
      ArrowLeft: [-kStep, 0],
      ArrowRight: [kStep, 0],
      ArrowUp: [0, -kStep],
      ArrowDown: [0, kStep],
    };
    const arrow = arrows[event.key];
    if (event.key === 'Enter') props.onDone();
    else if (arrow)
      props.onChange(region ? (event.shiftKey ? resized : moved)(region, ...arrow) : kWhole);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div
      ref={layer}
      class="region-layer"
      role="application"
      aria-label={t('regionKeys')}
      tabIndex={0}
      onKeyDown={onKey}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        from.current = shares(event);
      }}
      onPointerMove={(event) => {
        if (!from.current) return;
        const to = shares(event);
        props.onChange(regionBetween(from.current.x, from.current.y, to.x, to.y));
      }}
      onPointerUp={() => (from.current = null)}
      onPointerCancel={() => (from.current = null)}
    >
      {region && (
        <span
          class="region-box"
          style={{
            left: `${100 * region.left}%`,
            top: `${100 * region.top}%`,
            width: `${100 * (region.right - region.left)}%`,
            height: `${100 * (region.bottom - region.top)}%`,
          }}
        />
      )}
    </div>
  );
}
