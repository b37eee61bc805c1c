import { exifOrientation } from './exif.ts';

/// A picture as it will be sent.
export interface PreparedPicture {
  name: string;
  blob: Blob;
  width: number;
  height: number;
}

export interface PictureLimits {
  maxBytes: number;
  maxPixels: number;
  maxSide: number; // of the chosen detail; Infinity for the original
}

/// Thrown when a file is no picture or no way was found below the server's limits.
export class PictureError extends Error {
  constructor(readonly reason: 'unreadable' | 'tooLarge') {
    super(reason);
  }
}

const kServerTypes = new Set(['image/png', 'image/jpeg', 'image/webp']);

/// The file itself where the server can read it and it keeps the limits; otherwise drawn again:
/// turned upright (the server ignores EXIF), shrunk, or from a format only the browser knows.
export async function preparePicture(file: File, limits: PictureLimits): Promise<PreparedPicture> {
  const source = await decode(file);
  const { width, height } = source;
  const name = file.name || 'picture';
  const scale = Math.min(
    1,
    limits.maxSide / Math.max(width, height),
    Math.sqrt(limits.maxPixels / (width * height)),
  );
  const turned =
    file.type === 'image/jpeg' &&
    exifOrientation(new Uint8Array(await file.slice(0, 1 << 18).arrayBuffer())) !== 1;
  if (kServerTypes.has(file.type) && !turned && scale === 1 && file.size <= limits.maxBytes) {
    return { name, blob: file.slice(0, file.size, file.type), width, height };
  }
  const type = file.type === 'image/jpeg' ? 'image/jpeg' : 'image/png';
  for (let factor = scale, tries = 0; tries < 6; factor *= 0.75, ++tries) {
    const drawn = await draw(
      source,
      Math.max(1, Math.floor(width * factor)),
      Math.max(1, Math.floor(height * factor)),
      type,
    );
    if (drawn.blob.size <= limits.maxBytes) return { name, ...drawn };
  }
  throw new PictureError('tooLarge');
}

type Drawable = { image: CanvasImageSource; width: number; height: number };

async function decode(file: File): Promise<Drawable> {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode(); // turns the picture as EXIF says, and knows SVG
    if (image.naturalWidth === 0) throw new PictureError('unreadable');
    return { image, width: image.naturalWidth, height: image.naturalHeight };
  } catch {
    throw new PictureError('unreadable');
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function draw(
  source: Drawable,
  width: number,
  height: number,
  type: string,
): Promise<Omit<PreparedPicture, 'name'>> {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) throw new PictureError('unreadable');
  context.imageSmoothingQuality = 'high';
  context.drawImage(source.image, 0, 0, width, height);
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, 0.95));
  if (!blob) throw new PictureError('unreadable');
  return { blob, width, height };
}
