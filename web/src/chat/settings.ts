import { createKeptStore } from '../base/store.ts';

/// One number of the sampling panel. The page offers the range; the server's own table decides.
export interface SamplingField {
  name: SamplingName;
  min: number;
  max: number;
  step: number;
  typical: number; // where the slider stands while the field is empty
  whole?: boolean;
  slider?: boolean;
}

export type SamplingName =
  | 'temperature'
  | 'top_p'
  | 'top_k'
  | 'min_p'
  | 'repetition_penalty'
  | 'presence_penalty'
  | 'frequency_penalty'
  | 'max_tokens'
  | 'seed';

export const samplingFields: readonly SamplingField[] = [
  { name: 'temperature', min: 0, max: 2, step: 0.05, typical: 0.8, slider: true },
  { name: 'top_p', min: 0.01, max: 1, step: 0.01, typical: 1, slider: true },
  { name: 'top_k', min: 0, max: 200, step: 1, typical: 0, whole: true, slider: true },
  { name: 'min_p', min: 0, max: 1, step: 0.01, typical: 0, slider: true },
  { name: 'repetition_penalty', min: 0.5, max: 2, step: 0.01, typical: 1, slider: true },
  { name: 'presence_penalty', min: -2, max: 2, step: 0.05, typical: 0, slider: true },
  { name: 'frequency_penalty', min: -2, max: 2, step: 0.05, typical: 0, slider: true },
  { name: 'max_tokens', min: 1, max: 1_000_000, step: 1, typical: 1024, whole: true },
  { name: 'seed', min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, typical: 0, whole: true },
];

export type AnswerFormat = 'text' | 'json_object' | 'json_schema';

export interface Settings {
  system: string; // of new conversations
  sampling: Partial<Record<SamplingName, number>>; // what is absent is left to the server
  format: AnswerFormat;
  schema: string;
  logprobs: boolean; // ask for the probabilities of tokens
  detail: Detail; // of new pictures
  compare: Comparison;
}

/// The longest side that a picture is sent with; a picture is never made larger.
export type Detail = 'original' | 'large' | 'medium' | 'small';
export const detailSides: Record<Detail, number> = {
  original: Number.POSITIVE_INFINITY,
  large: 2240, // twice what the model looks at
  medium: 1120,
  small: 560,
};
export const details = Object.keys(detailSides) as Detail[];

/// A second setting that each question is answered with too, beside the first.
export interface Comparison {
  on: boolean;
  sampling: Settings['sampling'];
  system: string; // '': the conversation's own
}

export const kNoSettings: Settings = {
  system: '',
  sampling: {},
  format: 'text',
  schema: '',
  logprobs: false,
  detail: 'original',
  compare: { on: false, sampling: {}, system: '' },
};

/// Settings out of anything: what is missing or out of range is left out.
export function acceptSettings(found: unknown): Settings {
  const from = fieldsOf(found);
  const compare = fieldsOf(from['compare']);
  const format = from['format'];
  const detail = details.find((one) => one === from['detail']);
  return {
    system: typeof from['system'] === 'string' ? from['system'] : '',
    sampling: acceptSampling(from['sampling']),
    format: format === 'json_object' || format === 'json_schema' ? format : 'text',
    schema: typeof from['schema'] === 'string' ? from['schema'] : '',
    logprobs: from['logprobs'] === true,
    detail: detail ?? (from['shrink'] === true ? 'large' : 'original'), // as it was called before
    compare: {
      on: compare['on'] === true,
      sampling: acceptSampling(compare['sampling']),
      system: typeof compare['system'] === 'string' ? compare['system'] : '',
    },
  };
}

/// Sampling numbers out of anything, in their ranges.
export function acceptSampling(found: unknown): Settings['sampling'] {
  const given = fieldsOf(found);
  const sampling: Settings['sampling'] = {};
  for (const field of samplingFields) {
    const value = given[field.name];
    if (typeof value === 'number' && inRange(field, value)) sampling[field.name] = value;
  }
  return sampling;
}

function fieldsOf(found: unknown): Record<string, unknown> {
  return (typeof found === 'object' && found !== null ? found : {}) as Record<string, unknown>;
}

/// What a person typed into the field of a number: `value` undefined leaves it to the server, as an
/// empty text does and one that is out of range.
export function readNumber(
  field: SamplingField,
  text: string,
): { value: number | undefined; wrong: boolean } {
  const value = Number(text);
  if (text.trim() === '') return { value: undefined, wrong: false };
  return inRange(field, value) ? { value, wrong: false } : { value: undefined, wrong: true };
}

export function inRange(field: SamplingField, value: number): boolean {
  return value >= field.min && value <= field.max && (!field.whole || Number.isInteger(value));
}

export const settings = createKeptStore<Settings>('settings', acceptSettings);
