/// A box on a picture, in shares of its width and height: 0 <= left < right <= 1.
export interface Region {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/// thousandths: of width and height, 0 to 999, as models that point at things write boxes.
export type RegionUnit = 'thousandths' | 'pixels';

const kLeast = 0.005; // the smallest side

/// The box between two corners, whichever they are, within the picture.
export function regionBetween(x0: number, y0: number, x1: number, y1: number): Region {
  const [left, right] = side(x0, x1);
  const [top, bottom] = side(y0, y1);
  return { left, top, right, bottom };
}

function side(a: number, b: number): [number, number] {
  const low = Math.min(1 - kLeast, Math.max(0, Math.min(a, b)));
  return [low, Math.min(1, Math.max(low + kLeast, Math.max(a, b)))];
}

/// Moved as a whole; it stops at the borders and keeps its size.
export function moved(region: Region, dx: number, dy: number): Region {
  const x = Math.min(1 - region.right, Math.max(-region.left, dx));
  const y = Math.min(1 - region.bottom, Math.max(-region.top, dy));
  return {
    left: region.left + x,
    top: region.top + y,
    right: region.right + x,
    bottom: region.bottom + y,
  };
}

/// With its right and lower border moved.
export function resized(region: Region, dx: number, dy: number): Region {
  return regionBetween(
    region.left,
    region.top,
    Math.max(region.left, region.right + dx),
    Math.max(region.top, region.bottom + dy),
  );
}

/// The four numbers of a box: left, top, right, bottom.
export function cornersOf(
  region: Region,
  picture: { width: number; height: number },
  unit: RegionUnit,
): [number, number, number, number] {
  const [width, height] = unit === 'pixels' ? [picture.width, picture.height] : [1000, 1000];
  const at = (share: number, size: number) => Math.min(size - 1, Math.round(share * size));
  return [
    at(region.left, width),
    at(region.top, height),
    at(region.right, width),
    at(region.bottom, height),
  ];
}

/// As it stands in a question. Thousandths have three digits and double brackets, as in the data that
/// models learn it from; pixels say that they are pixels.
export function quoteOf(corners: readonly number[], unit: RegionUnit): string {
  if (unit === 'pixels') return `[${corners.join(', ')}] px`;
  return `[[${corners.map((corner) => String(corner).padStart(3, '0')).join(',')}]]`;
}
