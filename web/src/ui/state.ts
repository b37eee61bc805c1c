import { createKeptStore, createStore } from '../base/store.ts';
import type { PictureRef } from '../chat/tree.ts';

export type Theme = 'system' | 'light' | 'dark';
export type View = 'chat' | 'cards';

/// A question to the person before something is lost.
export interface Confirmation {
  title: string;
  text: string;
  action: string;
  run: () => void;
}

/// Pictures that are looked at; `change` if they can still be changed, `quote` takes a marked region.
export interface Viewed {
  pictures: PictureRef[];
  index: number;
  change?: (pictures: PictureRef[]) => void;
  quote?: (picture: string, quote: string) => void;
}

export interface Ui {
  view: View;
  panel: boolean; // settings
  drawer: boolean; // the sidebar over the page, on narrow screens
  dialog: 'help' | 'key' | 'camera' | null;
  viewer: Viewed | null;
  share: string | null; // the conversation to share
  confirm: Confirmation | null;
}

export const ui = createStore<Ui>({
  view: 'chat',
  panel: false,
  drawer: false,
  dialog: null,
  viewer: null,
  share: null,
  confirm: null,
});

export function changeUi(change: Partial<Ui>): void {
  ui.set((now) => ({ ...now, ...change }));
}

export const theme = createKeptStore<Theme>('theme', (found) =>
  found === 'light' || found === 'dark' ? found : 'system',
);
export const sidebar = createKeptStore<boolean>('sidebar', (found) => found !== false);

export function applyTheme(chosen: Theme): void {
  if (chosen === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = chosen;
}

/// Whether the page is dark now, whoever decided it.
export function isDark(): boolean {
  const chosen = theme.get();
  return (
    chosen === 'dark' || (chosen === 'system' && matchMedia('(prefers-color-scheme: dark)').matches)
  );
}

export const narrow = matchMedia('(max-width: 860px)');

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
}
export const toasts = createStore<Toast[]>([]);
let lastToast = 0;

/// Shows a short message for some seconds.
export function toast(text: string, bad = false): void {
  const id = ++lastToast;
  toasts.set((now) => [...now.slice(-2), { id, text, bad }]);
  setTimeout(() => toasts.set((now) => now.filter((one) => one.id !== id)), bad ? 8000 : 4000);
}

/// What screen readers are told while an answer is being written.
export const announcement = createStore('');
