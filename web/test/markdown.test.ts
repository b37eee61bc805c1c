import assert from 'node:assert/strict';
import { test } from 'node:test';
import { blockHtml, BlockSplitter, escapeHtml } from '../src/markdown/parse.ts';

const html = (text: string) => new BlockSplitter().update(text).map(blockHtml).join('');

const long = `# Title

A paragraph with **bold**, \`code\` and $x_1^2$.

- one
- two

  more of two
- three

Setext
------

| a | b |
| - | -: |
| 1 | 2 |

\`\`\`python
def f():

    return 1
\`\`\`

$$
\\sum_{i=0}^n i
$$

\\[ a = b \\]

> quote

[ref]: https://example.com/ref

See [ref] and \\(y\\). End.
`;

test('growing by any steps gives the blocks of the whole text', () => {
  const whole = html(long);
  for (const size of [1, 2, 3, 5, 11, 40]) {
    const splitter = new BlockSplitter();
    let blocks = splitter.update('');
    for (let at = 0; at < long.length; at += size)
      blocks = splitter.update(long.slice(0, at + size));
    assert.equal(blocks.map(blockHtml).join(''), whole, `steps of ${size}`);
  }
});

test('finished blocks keep their text, so that they are not drawn again', () => {
  const splitter = new BlockSplitter();
  let before: string[] = [];
  for (let at = 1; at <= long.length; ++at) {
    const raws = splitter.update(long.slice(0, at)).map((block) => block.raw);
    const settled = Math.max(0, before.length - 2);
    assert.deepEqual(raws.slice(0, settled), before.slice(0, settled), `after ${at} letters`);
    before = raws;
  }
});

test('another text starts anew', () => {
  const splitter = new BlockSplitter();
  splitter.update('a\n\nb\n\nc\n\nd');
  assert.equal(splitter.update('x').map(blockHtml).join(''), '<p>x</p>\n');
});

test('formulae', () => {
  assert.match(html('$x$'), /class="tex" data-tex="x"><\/span>/);
  assert.match(html('so \\(a_1 < b\\) holds'), /data-tex="a_1 &#60; b"/);
  assert.match(html('$$x$$ inside'), /data-display="1"/);
  assert.match(html('\\[\nx\n\\]'), /<div class="tex" data-tex="x" data-display="1">/);
  assert.match(html('`$x$`'), /<code>\$x\$<\/code>/);
});

test('money is not a formula', () => {
  assert.ok(!html('It costs $5 and $6.').includes('tex'));
  assert.ok(!html('\\$x\\$').includes('class="tex"'));
});

test('foreign tags are shown, not used', () => {
  assert.ok(!/<(?!\/?p>)[a-z]/i.test(html('a <img src=x onerror=alert(1)> b')));
  assert.match(html('<script>x</script>'), /&lt;script>/);
  assert.match(html('H<sub>2</sub>O'), /<sub>2<\/sub>/);
  assert.match(html('<sub onclick=x>2</sub>'), /&lt;sub onclick/);
});

test('a picture becomes a link', () => {
  assert.equal(
    html('![what](https://example.com/?q="x)'),
    '<p><a href="https://example.com/?q=&#34;x">what</a></p>\n',
  );
});

test('escaping', () => {
  assert.equal(escapeHtml(`<a b="c">&'`), '&#60;a b=&#34;c&#34;&#62;&#38;&#39;');
});

test('text that nests without end is shown as it stands', () => {
  for (const text of ['> '.repeat(20_000) + 'deep', `before\n\n${'> '.repeat(20_000)}`]) {
    const blocks = new BlockSplitter().update(text);
    assert.ok(blocks.map(blockHtml).join('').includes('&#62; &#62;'));
    assert.equal(blocks.map((block) => block.raw.trim()).join('\n\n'), text.trim());
  }
});

test('beginnings of formulae do not take time with the square of their number', () => {
  const seconds = (text: string) => {
    const began = performance.now();
    html(text);
    return (performance.now() - began) / 1000;
  };
  for (const text of ['\\[ a\n'.repeat(10_000), '\\( '.repeat(20_000), '$$a '.repeat(10_000)]) {
    assert.ok(seconds(text) < 10, text.slice(0, 10)); // a twentieth of it, on two busy cores
  }
  const formula = `\\sum_{i=0}^n ${'x + '.repeat(200)}1`;
  assert.match(html(`$$\n${formula}\n$$`), /data-tex="[^"]{800}/);
});
