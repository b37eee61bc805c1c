import { useEffect, useRef, useState } from 'preact/hooks';

/// A value that components can watch. set() replaces it; nobody changes it in place.
export interface Store<T> {
  get(): T;
  set(next: T | ((now: T) => T)): void;
  subscribe(listener: (value: T) => void): () => void;
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<(value: T) => void>();
  return {
    get: () => value,
    set(next) {
      const replaced = typeof next === 'function' ? (next as (now: T) => T)(value) : next;
      if (Object.is(replaced, value)) return;
      value = replaced;
      for (const listener of [...listeners]) listener(value);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/// The part of the store that `select` picks; the component renders again when that part changes.
export function useStore<T, P = T>(
  store: Store<T>,
  select: (value: T) => P = (v) => v as unknown as P,
): P {
  const picked = select(store.get());
  const [, redraw] = useState(0);
  const last = useRef({ picked, select });
  last.current = { picked, select };
  useEffect(() => {
    const check = (value: T) => {
      if (!Object.is(last.current.select(value), last.current.picked)) redraw((n) => n + 1);
    };
    check(store.get()); // it may have changed between render and effect
    return store.subscribe(check);
  }, [store]);
  return picked;
}

/// A store that survives a reload in localStorage, as JSON under `cardloom.<name>`. `accept` turns
/// what was found there (anything at all) into a valid value.
export function createKeptStore<T>(name: string, accept: (found: unknown) => T): Store<T> {
  const key = `cardloom.${name}`;
  let found: unknown;
  try {
    found = JSON.parse(localStorage.getItem(key) ?? 'null');
  } catch {
    found = null;
  }
  const store = createStore(accept(found));
  store.subscribe((value) => {
    try {
      localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // Storage is full or off: the value lives as long as the page.
    }
  });
  return store;
}
