// ajv judges what our grammars let a model write; xgrammar, another engine of the same kind, is
// asked whether it would have let the same through.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Ajv2020 from 'ajv/dist/2020.js';

const here = dirname(fileURLToPath(import.meta.url));

// The package is a script that calls itself a module: node can load it only by hand.
function loadXgrammar() {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@mlc-ai/web-xgrammar');
  const exports = {};
  const load = new Function('exports', 'module', 'require', '__filename', '__dirname', readFileSync(path, 'utf8'));
  load(exports, { exports }, require, path, dirname(path));
  return exports;
}
const { Grammar, Testings } = loadXgrammar();
const program = process.env.GUIDED_SAMPLES ?? join(here, '../../build/dev/bin/guided_samples');
const NUM_SAMPLES = 120;

function lines(schemaPath, count, input) {
  const out = execFileSync(program, [schemaPath, String(count)], { input, maxBuffer: 1 << 28 });
  return out.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line));
}

// Instances by hand, written compactly: [schema, valid, not valid].
const INSTANCES = {
  'person.json': [[{ name: 'Ann', age: 30 }, { name: 'Ann', age: 0, email: 'a@b.org', tags: ['x'], role: null }],
    [{ name: '', age: 30 }, { name: 'Ann', age: 131 }, { age: 3 }, { name: 'Ann', age: 1, x: 1 }]],
  'tree.json': [[{ value: 1, children: [{ value: null, children: [] }] }], [{ value: 1 }, { value: 'a', children: [] }]],
  'union.json': [[[null, { kind: 'circle', r: 0.5 }, { kind: 'box', w: 1, h: -2 }]],
    [[], [{ kind: 'circle', r: 0 }], [{ kind: 'circle', w: 1, h: 1 }], [{ kind: 'box', w: 1.5, h: 2 }]]],
  'map.json': [[{}, { a: true, 'b c': -0.25 }], [{ a: 2 }, { a: null }]],
  'tuple.json': [[['abc', -9], ['b', 9, true, false]], [['a', 1], ['b', 10], ['b', 1, 2], ['b']]],
  'merged.json': [[{ id: 5 }, { id: 6, note: 'no' }], [{ id: 4 }, { note: 'ab' }, { id: 5, note: 'x' }]],
  'anything.json': [[{}, { a: [1, { b: null }], c: 'd' }], [[], 1, null]],
  'text.json': [['abc', '你好吗', '😀😀😀'], ['ab', 'abcdefghijklm', 1]],
  'tool.json': [[{ city: 'Bern', unit: 'celsius', at: null }, { city: 'B', unit: 'celsius', days: 14, at: { lat: -90, lon: 12.5 } }],
    [{ city: 'B', unit: 'kelvin', at: null }, { city: 'B', unit: 'celsius', days: 15, at: null }, { city: 'B', unit: 'celsius', at: { lat: 91, lon: 0 } }]],
};

// Where xgrammar 0.1.27 is narrower than JSON Schema (ajv takes these all): its strings of bounded
// length know no escapes, its bounded numbers no -0.x and 6 digits behind the point, its patterns
// are the whole string.
const XGRAMMAR_CANNOT = {
  'map.json': /-0\.|\.\d{7}/,
  'person.json': /\\/,
  'text.json': /\\/,
  'tool.json': /\\|-0\.|\.\d{7}/,
  'tuple.json': /./s,
  'union.json': /\.\d{7}/,
};

for (const name of readdirSync(join(here, 'schemas')).filter((file) => file.endsWith('.json'))) {
  const path = join(here, 'schemas', name);
  const text = readFileSync(path, 'utf8');
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(text));

  test(`${name}: every sample is an instance`, async () => {
    const samples = lines(path, NUM_SAMPLES);
    assert.ok(samples.length >= NUM_SAMPLES / 2, `only ${samples.length} samples ended`);
    for (const sample of samples) {
      assert.ok(validate(JSON.parse(sample)), `${sample}: ${JSON.stringify(validate.errors)}`);
    }
  });

  test(`${name}: instances by hand, as ajv says`, () => {
    const [valid, invalid] = INSTANCES[name];
    for (const value of valid) assert.ok(validate(value), JSON.stringify(value));
    for (const value of invalid) assert.ok(!validate(value), JSON.stringify(value));
    const all = [...valid, ...invalid].map((value) => JSON.stringify(JSON.stringify(value)));
    const taken = lines(path, 0, all.join('\n') + '\n');
    assert.deepEqual(taken, [...valid.map(() => true), ...invalid.map(() => false)]);
  });

  test(`${name}: xgrammar lets the same samples through`, async () => {
    const grammar = await Grammar.fromJSONSchema(text, true, undefined, undefined, false);
    const samples = lines(path, NUM_SAMPLES).filter((text) => !XGRAMMAR_CANNOT[name]?.test(text));
    const refused = [];
    for (const sample of samples) {
      const accepted = await Testings.isGrammarAcceptString(grammar, sample.trimStart());  // it takes no space at first
      if (!accepted) refused.push(sample);
    }
    assert.deepEqual(refused, []);
  });
}
