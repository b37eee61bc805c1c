import type { Message } from '../chat/tree.ts';
import { codeToHtml } from '../markdown/highlight.ts';
import { texToMathml } from '../markdown/katex.ts';
import { BlockSplitter, blockHtml, escapeHtml } from '../markdown/parse.ts';
import { sanitize } from '../markdown/sanitize.ts';
import { asCode, isEmpty, oneLine, type Shared, type ShareWords } from './markdown.ts';
import style from './shared.css?raw';

/// The conversation as one HTML file that needs nothing else: pictures in it, formulae as MathML, which
/// browsers draw themselves. Its own policy lets it neither run nor load anything.
export function toHtml(shared: Shared, words: ShareWords, lang: string): string {
  const title = escapeHtml(oneLine(shared.title));
  const system =
    shared.system.trim() === ''
      ? ''
      : `<details><summary>${escapeHtml(words.systemPrompt)}</summary><p class="text">${escapeHtml(shared.system.trim())}</p></details>\n`;
  const messages = shared.messages
    .filter((message) => !isEmpty(message))
    .map((message) => messageHtml(message, shared, words))
    .join('\n');
  return `<!doctype html>
<html lang="${escapeHtml(lang)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>
${style}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${system}${messages}
</main>
<footer>${escapeHtml(words.footer)}</footer>
</body>
</html>
`;
}

function messageHtml(message: Message, shared: Shared, words: ShareWords): string {
  const isQuestion = message.role === 'user';
  const pictures = message.pictures.map((picture) => {
    const url = shared.pictures[picture.id];
    const name = escapeHtml(picture.name);
    // Nothing but what a canvas or a picture file gave, whatever the database holds.
    if (!url || !/^data:image\/(?:png|jpeg|webp);base64,[A-Za-z0-9+/=]*$/.test(url))
      return `<p class="left-out">${escapeHtml(words.leftOut(picture.name))}</p>`;
    return `<img src="${url}" alt="${name}" width="${Number(picture.width)}" height="${Number(picture.height)}">`;
  });
  const row = pictures.length > 0 ? `<div class="pictures">${pictures.join('')}</div>` : '';
  const text = isQuestion
    ? message.text === ''
      ? ''
      : `<p class="text">${escapeHtml(message.text)}</p>`
    : answerHtml(message.json ? asCode(message.text) : message.text);
  const who = escapeHtml(isQuestion ? words.you : words.model);
  return `<article class="${isQuestion ? 'question' : 'answer'}"><h2 class="who">${who}</h2>${row}${text}</article>`;
}

function answerHtml(text: string): string {
  const root = document.createElement('div');
  for (const block of new BlockSplitter().update(text)) {
    const part = document.createElement('div');
    part.innerHTML = sanitize(blockHtml(block));
    root.append(...part.childNodes);
  }
  for (const formula of root.querySelectorAll<HTMLElement>('.tex')) {
    formula.innerHTML = texToMathml(
      formula.dataset['tex'] ?? '',
      formula.dataset['display'] === '1',
    );
    delete formula.dataset['tex'];
  }
  for (const code of root.querySelectorAll('pre code')) {
    const language = /language-([\w+#.-]+)/.exec(code.className)?.[1] ?? '';
    const html = language === '' ? null : codeToHtml(code.textContent ?? '', language);
    if (html !== null) code.innerHTML = html;
  }
  return root.innerHTML;
}
