import katex from 'katex';
import 'katex/dist/katex-swap.min.css';

/// KaTeX and its fonts, loaded when the first formula appears. TeX that cannot be read is shown in
/// red as it stands; \href and the like are off.
export function texToHtml(tex: string, display: boolean): string {
  return katex.renderToString(tex, {
    displayMode: display,
    throwOnError: false,
    trust: false,
    strict: 'ignore',
    maxSize: 20,
    maxExpand: 500,
  });
}
