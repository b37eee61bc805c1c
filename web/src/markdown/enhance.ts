import { copyText } from '../ui/clipboard.ts';

type Katex = typeof import('./katex.ts');
let katex: Katex | null = null;
let katexComing: Promise<Katex> | null = null;

export interface EnhanceLabels {
  copy: string;
  copied: string;
  code: string;
}

/// Turns what the sanitised HTML only marks into what a person reads: formulae typeset, code with a
/// header and, once its block is `finished`, with colours; wide tables in a box that scrolls.
export function enhance(root: HTMLElement, finished: boolean, labels: EnhanceLabels): void {
  typeset(root);
  for (const pre of root.querySelectorAll('pre')) dressCode(pre, finished, labels);
  for (const table of root.querySelectorAll('table')) {
    const box = document.createElement('div');
    box.className = 'table-box';
    box.tabIndex = 0;
    table.replaceWith(box);
    box.append(table);
  }
}

function typeset(root: HTMLElement): void {
  const formulae = root.querySelectorAll<HTMLElement>('.tex');
  if (formulae.length === 0) return;
  if (katex) {
    for (const formula of formulae) typesetOne(katex, formula);
    return;
  }
  for (const formula of formulae) formula.textContent = formula.dataset['tex'] ?? '';
  katexComing ??= import('./katex.ts');
  katexComing.then(
    (loaded) => {
      katex = loaded;
      for (const formula of root.querySelectorAll<HTMLElement>('.tex')) typesetOne(loaded, formula);
    },
    () => (katexComing = null), // the server is gone: the formulae stay as TeX
  );
}

function typesetOne(loaded: Katex, formula: HTMLElement): void {
  formula.innerHTML = loaded.texToHtml(
    formula.dataset['tex'] ?? '',
    formula.dataset['display'] === '1',
  );
}

function dressCode(pre: HTMLPreElement, finished: boolean, labels: EnhanceLabels): void {
  const code = pre.querySelector('code');
  if (!code) return;
  const text = code.textContent ?? '';
  const language = /language-([\w+#.-]+)/.exec(code.className)?.[1] ?? '';
  const header = document.createElement('div');
  header.className = 'code-header';
  const name = document.createElement('span');
  name.textContent = language || labels.code;
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = labels.copy;
  button.onclick = async () => {
    await copyText(text.replace(/\n$/, ''));
    button.textContent = labels.copied;
    setTimeout(() => (button.textContent = labels.copy), 1500);
  };
  header.append(name, button);
  const box = document.createElement('div');
  box.className = 'code-box';
  pre.tabIndex = 0; // so that the keyboard can scroll it
  pre.replaceWith(box);
  box.append(header, pre);
  if (!finished || language === '') return;
  import('./highlight.ts').then(
    ({ codeToHtml }) => {
      const html = codeToHtml(text, language);
      if (html !== null) code.innerHTML = html;
    },
    () => undefined, // the server is gone: without colours then
  );
}
