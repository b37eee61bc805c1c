/// Whether an answer is what its JSON schema asks for: the keywords that the server knows, read as
/// JSON Schema 2020-12 means them, and those that it refuses but another schema may have.

/// Where a value breaks the schema: its JSON pointer, and the keyword with what it demands.
export interface Violation {
  path: string;
  rule: string;
}

export type Verdict =
  | { kind: 'valid' }
  | { kind: 'not_json'; message: string }
  | { kind: 'invalid'; violations: Violation[] };

const kMostViolations = 20;
const kDeepest = 200; // levels of values and references

/// Checks the text of an answer; `schema` undefined: any JSON will do.
export function checkAnswer(text: string, schema?: string): Verdict {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { kind: 'not_json', message: (error as Error).message };
  }
  if (schema === undefined) return { kind: 'valid' };
  let rules: unknown;
  try {
    rules = JSON.parse(schema);
  } catch {
    return { kind: 'valid' }; // the server refused it before a word was written
  }
  const checker = new Checker(rules);
  checker.check(value, rules, '', 0);
  const { violations } = checker;
  return violations.length === 0 ? { kind: 'valid' } : { kind: 'invalid', violations };
}

type Rules = Record<string, unknown>;
type Check = (value: unknown, rule: unknown, path: string, depth: number, rules: Rules) => void;

class Checker {
  violations: Violation[] = [];

  constructor(private readonly root: unknown) {}

  check(value: unknown, rules: unknown, path: string, depth: number): void {
    if (rules === false) return this.break(path, 'false');
    if (!isObject(rules) || depth > kDeepest) return;
    for (const [keyword, rule] of Object.entries(rules)) {
      this.checks[keyword]?.(value, rule, path, depth + 1, rules);
    }
  }

  private holds(value: unknown, rules: unknown, path: string, depth: number): boolean {
    const inner = new Checker(this.root);
    inner.check(value, rules, path, depth);
    return inner.violations.length === 0;
  }

  private break(path: string, rule: string): void {
    if (this.violations.length < kMostViolations) this.violations.push({ path, rule });
  }

  private demand(ok: boolean, path: string, keyword: string, rule: unknown): void {
    if (ok) return;
    const text = JSON.stringify(rule);
    this.break(path, `${keyword}: ${text.length > 80 ? `${text.slice(0, 79)}…` : text}`);
  }

  /// A keyword about values of one type: others pass it.
  private about<T>(
    keyword: string,
    is: (value: unknown) => value is T,
    ok: (value: T, rule: never, rules: Rules) => boolean,
  ): [string, Check] {
    return [
      keyword,
      (value, rule, path, _depth, rules) => {
        if (is(value)) this.demand(ok(value, rule as never, rules), path, keyword, rule);
      },
    ];
  }

