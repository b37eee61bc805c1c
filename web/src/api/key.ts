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

/// '' if there is none.
export function readKey(): string {
  const { value } = keyStore.get();
  return isSendable(value) ? value : '';
}

/// Whether an HTTP header can hold the key: visible ASCII, no spaces within.
export function isSendable(key: string): boolean {
  return /^[!-~]*$/.test(key.trim());
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
