import { useEffect, useState } from 'preact/hooks';
import { pictureUrl } from '../chat/library.ts';
import type { PictureRef } from '../chat/tree.ts';
import { bytes, useT } from '../i18n/i18n.ts';
import { IconButton } from './icons.tsx';
import { changeUi } from './state.ts';

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

export function Thumbnails(props: {
  pictures: PictureRef[];
  large?: boolean;
  onRemove?: (id: string) => void;
}) {
  const t = useT();
  if (props.pictures.length === 0) return null;
  return (
    <ul class={props.large ? 'thumbnails large' : 'thumbnails'} aria-label={t('pictures')}>
      {props.pictures.map((picture, index) => (
        <Thumbnail
          key={picture.id}
          picture={picture}
          onOpen={() => changeUi({ viewer: { pictures: props.pictures, index } })}
          {...(props.onRemove ? { onRemove: props.onRemove } : {})}
        />
      ))}
    </ul>
  );
}

function Thumbnail(props: {
  picture: PictureRef;
  onOpen: () => void;
  onRemove?: (id: string) => void;
}) {
  const t = useT();
  const { picture } = props;
  const url = usePictureUrl(picture.id);
  return (
    <li class="thumbnail">
      <button
        type="button"
        class="thumbnail-open"
        aria-label={`${t('zoom')}: ${picture.name}`}
        title={describePicture(picture)}
        onClick={props.onOpen}
      >
        {url && <img src={url} alt={picture.name} width={picture.width} height={picture.height} />}
        {url === null && <span class="thumbnail-gone">{t('pictureGone')}</span>}
      </button>
      {props.onRemove && (
        <IconButton
          icon="close"
          size={14}
          class="thumbnail-remove"
          label={`${t('remove')}: ${picture.name}`}
          onClick={() => props.onRemove?.(picture.id)}
        />
      )}
    </li>
  );
}
