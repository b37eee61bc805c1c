import { createStore } from '../base/store.ts';
import { server } from '../api/status.ts';
import { addPicture, conversationOf } from '../chat/library.ts';
import { kShrunkSide, PictureError, preparePicture } from '../chat/pictures.ts';
import { settings } from '../chat/settings.ts';
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
  drafts.set((now) => ({ ...now, [id ?? kNewChat]: kEmpty }));
}

/// Reads, checks and stores pictures; what cannot be used is said and left out.
export async function takePictures(files: Iterable<File>, already: number): Promise<PictureRef[]> {
  const limits = server.get().props?.limits ?? {};
  const most = limits.max_images ?? 16;
  const taken: PictureRef[] = [];
  for (const file of files) {
    if (already + taken.length >= most) {
      toast(t('tooManyPictures', { n: most }), true);
      break;
    }
    try {
      const prepared = await preparePicture(file, {
        maxBytes: limits.max_image_bytes ?? 20 * 1024 * 1024,
        maxPixels: limits.max_image_pixels ?? 64 * 1024 * 1024,
        maxSide: settings.get().shrink ? kShrunkSide : Number.POSITIVE_INFINITY,
      });
      const { name, width, height, blob } = prepared;
      taken.push({ id: await addPicture(blob), name, width, height, bytes: blob.size });
    } catch (error) {
      const large = error instanceof PictureError && error.reason === 'tooLarge';
      const size = bytes(limits.max_image_bytes ?? 0);
      toast(t(large ? 'pictureTooLarge' : 'pictureUnreadable', { name: file.name, size }), true);
    }
  }
  return taken;
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
