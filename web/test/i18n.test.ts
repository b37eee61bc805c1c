import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { en } from '../src/i18n/en.ts';
import { zh } from '../src/i18n/zh.ts';

const source = fileURLToPath(new URL('../src/', import.meta.url));
const placeholders = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

test('both languages have every text, with the same values in it', () => {
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    assert.notEqual(en[key].trim(), '', key);
    assert.notEqual(zh[key].trim(), '', key);
    assert.deepEqual(placeholders(zh[key]), placeholders(en[key]), key);
  }
});

test('Chinese texts are Chinese, with Chinese punctuation', () => {
  const same = Object.keys(en).filter((key) => (zh as any)[key] === (en as any)[key]);
  assert.deepEqual(same.sort(), [
    'formatJson',
    'min_p',
    'shareJson',
    'shareMarkdown',
    'top_k',
    'top_p',
    'unit_thousandths',
  ]);
  for (const [key, text] of Object.entries(zh)) {
    assert.ok(!/[一-鿿] ?[,:;?!]/.test(text), `${key}: ${text}`);
  }
});

test('every text is used', () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
    (name) => /\.tsx?$/.test(name) && !name.startsWith('i18n'),
  );
  const code = files.map((name) => readFileSync(join(source, name), 'utf8')).join('\n');
  const unused = Object.keys(en).filter(
    (key) => !code.includes(`'${key}'`) && !/_hint$|^(?:detail|unit)_/.test(key),
  );
  assert.deepEqual(unused, []);
});
