import { useEffect, useState } from 'preact/hooks';
import { pictureUrl } from '../chat/library.ts';
import { detailSides } from '../chat/settings.ts';
import type { PictureRef } from '../chat/tree.ts';
import { bytes, useT } from '../i18n/i18n.ts';
import { IconButton } from './icons.tsx';
import { announcement, changeUi, type Viewed } from './state.ts';

/// The stored picture's address; undefined while it is being read, null if it is gone.
export function usePictureUrl(id: string): string | null | undefined {
  const [url, setUrl] = useState<string | null | undefined>(undefined);
  useEffect(() => {
    let wanted = true;
    void pictureUrl(id).then((found) => wanted && setUrl(found));
    return () => {
      wanted = false;
    };
  }, [id]);
  return url;
}

export function describePicture(picture: PictureRef): string {
  return `${picture.name}, ${picture.width} × ${picture.height}, ${bytes(picture.bytes)}`;
}

/// The list with its member `from` at the place `to`.
export function movedWithin<T>(list: readonly T[], from: number, to: number): T[] {
  const rest = list.filter((_, i) => i !== from);
  return [...rest.slice(0, to), list[from]!, ...rest.slice(to)];
}

const kMostComing = 16; // places held for pictures that are being read
const kDragged = 'application/x-cardloom-picture';

/// Pictures in a row. With `onChange` they can be removed, and moved by dragging or Alt and arrows;
/// `numbered` is how many stand before them, where numbers help to speak of them.
export function Thumbnails(props: {
  pictures: PictureRef[];
  large?: boolean;
  numbered?: number;
  coming?: number; // that are being read
  onChange?: (pictures: PictureRef[]) => void;
  onQuote?: Viewed['quote'];
}) {
  const t = useT();
  const { pictures, onChange } = props;
  const [over, setOver] = useState<number | null>(null);
  const coming = props.coming ?? 0;
  if (pictures.length + coming === 0) return null;
  const move = (from: number, to: number) => {
    if (!onChange || from === to || to < 0 || to >= pictures.length) return;
    const id = pictures[from]!.id;
    onChange(movedWithin(pictures, from, to));
    announcement.set(t('movedTo', { n: to + 1, all: pictures.length }));
    requestAnimationFrame(() =>
      document.querySelector<HTMLElement>(`[data-picture="${id}"] .thumbnail-open`)?.focus(),
    );
  };
  const first = (props.numbered ?? 0) + 1;
  return (
    <ul class={props.large ? 'thumbnails large' : 'thumbnails'} aria-label={t('pictures')}>
      {pictures.map((picture, index) => (
        <li
          key={picture.id}
          data-picture={picture.id}
          class={over === index ? 'thumbnail over' : 'thumbnail'}
          draggable={onChange !== undefined && pictures.length > 1}
          onDragStart={(event) => event.dataTransfer?.setData(kDragged, String(index))}
          onDragOver={(event) => {
            if (!onChange || !event.dataTransfer?.types.includes(kDragged)) return;
            event.preventDefault();
            setOver(index);
          }}
          onDragLeave={() => setOver(null)}
          onDragEnd={() => setOver(null)}
          onDrop={(event) => {
            setOver(null);
            const from = event.dataTransfer?.getData(kDragged) ?? '';
            if (from === '') return;
            event.preventDefault();
            move(Number(from), index);
          }}
          onKeyDown={(event) => {
            if (!event.altKey || !onChange) return;
            if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
            event.preventDefault(); // Alt and an arrow leave the page otherwise
            move(index, index + (event.key === 'ArrowLeft' ? -1 : 1));
          }}
        >
          <Thumbnail
            picture={picture}
            {...(props.numbered !== undefined && (pictures.length > 1 || first > 1)
              ? { number: first + index }
              : {})}
            movable={onChange !== undefined && pictures.length > 1}
            onOpen={() =>
              changeUi({
                viewer: {
                  pictures,
                  index,
                  ...(onChange ? { change: onChange } : {}),
                  ...(props.onQuote ? { quote: props.onQuote } : {}),
                },
              })
            }
          />
          {onChange && (
            <IconButton
              icon="close"
              size={14}
              class="thumbnail-remove"
              label={`${t('remove')}: ${picture.name}`}
              onClick={() => onChange(pictures.filter((one) => one.id !== picture.id))}
            />
          )}
        </li>
      ))}
      {Array.from({ length: Math.min(coming, kMostComing) }, (_, i) => (
        <li key={`coming-${i}`} class="thumbnail-coming">
          <span class="visually-hidden">{t('readingPicture')}</span>
        </li>
      ))}
    </ul>
  );
}

function Thumbnail(props: {
  picture: PictureRef;
  number?: number;
  movable: boolean;
  onOpen: () => void;
}) {
  const t = useT();
  const { picture, number } = props;
  const url = usePictureUrl(picture.id);
  const title = describePicture(picture);
  return (
    <button
      type="button"
      class="thumbnail-open"
      aria-label={`${t('zoom')}: ${picture.name}`}
      title={props.movable ? `${title}\n${t('moveHint')}` : title}
      onClick={props.onOpen}
    >
      {url && (
        <img
          src={url}
          alt={picture.name}
          width={picture.width}
          height={picture.height}
          draggable={false}
        />
      )}
      {url === null && <span class="thumbnail-gone">{t('pictureGone')}</span>}
      {number !== undefined && (
        <span class="thumbnail-number" aria-label={t('pictureNumber', { n: number })}>
          {number}
        </span>
      )}
      {picture.detail && <span class="thumbnail-detail">{detailSides[picture.detail]}</span>}
    </button>
  );
}
