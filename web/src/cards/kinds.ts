import type { Key } from '../i18n/i18n.ts';

/// What sort of work an operator is; its colours are those of old dyes.
export interface Kind {
  key: Key;
  light: string;
  dark: string;
}

export const kinds = {
  matmul: { key: 'kindMatmul', light: '#3f5aa8', dark: '#8199e6' },
  reduce: { key: 'kindReduce', light: '#b3473a', dark: '#e58173' },
  gather: { key: 'kindGather', light: '#c77a2a', dark: '#eaad68' },
  attention: { key: 'kindAttention', light: '#17808c', dark: '#4dbbc6' },
  norm: { key: 'kindNorm', light: '#b8921c', dark: '#e2c454' },
  elementwise: { key: 'kindElementwise', light: '#638f46', dark: '#9bc67b' },
  position: { key: 'kindPosition', light: '#86603f', dark: '#c09673' },
  vision: { key: 'kindVision', light: '#874b86', dark: '#c788c3' },
  sampling: { key: 'kindSampling', light: '#bd5f8e', dark: '#e99cc2' },
  other: { key: 'kindOther', light: '#7c8785', dark: '#939f9c' },
} as const satisfies Record<string, Kind>;

export type KindName = keyof typeof kinds;
export const kindNames = Object.keys(kinds) as KindName[];

const kOfOperator: Record<string, KindName> = {
  matmul: 'matmul',
  matmul_all_reduce: 'reduce',
  all_gather: 'gather',
  all_reduce: 'reduce',
  rms_norm: 'norm',
  layer_norm: 'norm',
  rotary_embedding: 'position',
  kv_append: 'position',
  embedding_lookup: 'position',
  paged_attention: 'attention',
  attention: 'attention',
  silu_and_mul: 'elementwise',
  gelu: 'elementwise',
  add: 'elementwise',
  scale: 'elementwise',
  copy: 'elementwise',
  conv2d: 'vision',
  top_k: 'sampling',
};

/// An operator that this page does not know yet goes by the words in its name.
export function kindOf(operator: string): KindName {
  const known = kOfOperator[operator];
  if (known) return known;
  if (/reduce/.test(operator)) return 'reduce';
  if (/matmul|linear/.test(operator)) return 'matmul';
  if (/attention/.test(operator)) return 'attention';
  if (/norm/.test(operator)) return 'norm';
  if (/sampl|top_/.test(operator)) return 'sampling';
  return 'other';
}
