import hljs from 'highlight.js/lib/common';

const kLongest = 60_000; // letters; beyond it colours are not worth the wait

/// HTML of code with its words marked; null if the language is not among the common ones.
export function codeToHtml(code: string, language: string): string | null {
  if (code.length > kLongest || !hljs.getLanguage(language)) return null;
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
