import DOMPurify from 'dompurify';

const kOwnClass = /^(?:tex|language-[\w+#.-]+)$/;

DOMPurify.addHook('afterSanitizeAttributes', (node) => {
  const names =
    node
      .getAttribute('class')
      ?.split(/\s+/)
      .filter((name) => kOwnClass.test(name)) ?? [];
  if (names.length > 0) node.setAttribute('class', names.join(' '));
  else node.removeAttribute('class');
  if (node.tagName === 'A') {
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  }
});

/// What is left of a model's HTML: text, structure and links to the web; no style, script, form,
/// frame or picture.
export function sanitize(html: string): string {
  return DOMPurify.sanitize(html, {
    ALLOWED_TAGS: [
      ...[
        'a',
        'p',
        'br',
        'hr',
        'h1',
        'h2',
        'h3',
        'h4',
        'h5',
        'h6',
        'strong',
        'em',
        'b',
        'i',
        'u',
        's',
        'del',
      ],
      ...[
        'sub',
        'sup',
        'kbd',
        'mark',
        'code',
        'pre',
        'blockquote',
        'ul',
        'ol',
        'li',
        'span',
        'div',
      ],
      ...['table', 'thead', 'tbody', 'tr', 'th', 'td', 'details', 'summary'],
    ],
    ALLOWED_ATTR: [
      'href',
      'title',
      'class',
      'start',
      'align',
      'data-tex',
      'data-display',
      'target',
      'rel',
    ],
    // Their values are no addresses, so the rule below is not for them.
    ADD_URI_SAFE_ATTR: ['data-tex', 'data-display', 'class', 'start', 'align'],
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  });
}
