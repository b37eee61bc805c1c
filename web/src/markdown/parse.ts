import { Lexer, Marked, type Token, type TokenizerAndRendererExtension, type Tokens } from 'marked';

/// Markdown as the page reads it: GitHub's, with TeX between $ $, $$ $$, \( \) and \[ \].

// The longest formulae: without a bound, text that only begins many of them is read again and again
// to its end.
const kInlineMath = [
  /^\\\((.{1,1000}?)\\\)/s,
  /^\$\$([^$]{1,1000}?)\$\$/s,
  // A dollar is also money: none of "$5 and $6", so no space inside and no digit behind.
  /^\$((?!\s)(?:\\.|[^$\\\n]){1,1000}?)(?<!\s)\$(?!\d)/,
];
const kBlockMath = [
  /^ {0,3}\\\[([\s\S]{1,4000}?)\\\][ \t]*(?:\n+|$)/,
  /^ {0,3}\$\$([\s\S]{1,4000}?)\$\$[ \t]*(?:\n+|$)/,
];
// Only where one ends too: each line said to begin one has the paragraph read anew from there.
const kBlockMathStart =
  /^ {0,3}(?:\$\$[\s\S]{1,4000}?\$\$|\\\[[\s\S]{1,4000}?\\\])[ \t]*(?:\n|$(?!\n))/m;

function mathToken(type: string, rules: RegExp[], source: string): Tokens.Generic | undefined {
  for (const rule of rules) {
    const found = rule.exec(source);
    if (found)
      return { type, raw: found[0], tex: found[1]!.trim(), display: found[0].startsWith('$$') };
  }
  return undefined;
}

const inlineMath: TokenizerAndRendererExtension = {
  name: 'inline_math',
  level: 'inline',
  start: (source) => firstOf(source, /\$|\\\(/),
  tokenizer: (source) => mathToken('inline_math', kInlineMath, source),
  renderer: (token) =>
    `<span class="tex" data-tex="${escapeHtml(String(token['tex']))}"${token['display'] ? ' data-display="1"' : ''}></span>`,
};

const blockMath: TokenizerAndRendererExtension = {
  name: 'block_math',
  level: 'block',
  start: (source) => firstOf(source, kBlockMathStart),
  tokenizer: (source) => mathToken('block_math', kBlockMath, source),
  renderer: (token) =>
    `<div class="tex" data-tex="${escapeHtml(String(token['tex']))}" data-display="1"></div>`,
};

function firstOf(source: string, what: RegExp): number | undefined {
  const at = source.search(what);
  return at < 0 ? undefined : at;
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

/// The tags without attributes that a model may use; any other tag is shown as the text it is.
const kForeignTag =
  /<(?!\/?(?:br|sub|sup|kbd|mark|b|i|u|s|em|strong|code|p|ul|ol|li|table|thead|tbody|tr|th|td|details|summary)\s*\/?>)/gi;

const markdown = new Marked({ gfm: true, async: false });
markdown.use({
  extensions: [inlineMath, blockMath],
  renderer: {
    html: ({ text }) => text.replace(kForeignTag, '&lt;'),
    // Only the content security policy stops a picture's address from carrying data away, so the
    // page does not even try to load one: it becomes a link.
    image({ href, text }) {
      return `<a href="${escapeHtml(href)}">${escapeHtml(text || href)}</a>`;
    },
    checkbox: ({ checked }) => (checked ? '☑ ' : '☐ '),
  },
});

/// One top-level piece of a text: a paragraph, a list, a table, a code block. Without a token it is
/// shown as it stands.
export interface Block {
  raw: string;
  token: Token | null;
}

/// Cuts a growing text into blocks, reading again only what can still change: the last two blocks
/// (a line of dashes turns the paragraph above it into a heading).
export class BlockSplitter {
  private finished: Block[] = [];
  private head = ''; // the text of `finished`
  private links: Record<string, { href: string; title: string }> = {}; // defined in `finished`

  update(source: string): Block[] {
    const text = source.replace(/\r\n?/g, '\n');
    if (!text.startsWith(this.head)) {
      this.finished = [];
      this.head = '';
      this.links = {};
    }
    const rest = text.slice(this.head.length);
    const tokens = this.read(rest);
    if (!tokens) return [...this.finished, { raw: rest, token: null }];
    const open = tokens.filter((token) => token.type !== 'space').slice(-2);
    const firstOpen = open.length < 2 ? 0 : tokens.indexOf(open[0]!);
    const blocks: Block[] = [];
    tokens.forEach((token, i) => {
      if (i < firstOpen) this.head += token.raw;
      // Not from open blocks: half an address would stay, because the first definition holds.
      if (i < firstOpen && token.type === 'def') {
        this.links[String(token['tag'])] ??= {
          href: String(token['href']),
          title: token['title'] as string,
        };
      }
      if (token.type === 'space') return;
      (i < firstOpen ? this.finished : blocks).push({ raw: token.raw, token });
    });
    return [...this.finished, ...blocks];
  }

  /// Null for what nests so deeply that the reader runs out of stack: a model that repeats "> "
  /// must not take the page with it.
  private read(text: string): Token[] | null {
    const lexer = new Lexer(markdown.defaults);
    Object.assign(lexer.tokens.links, this.links);
    try {
      return lexer.lex(text);
    } catch (error) {
      if (error instanceof RangeError) return null;
      throw error;
    }
  }
}

/// HTML of one block, not yet safe: see sanitize().
export function blockHtml({ raw, token }: Block): string {
  try {
    if (token) return markdown.parser([token]);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // too deep to be written, too
  }
  return `<p>${escapeHtml(raw)}</p>`;
}
