import { useId, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import {
  readNumber,
  samplingFields,
  settings,
  type Comparison,
  type SamplingField,
  type Settings,
} from '../chat/settings.ts';
import { useT, type Key } from '../i18n/i18n.ts';

/// The numbers that every question is asked with; of setting A while two are compared.
export function SamplingSettings() {
  const t = useT();
  const sampling = useStore(settings, (now) => now.sampling);
  const comparing = useStore(settings, (now) => now.compare.on);
  const [resets, setResets] = useState(0);
  return (
    <section>
      <div class="section-head">
        <h3>
          {t('sampling')}
          {comparing && <span class="side-mark">A</span>}
        </h3>
        <ResetButton
          sampling={sampling}
          onReset={() => {
            settings.set((now) => ({ ...now, sampling: {} }));
            setResets(resets + 1);
          }}
        />
      </div>
      <SamplingRows
        key={resets} // what was typed and is out of range goes too
        sampling={sampling}
        sliders
        onChange={(next) => settings.set((now) => ({ ...now, sampling: next }))}
      />
    </section>
  );
}

/// The second setting, and whether questions are answered with it too.
export function CompareSettings() {
  const t = useT();
  const id = useId();
  const compare = useStore(settings, (now) => now.compare);
  const [resets, setResets] = useState(0);
  const change = (part: Partial<Comparison>) =>
    settings.set((now) => ({ ...now, compare: { ...now.compare, ...part } }));
  return (
    <section>
      <div class="section-head">
        <h3>
          {t('compare')}
          {compare.on && <span class="side-mark side-b">B</span>}
        </h3>
        {compare.on && (
          <ResetButton
            sampling={compare.sampling}
            onReset={() => {
              change({ sampling: {}, system: '' });
              setResets(resets + 1);
            }}
          />
        )}
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={compare.on}
          onChange={(event) => change({ on: event.currentTarget.checked })}
        />
        <span>{t('compareOn')}</span>
      </label>
      <p class="hint">{t('compareHint')}</p>
      {compare.on && (
        <div class="second-setting" role="group" aria-label={t('setting', { side: 'B' })}>
          <SamplingRows
            key={resets}
            sampling={compare.sampling}
            onChange={(sampling) => change({ sampling })}
            side="B"
          />
          <label class="field-label" for={id}>
            {t('compareSystem')}
          </label>
          <textarea
            id={id}
            rows={3}
            value={compare.system}
            placeholder={t('compareSystemHint')}
            onInput={(event) => change({ system: event.currentTarget.value })}
          />
        </div>
      )}
    </section>
  );
}

function ResetButton(props: { sampling: Settings['sampling']; onReset: () => void }) {
  const t = useT();
  return (
    <button
      type="button"
      class="link-button"
      disabled={Object.keys(props.sampling).length === 0}
      onClick={props.onReset}
    >
      {t('reset')}
    </button>
  );
}

function SamplingRows(props: {
  sampling: Settings['sampling'];
  sliders?: boolean;
  side?: string;
  onChange: (sampling: Settings['sampling']) => void;
}) {
  return (
    <>
      {samplingFields.map((field) => (
        <SamplingRow
          key={field.name}
          field={field}
          value={props.sampling[field.name]}
          slider={(props.sliders ?? false) && (field.slider ?? false)}
          {...(props.side ? { side: props.side } : {})}
          onChange={(next) => {
            const { [field.name]: _before, ...others } = props.sampling;
            props.onChange(next === undefined ? others : { ...others, [field.name]: next });
          }}
        />
      ))}
    </>
  );
}

function SamplingRow(props: {
  field: SamplingField;
  value: number | undefined;
  slider: boolean;
  side?: string;
  onChange: (value: number | undefined) => void;
}) {
  const t = useT();
  const id = useId();
  const { field, value } = props;
  const textOf = (number: number | undefined) => (number === undefined ? '' : String(number));
  const [typed, setTyped] = useState(textOf(value));
  const read = readNumber(field, typed);
  // As it was typed, 0.50 too, until the slider or a reset says something else.
  const text = read.value === value ? typed : textOf(value);
  const wrong = read.wrong && text === typed;
  const name = t(field.name as Key);
  return (
    <div class="sampling-row">
      <label for={id} title={t(`${field.name}_hint` as Key)}>
        {name}
        {props.side && <span class="visually-hidden"> {props.side}</span>}
      </label>
      {props.slider && (
        <input
          type="range"
          min={field.min}
          max={field.max}
          step={field.step}
          value={value ?? field.typical}
          aria-label={`${name}, ${t('slider')}`}
          class={value === undefined ? 'unset' : ''}
          style={{
            '--fill': `${(100 * ((value ?? field.typical) - field.min)) / (field.max - field.min)}%`,
          }}
          onInput={(event) => props.onChange(event.currentTarget.valueAsNumber)}
        />
      )}
      <input
        id={id}
        type="number"
        min={field.min}
        max={field.max}
        step={field.whole ? 1 : 'any'}
        value={text}
        placeholder={t('serverDefault')}
        aria-invalid={wrong}
        onInput={(event) => {
          const next = event.currentTarget.value;
          setTyped(next);
          props.onChange(readNumber(field, next).value);
        }}
      />
      {wrong && <p class="wrong">{t('range', { min: field.min, max: field.max })}</p>}
    </div>
  );
}
