import { createStore } from '../base/store.ts';

const kName = 'cardloom.key';

/// The API key and where it is kept: for this tab only, or until it is removed.
export interface KeptKey {
  value: string;
  remember: boolean;
}

function load(): KeptKey {
  try {
    const remembered = localStorage.getItem(kName);
    if (remembered) return { value: remembered, remember: true };
    return { value: sessionStorage.getItem(kName) ?? '', remember: false };
  } catch {
    return { value: '', remember: false };
  }
}

export const keyStore = createStore<KeptKey>(load());

export function readKey(): string {
  return keyStore.get().value;
}

export function writeKey(value: string, remember: boolean): void {
  keyStore.set({ value: value.trim(), remember });
  try {
    localStorage.removeItem(kName);
    sessionStorage.removeItem(kName);
    if (value.trim() !== '')
      (remember ? localStorage : sessionStorage).setItem(kName, value.trim());
  } catch {
    // Storage is off: the key lives as long as the page.
  }
}
