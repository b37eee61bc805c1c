import type { Message } from '../chat/tree.ts';

/// What is shared of a conversation: the branch that is being read.
export interface Shared {
  title: string;
  system: string;
  messages: Message[];
  pictures: Record<string, string>; // id to data: URL; what is absent is named only
}

/// The words around the texts, in the language of who shares.
export interface ShareWords {
  you: string;
  model: string;
  systemPrompt: string;
  leftOut: (name: string) => string;
  footer: string;
}

/// The conversation as Markdown; what people and the model wrote stands as it is.
export function toMarkdown(shared: Shared, words: ShareWords): string {
  const parts = [`# ${oneLine(shared.title)}`];
  if (shared.system.trim() !== '') parts.push(`## ${words.systemPrompt}`, shared.system.trim());
  for (const message of shared.messages) {
    if (isEmpty(message)) continue;
    parts.push(`## ${message.role === 'user' ? words.you : words.model}`);
    for (const picture of message.pictures) {
      const url = shared.pictures[picture.id];
      const name = oneLine(picture.name).replace(/[[\]\\]/g, '\\$&');
      parts.push(url ? `![${name}](${url})` : `*${words.leftOut(name)}*`);
    }
    if (message.text.trim() !== '')
      parts.push(message.json ? asCode(message.text) : message.text.trim());
  }
  parts.push('---', words.footer);
  return `${parts.join('\n\n')}\n`;
}

/// JSON between fences longer than any in it.
export function asCode(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/~{3,}/g)].map(([run]) => run.length));
  const fence = '~'.repeat(longest + 1);
  return text.trim() === '' ? '' : `${fence}json\n${text.trim()}\n${fence}`;
}

export function isEmpty(message: Message): boolean {
  return message.text.trim() === '' && message.pictures.length === 0;
}

export function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/// A file name out of a title: letters and digits of any language, at most forty.
export function fileNameOf(title: string, day: string, extension: string): string {
  const words = title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '');
  const short = Array.from(words).slice(0, 40).join('').replace(/-+$/, '');
  return `${short || 'cardloom'}-${day}.${extension}`;
}
