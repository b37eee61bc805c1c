import { createStore } from '../base/store.ts';
import { server } from '../api/status.ts';
import { addPicture, conversationOf, storedPicture } from '../chat/library.ts';
import { PictureError, preparePicture } from '../chat/pictures.ts';
import { detailSides, settings, type Detail } from '../chat/settings.ts';
import { ancestorsOf, pathOf, type PictureRef } from '../chat/tree.ts';
import { bytes, t } from '../i18n/i18n.ts';
import { toast } from './state.ts';

/// What stands in the composer of one conversation.
export interface Draft {
  text: string;
  pictures: PictureRef[];
  coming: number; // pictures that are being read; the question waits for them
}

export const kNewChat = 'new';
const kEmpty: Draft = { text: '', pictures: [], coming: 0 };

/// The drafts by conversation id, or kNewChat.
export const drafts = createStore<Record<string, Draft>>({});

export function draftOf(all: Record<string, Draft>, id: string | null): Draft {
  return all[id ?? kNewChat] ?? kEmpty;
}

export function changeDraft(id: string | null, change: Partial<Draft>): void {
  drafts.set((now) => ({ ...now, [id ?? kNewChat]: { ...draftOf(now, id), ...change } }));
}

export function clearDraft(id: string | null): void {
  drafts.set((now) => ({ ...now, [id ?? kNewChat]: kEmpty }));
}

/// What the pictures of drafts were made of, so that they can have more detail again.
const sources = new WeakMap<PictureRef, File>();

/// Reads, checks and stores pictures; what cannot be used is said and left out.
export async function takePictures(files: Iterable<File>, already: number): Promise<PictureRef[]> {
  const most = server.get().props?.limits?.max_images ?? 16;
  const taken: PictureRef[] = [];
  for (const file of files) {
    if (already + taken.length >= most) {
      toast(t('tooManyPictures', { n: most }), true);
      break;
    }
    const picture = await takeOne(file, settings.get().detail);
    if (picture) taken.push(picture);
  }
  return taken;
}

async function takeOne(file: File, detail: Detail): Promise<PictureRef | null> {
  const limits = server.get().props?.limits ?? {};
  try {
    const prepared = await preparePicture(file, {
      maxBytes: limits.max_image_bytes ?? 20 * 1024 * 1024,
      maxPixels: limits.max_image_pixels ?? 64 * 1024 * 1024,
      maxSide: detailSides[detail],
    });
    const { name, width, height, blob } = prepared;
    const id = await addPicture(blob);
    const chosen = detail === 'original' ? {} : { detail };
    const picture: PictureRef = { id, name, width, height, bytes: blob.size, ...chosen };
    sources.set(picture, file);
    return picture;
  } catch (error) {
    const large = error instanceof PictureError && error.reason === 'tooLarge';
    const size = bytes(limits.max_image_bytes ?? 0);
    toast(t(large ? 'pictureTooLarge' : 'pictureUnreadable', { name: file.name, size }), true);
    return null;
  }
}

/// The picture with another detail: from its file, or from what is stored if that is all there is.
export async function withDetail(picture: PictureRef, detail: Detail): Promise<PictureRef> {
  let file = sources.get(picture);
  if (!file) {
    const blob = await storedPicture(picture.id);
    if (!blob) return picture;
    file = new File([blob], picture.name, { type: blob.type });
  }
  return (await takeOne(file, detail)) ?? picture;
}

/// The place of a picture among all that the next question carries, counted from 1.
export function pictureNumber(id: string | null, picture: string): { n: number; all: number } {
  const conversation = id === null ? undefined : conversationOf(id);
  const above = conversation ? pathOf(conversation).flatMap((message) => message.pictures) : [];
  const ids = [...above, ...draftOf(drafts.get(), id).pictures].map((one) => one.id);
  return { n: ids.indexOf(picture) + 1, all: ids.length };
}

/// Puts a marked region of a picture into the question, which gets the focus.
export function quoteInDraft(id: string | null, picture: string, quote: string): void {
  const { text } = draftOf(drafts.get(), id);
  const space = text === '' || /\s$/.test(text) ? '' : ' ';
  changeDraft(id, { text: `${text}${space}${ofPicture(id, picture, quote)} ` });
  requestAnimationFrame(() => document.querySelector<HTMLElement>('#question')?.focus());
}

/// The quote, with the picture's number where there are several.
export function ofPicture(id: string | null, picture: string, quote: string): string {
  const { n, all } = pictureNumber(id, picture);
  return all > 1 && n > 0 ? t('ofPicture', { n, quote }) : quote;
}

export async function addFiles(id: string | null, files: File[]): Promise<void> {
  const change = (what: (now: Draft) => Partial<Draft>) =>
    changeDraft(id, what(draftOf(drafts.get(), id)));
  const before = draftOf(drafts.get(), id);
  const already = before.pictures.length + before.coming + picturesAbove(id);
  change((now) => ({ coming: now.coming + files.length }));
  try {
    const taken = await takePictures(files, already);
    change((now) => ({ pictures: [...now.pictures, ...taken] }));
  } finally {
    change((now) => ({ coming: now.coming - files.length }));
  }
}

/// Pictures in what goes to the server before a new question: of the branch being read, or of what
/// stands above the message `below`.
export function picturesAbove(id: string | null, below?: string | null): number {
  const conversation = id === null ? undefined : conversationOf(id);
  if (!conversation || below === null) return 0;
  const above = below === undefined ? pathOf(conversation) : ancestorsOf(conversation, below);
  return above.reduce((sum, message) => sum + message.pictures.length, 0);
}

/// The picture files that were dropped; of others it is said that they are none.
export function picturesIn(transfer: DataTransfer | null): File[] {
  const files = [...(transfer?.files ?? [])];
  const pictures = files.filter(isPicture);
  const other = files.find((file) => !isPicture(file));
  if (other) toast(t('pictureUnreadable', { name: other.name }), true);
  return pictures;
}

/// The picture files that were pasted. Office programs add a picture of the text that is meant.
export function pastedPictures(transfer: DataTransfer | null): File[] {
  const isText = transfer?.types.includes('text/html') && transfer.getData('text/plain') !== '';
  return isText ? [] : [...(transfer?.files ?? [])].filter(isPicture);
}

function isPicture(file: File): boolean {
  return file.type.startsWith('image/');
}
