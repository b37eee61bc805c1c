import { createKeptStore, useStore } from '../base/store.ts';
import { useMemo } from 'preact/hooks';
import { en } from './en.ts';
import { zh } from './zh.ts';

export type Key = keyof typeof en;
export type Language = 'en' | 'zh';
export type Values = Record<string, string | number>;

const tables: Record<Language, Record<Key, string>> = { en, zh };

function browserLanguage(): Language {
  const wanted = typeof navigator === 'undefined' ? [] : navigator.languages;
  for (const one of wanted) {
    if (/^zh\b/i.test(one)) return 'zh';
    if (/^en\b/i.test(one)) return 'en';
  }
  return 'en';
}

/// The chosen language; the browser's until somebody chooses.
export const language = createKeptStore<Language>('language', (found) =>
  found === 'en' || found === 'zh' ? found : browserLanguage(),
);

/// The text of `key` with its {names} replaced; numbers as the language writes them.
export function translate(lang: Language, key: Key, values: Values = {}): string {
  return tables[lang][key].replace(/\{(\w+)\}/g, (all, name: string) => {
    const value = values[name];
    if (value === undefined) return all;
    return typeof value === 'number' ? value.toLocaleString(lang) : value;
  });
}

export type Translate = (key: Key, values?: Values) => string;

export function useT(): Translate {
  const lang = useStore(language);
  return useMemo<Translate>(() => (key, values) => translate(lang, key, values), [lang]);
}

/// For what happens outside components.
export const t: Translate = (key, values) => translate(language.get(), key, values);

/// 0.42 s, 13.4 s, 2 min 5 s.
export function duration(milliseconds: number): string {
  const lang = language.get();
  if (milliseconds < 1000) return `${Math.round(milliseconds).toLocaleString(lang)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 100) {
    return `${seconds.toLocaleString(lang, { maximumFractionDigits: seconds < 10 ? 2 : 1 })} s`;
  }
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

export function bytes(count: number): string {
  const lang = language.get();
  if (count < 1024 * 1024)
    return `${Math.max(1, Math.round(count / 1024)).toLocaleString(lang)} KiB`;
  return `${(count / (1024 * 1024)).toLocaleString(lang, { maximumFractionDigits: 1 })} MiB`;
}

export function decimal(value: number, digits = 1): string {
  return value.toLocaleString(language.get(), { maximumFractionDigits: digits });
}
