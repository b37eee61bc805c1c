import katex from 'katex';
import { escapeHtml } from './parse.ts';
import 'katex/dist/katex-swap.min.css';

const kMostKept = 500;
const kept = new Map<string, string>();

/// KaTeX and its fonts, loaded when the first formula appears. TeX that cannot be read is shown in
/// red as it stands; \href and the like are off. The block that an answer is growing in is drawn
/// again each frame, hence the store.
export function texToHtml(tex: string, display: boolean): string {
  const key = `${display ? 'd' : 'i'}${tex}`;
  let html = kept.get(key);
  if (html === undefined) {
    if (kept.size >= kMostKept) kept.clear();
    html = render(tex, display, 'htmlAndMathml');
    kept.set(key, html);
  }
  return html;
}

/// The formula as MathML alone, which browsers draw without KaTeX's fonts.
export function texToMathml(tex: string, display: boolean): string {
  return render(tex, display, 'mathml');
}

function render(tex: string, display: boolean, output: 'htmlAndMathml' | 'mathml'): string {
  try {
    return katex.renderToString(tex, {
      output,
      displayMode: display,
      throwOnError: false,
      trust: false,
      strict: 'ignore',
      maxSize: 20,
      maxExpand: 500,
    });
  } catch {
    return escapeHtml(tex); // nested too deeply
  }
}
