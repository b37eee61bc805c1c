import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asCode, fileNameOf, toMarkdown, type ShareWords } from '../src/share/markdown.ts';
import type { Message } from '../src/chat/tree.ts';

const words: ShareWords = {
  you: 'You',
  model: 'The model',
  systemPrompt: 'System prompt',
  leftOut: (name) => `left out: ${name}`,
  footer: 'End',
};
const message = (role: Message['role'], text: string, more: Partial<Message> = {}): Message => ({
  ...{ id: text, parent: null, role, text, pictures: [], created: 0 },
  ...more,
});
const picture = (id: string, name: string) => ({ id, name, width: 1, height: 1, bytes: 1 });

test('a conversation as Markdown', () => {
  const shared = {
    title: 'A\n title',
    system: ' be brief ',
    messages: [
      message('user', 'what?', { pictures: [picture('p', 'a[1].png'), picture('q', 'b.png')] }),
      message('assistant', '**that**\n'),
      message('user', 'as JSON'),
      message('assistant', '{"a": 1}', { json: true }),
      message('assistant', ' '),
    ],
    pictures: { p: 'data:image/png;base64,AAAA' },
  };
  assert.equal(
    toMarkdown(shared, words),
    `# A title

## System prompt

be brief

## You

![a\\[1\\].png](data:image/png;base64,AAAA)

*left out: b.png*

what?

## The model

**that**

## You

as JSON

## The model

~~~json
{"a": 1}
~~~

---

End
`,
  );
});

test('JSON is fenced by more tildes than it has', () => {
  assert.equal(asCode(''), '');
  assert.equal(asCode('"~~~~"'), '~~~~~json\n"~~~~"\n~~~~~');
});

test('file names keep letters of any language', () => {
  assert.equal(fileNameOf('What is ../this?', '2026-01-02', 'md'), 'what-is-this-2026-01-02.md');
  assert.equal(fileNameOf('图中有什么？', 'd', 'html'), '图中有什么-d.html');
  assert.equal(fileNameOf('???', 'd', 'json'), 'cardloom-d.json');
  assert.equal(fileNameOf('a'.repeat(39) + ' b', 'd', 'md'), `${'a'.repeat(39)}-d.md`);
});
