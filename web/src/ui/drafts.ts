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
}

export const kNewChat = 'new';
const kEmpty: Draft = { text: '', pictures: [] };

/// The drafts by conversation id, or kNewChat.
export const drafts = createStore<Record<string, Draft>>({});

export function draftOf(all: Record<string, Draft>, id: string | null): Draft {
  return all[id ?? kNewChat] ?? kEmpty;
}

export function changeDraft(id: string | null, change: Partial<Draft>): void {
  drafts.set((now) => ({ ...now, [id ?? kNewChat]: { ...draftOf(now, id), ...change } }));
}

export function clearDraft(id: string | null): void {
  for (const picture of draftOf(drafts.get(), id).pictures) sources.delete(picture.id);
  drafts.set((now) => ({ ...now, [id ?? kNewChat]: kEmpty }));
}

/// What the pictures of drafts were made of, so that they can have more detail again.
const sources = new Map<string, File>();

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
    sources.set(id, file);
    const chosen = detail === 'original' ? {} : { detail };
    return { id, name, width, height, bytes: blob.size, ...chosen };
  } catch (error) {
    const large = error instanceof PictureError && error.reason === 'tooLarge';
    const size = bytes(limits.max_image_bytes ?? 0);
    toast(t(large ? 'pictureTooLarge' : 'pictureUnreadable', { name: file.name, size }), true);
    return null;
  }
}

/// The picture with another detail: from its file, or from what is stored if that is all there is.
export async function withDetail(picture: PictureRef, detail: Detail): Promise<PictureRef> {
  let file = sources.get(picture.id);
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

export async function addFiles(id: string | null, files: Iterable<File>): Promise<void> {
  const already = draftOf(drafts.get(), id).pictures.length + picturesAbove(id);
  const taken = await takePictures(files, already);
  if (taken.length > 0)
    changeDraft(id, { pictures: [...draftOf(drafts.get(), id).pictures, ...taken] });
}

/// Pictures in what goes to the server before a new question: of the branch being read, or of what
/// stands above the message `below`.
export function picturesAbove(id: string | null, below?: string | null): number {
  const conversation = id === null ? undefined : conversationOf(id);
  if (!conversation || below === null) return 0;
  const above = below === undefined ? pathOf(conversation) : ancestorsOf(conversation, below);
  return above.reduce((sum, message) => sum + message.pictures.length, 0);
}

/// The picture files that were pasted or dropped.
export function picturesIn(transfer: DataTransfer | null): File[] {
  return [...(transfer?.files ?? [])].filter((file) => file.type.startsWith('image/'));
}
