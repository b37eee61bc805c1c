import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkAnswer } from '../src/chat/schema.ts';

const check = (value: unknown, schema: unknown) =>
  checkAnswer(JSON.stringify(value), JSON.stringify(schema));

test('what is no JSON says so', () => {
  assert.equal(checkAnswer('{"a": 1').kind, 'not_json');
  assert.equal(checkAnswer('').kind, 'not_json');
  assert.deepEqual(checkAnswer('{"a": 1}'), { kind: 'valid' });
  assert.deepEqual(checkAnswer('{"a": 1}', '{"type": "object"'), { kind: 'valid' });
});

test('violations name the place and the rule', () => {
  const schema = {
    type: 'object',
    properties: {
      objects: {
        type: 'array',
        items: {
          type: 'object',
          properties: { 'a/b': { type: 'string' }, count: { type: 'integer', minimum: 1 } },
          required: ['count'],
          additionalProperties: false,
        },
      },
    },
    required: ['objects'],
  };
  assert.deepEqual(check({ objects: [{ 'a/b': 'x', count: 2 }] }, schema), { kind: 'valid' });
  assert.deepEqual(check({ objects: [{ 'a/b': 3, count: 0 }, { extra: 1 }] }, schema), {
    kind: 'invalid',
    violations: [
      { path: '/objects/0/a~1b', rule: 'type: "string"' },
      { path: '/objects/0/count', rule: 'minimum: 1' },
      { path: '/objects/1', rule: 'required: "count"' },
      { path: '/objects/1/extra', rule: 'additionalProperties: false' },
    ],
  });
  assert.deepEqual(check([], schema), {
    kind: 'invalid',
    violations: [{ path: '', rule: 'type: "object"' }],
  });
});

test('what every object inherits is not in it', () => {
  assert.equal(check({}, { required: ['toString'] }).kind, 'invalid');
  assert.equal(check({}, { properties: { toString: false } }).kind, 'valid');
});

test('a schema without end and a value without end are given up', () => {
  const endless = { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } };
  assert.deepEqual(check(1, endless), { kind: 'valid' });
  const many = Array.from({ length: 1000 }, () => 'x');
  const verdict = check(many, { items: { type: 'null' } });
  assert.equal(verdict.kind === 'invalid' && verdict.violations.length, 20);
});

const kCases: [schema: unknown, values: unknown[]][] = [
  [{ type: ['string', 'null'] }, ['a', null, 1, {}]],
  [{ type: 'integer' }, [1, 1.0, 1.5, '1', 1e300]],
  [{ type: 'number' }, [1, 1.5, '1', null, true]],
  [{ enum: ['a', { b: [1, 2] }, null] }, ['a', { b: [1, 2] }, { b: [2, 1] }, null, 'c']],
  [{ const: [1, { a: null }] }, [[1, { a: null }], [1, {}], [1]]],
  [{ minimum: 1, exclusiveMaximum: 3 }, [0, 1, 2.9, 3, 'x']],
  [{ multipleOf: 0.5 }, [1.5, 1.25, 0]],
  [{ minLength: 2, maxLength: 3 }, ['a', '你好', '😀😀😀', '😀😀😀😀', 1]],
  [{ pattern: '^a+$' }, ['aa', 'ba', 1]],
  [{ pattern: 'a.c' }, ['xabcx', 'a\nc']],
  [{ items: { type: 'integer' }, minItems: 1, maxItems: 2 }, [[1], [], [1, 2, 3], ['a'], {}]],
  [{ prefixItems: [{ type: 'string' }, true], items: false }, [['a', 1], ['a', 1, 2], [1], []]],
  [{ uniqueItems: true }, [[1, 2], [{ a: 1 }, { a: 1 }], []]],
  [{ properties: { a: false } }, [{}, { a: 1 }]],
  [
    { properties: { a: {} }, additionalProperties: { type: 'null' } },
    [{ a: 1, b: null }, { b: 1 }],
  ],
  [
    { patternProperties: { '^x': { type: 'null' } }, additionalProperties: false },
    [{ x1: null }, { x1: 1 }, { y: null }],
  ],
  [{ propertyNames: { pattern: '^[a-z]+$' } }, [{ abc: 1 }, { A: 1 }]],
  [{ minProperties: 1, maxProperties: 2 }, [{}, { a: 1 }, { a: 1, b: 1, c: 1 }]],
  [{ anyOf: [{ type: 'string' }, { minimum: 5 }] }, ['a', 6, 4]],
  [{ oneOf: [{ type: 'integer' }, { minimum: 5 }] }, [1, 5.5, 6, 4.5]],
  [{ allOf: [{ type: 'integer' }, { minimum: 5 }] }, [6, 4, 5.5]],
  [{ not: { type: 'string' } }, ['a', 1]],
  [
    {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { kids: { type: 'array', items: { $ref: '#/$defs/tree' } } },
          required: ['kids'],
        },
      },
    },
    [{ kids: [{ kids: [] }] }, { kids: [{}] }, { kids: 1 }],
  ],
];

const guided = fileURLToPath(new URL('../../tests/guided/package.json', import.meta.url));
const modules = fileURLToPath(new URL('../../tests/guided/node_modules/ajv', import.meta.url));
test('the verdicts are those of Ajv', { skip: !existsSync(modules) && 'no Ajv' }, () => {
  const { default: Ajv } = createRequire(guided)('ajv/dist/2020.js') as {
    default: new (options: object) => { validate: (schema: unknown, value: unknown) => boolean };
  };
  const ajv = new Ajv({ strict: false, validateFormats: false });
  for (const [schema, values] of kCases) {
    for (const value of values) {
      const expected = ajv.validate(schema, value) ? 'valid' : 'invalid';
      assert.equal(check(value, schema).kind, expected, JSON.stringify({ schema, value }));
    }
  }
});

test('formats', () => {
  const ok: Record<string, [string[], string[]]> = {
    date: [['2024-02-29'], ['2023-02-29', '2024-13-01', '24-1-1', '']],
    time: [
      ['12:00:00Z', '23:59:59.5+02:00'],
      ['24:00:00Z', '12:00:00', '12:00Z'],
    ],
    'date-time': [['2024-02-29T12:00:00Z'], ['2024-02-29', '2024-02-30T12:00:00Z']],
    uuid: [['123e4567-e89b-12d3-a456-426614174000'], ['123e4567']],
    ipv4: [
      ['127.0.0.1', '255.255.255.255'],
      ['256.0.0.1', '1.2.3', '1.2.3.4.', '1.2.3.4.5'],
    ],
    email: [['a@b.example'], ['a', 'a b@c']],
    uri: [['https://example.com/a?b'], ['example.com', 'https://a b']],
    unknown: [['anything'], []],
  };
  for (const [format, [good, bad]] of Object.entries(ok)) {
    for (const text of good) assert.equal(check(text, { format }).kind, 'valid', text);
    for (const text of bad) assert.equal(check(text, { format }).kind, 'invalid', text);
  }
});