  private readonly checks: Record<string, Check> = {
    $ref: (value, rule, path, depth) => {
      const found = typeof rule === 'string' ? resolve(this.root, rule) : undefined;
      this.check(value, found, path, depth);
    },
    type: (value, rule, path) => {
      const types = Array.isArray(rule) ? rule : [rule];
      this.demand(
        types.some((type) => isOf(value, type)),
        path,
        'type',
        rule,
      );
    },
    enum: (value, rule, path) => {
      if (Array.isArray(rule))
        this.demand(
          rule.some((one) => same(one, value)),
          path,
          'enum',
          rule,
        );
    },
    const: (value, rule, path) => this.demand(same(rule, value), path, 'const', rule),
    allOf: (value, rule, path, depth) => {
      for (const one of listOf(rule)) this.check(value, one, path, depth);
    },
    anyOf: (value, rule, path, depth) => {
      const some = listOf(rule).some((one) => this.holds(value, one, path, depth));
      if (!some) this.break(path, 'anyOf');
    },
    oneOf: (value, rule, path, depth) => {
      const count = listOf(rule).filter((one) => this.holds(value, one, path, depth)).length;
      if (count !== 1) this.break(path, `oneOf (${count})`);
    },
    not: (value, rule, path, depth) => {
      if (this.holds(value, rule, path, depth)) this.break(path, 'not');
    },
    properties: (value, rule, path, depth) => {
      if (!isObject(value) || !isObject(rule)) return;
      for (const [name, rules] of Object.entries(rule)) {
        if (Object.hasOwn(value, name)) this.check(value[name], rules, below(path, name), depth);
      }
    },
    patternProperties: (value, rule, path, depth) => {
      if (!isObject(value) || !isObject(rule)) return;
      for (const [pattern, rules] of Object.entries(rule)) {
        for (const name of Object.keys(value)) {
          if (matches(pattern, name)) this.check(value[name], rules, below(path, name), depth);
        }
      }
    },
    additionalProperties: (value, rule, path, depth, rules) => {
      if (!isObject(value)) return;
      const named = isObject(rules['properties']) ? rules['properties'] : {};
      const patterns = isObject(rules['patternProperties'])
        ? Object.keys(rules['patternProperties'])
        : [];
      for (const name of Object.keys(value)) {
        if (Object.hasOwn(named, name) || patterns.some((one) => matches(one, name))) continue;
        if (rule === false) this.break(below(path, name), 'additionalProperties: false');
        else this.check(value[name], rule, below(path, name), depth);
      }
    },
    propertyNames: (value, rule, path, depth) => {
      if (!isObject(value)) return;
      for (const name of Object.keys(value)) this.check(name, rule, below(path, name), depth);
    },
    required: (value, rule, path) => {
      if (!isObject(value)) return;
      for (const name of listOf(rule)) {
        if (!Object.hasOwn(value, String(name)))
          this.break(path, `required: ${JSON.stringify(name)}`);
      }
    },
    prefixItems: (value, rule, path, depth) => {
      if (!Array.isArray(value)) return;
      listOf(rule).forEach((one, i) => {
        if (i < value.length) this.check(value[i], one, below(path, i), depth);
      });
    },
    items: (value, rule, path, depth, rules) => {
      if (!Array.isArray(value)) return;
      const first = listOf(rules['prefixItems']).length;
      for (let i = first; i < value.length; ++i) this.check(value[i], rule, below(path, i), depth);
    },
    ...Object.fromEntries([
      this.about('minItems', Array.isArray, (value, least: number) => value.length >= least),
      this.about('maxItems', Array.isArray, (value, most: number) => value.length <= most),
      this.about('uniqueItems', Array.isArray, (value, unique: boolean) => {
        return !unique || value.every((one, i) => value.slice(i + 1).every((x) => !same(one, x)));
      }),
      this.about('minProperties', isObject, (v, least: number) => Object.keys(v).length >= least),
      this.about('maxProperties', isObject, (v, most: number) => Object.keys(v).length <= most),
      this.about('minLength', isString, (value, least: number) => [...value].length >= least),
      this.about('maxLength', isString, (value, most: number) => [...value].length <= most),
      this.about('pattern', isString, (value, pattern: string) => matches(pattern, value)),
      this.about('format', isString, (value, format: string) => hasFormat(value, format)),
      this.about('minimum', isNumber, (value, least: number) => value >= least),
      this.about('maximum', isNumber, (value, most: number) => value <= most),
      this.about('exclusiveMinimum', isNumber, (value, least: number) => value > least),
      this.about('exclusiveMaximum', isNumber, (value, most: number) => value < most),
      this.about('multipleOf', isNumber, (value, step: number) => Number.isInteger(value / step)),
    ]),
  };
}

const kFormats: Record<string, RegExp> = {
  date: /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$/,
  time: /^(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i,
  uuid: /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i,
  ipv4: /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/,
  email: /^[^\s@]+@[^\s@]+$/,
  uri: /^[a-z][a-z\d+.-]*:\S+$/i,
};

function hasFormat(value: string, format: string): boolean {
  if (format === 'date-time') {
    const [date, time, ...more] = value.split(/t/i);
    return more.length === 0 && hasFormat(date ?? '', 'date') && hasFormat(time ?? '', 'time');
  }
  if (format === 'date' && kFormats['date']!.test(value)) {
    return new Date(`${value}T00:00:00Z`).toJSON()?.slice(0, 10) === value; // no 30 February
  }
  return kFormats[format]?.test(value) ?? true;
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text);
  } catch {
    return true; // no pattern that this browser reads
  }
}

function resolve(root: unknown, pointer: string): unknown {
  if (!pointer.startsWith('#')) return undefined;
  let at = root;
  for (const part of pointer.slice(1).split('/').slice(1)) {
    const name = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
    at = isObject(at) || Array.isArray(at) ? (at as Rules)[name] : undefined;
  }
  return at;
}

function isOf(value: unknown, type: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((one, i) => same(one, b[i]));
  if (!isObject(a) || !isObject(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]))
  );
}

/// The pointer of what lies below `path` (RFC 6901).
function below(path: string, name: string | number): string {
  return `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;
}

function listOf(found: unknown): unknown[] {
  return Array.isArray(found) ? found : [];
}

function isObject(value: unknown): value is Rules {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}
