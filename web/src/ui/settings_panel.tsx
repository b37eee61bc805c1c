import { useId } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { server } from '../api/status.ts';
import { keyStore } from '../api/key.ts';
import { changeConversation, library } from '../chat/library.ts';
import { details, settings, type AnswerFormat } from '../chat/settings.ts';
import { bytes, decimal, language, useT, type Key, type Language } from '../i18n/i18n.ts';
import { Icon, IconButton } from './icons.tsx';
import { CompareSettings, SamplingSettings } from './sampling_settings.tsx';
import { changeUi, theme, toast, type Theme } from './state.ts';

export function SettingsPanel() {
  const t = useT();
  return (
    <aside class="panel" aria-label={t('settings')}>
      <header class="panel-head">
        <h2>{t('settings')}</h2>
        <IconButton icon="close" label={t('close')} onClick={() => changeUi({ panel: false })} />
      </header>
      <div class="panel-body">
        <SystemPrompt />
        <SamplingSettings />
        <CompareSettings />
        <AnswerFormatChoice />
        <Probabilities />
        <PictureSettings />
        <Appearance />
        <KeySettings />
        <ServerFacts />
      </div>
    </aside>
  );
}

function SystemPrompt() {
  const t = useT();
  const id = useId();
  const open = useStore(library, (now) => (now.openId === null ? undefined : now.all[now.openId]));
  const usual = useStore(settings, (now) => now.system);
  const text = open ? open.system : usual;
  return (
    <section>
      <div class="section-head">
        <h3>
          <label for={id}>{t('systemPrompt')}</label>
        </h3>
        {open && open.system !== usual && (
          <button
            type="button"
            class="link-button"
            onClick={() => {
              settings.set((now) => ({ ...now, system: open.system }));
              toast(t('systemKept'));
            }}
          >
            {t('systemForAll')}
          </button>
        )}
      </div>
      <textarea
        id={id}
        rows={4}
        value={text}
        placeholder={t('systemHint')}
        onInput={(event) => {
          const system = event.currentTarget.value;
          if (open) changeConversation(open.id, (now) => ({ ...now, system }));
          else settings.set((now) => ({ ...now, system }));
        }}
      />
      <p class="hint">{t(open ? 'systemOfThis' : 'systemOfNew')}</p>
    </section>
  );
}

const kFormats: [AnswerFormat, Key][] = [
  ['text', 'formatText'],
  ['json_object', 'formatJson'],
  ['json_schema', 'formatSchema'],
];

function AnswerFormatChoice() {
  const t = useT();
  const id = useId();
  const { format, schema } = useStore(settings);
  const wrong = format === 'json_schema' ? schemaError(schema) : null;
  return (
    <section>
      <div class="section-head">
        <h3>{t('format')}</h3>
      </div>
      <div class="choice" role="group" aria-label={t('format')}>
        {kFormats.map(([value, key]) => (
          <button
            key={value}
            type="button"
            aria-pressed={format === value}
            onClick={() => settings.set((now) => ({ ...now, format: value }))}
          >
            {t(key)}
          </button>
        ))}
      </div>
      {format === 'json_schema' && (
        <>
          <label class="visually-hidden" for={id}>
            {t('formatSchema')}
          </label>
          <textarea
            id={id}
            class="mono"
            rows={8}
            spellcheck={false}
            value={schema}
            placeholder={
              '{\n  "type": "object",\n  "properties": {\n    "objects": { "type": "array" }\n  }\n}'
            }
            aria-invalid={wrong !== null}
            onInput={(event) => {
              const text = event.currentTarget.value;
              settings.set((now) => ({ ...now, schema: text }));
            }}
          />
          {wrong !== null && <p class="wrong">{wrong}</p>}
        </>
      )}
    </section>
  );
}

function schemaError(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

function Probabilities() {
  const t = useT();
  const on = useStore(settings, (now) => now.logprobs);
  return (
    <section>
      <div class="section-head">
        <h3>{t('probabilities')}</h3>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={on}
          onChange={(event) => {
            const logprobs = event.currentTarget.checked;
            settings.set((now) => ({ ...now, logprobs }));
          }}
        />
        <span>{t('logprobs')}</span>
      </label>
      <p class="hint">{t('logprobsHint')}</p>
    </section>
  );
}

function PictureSettings() {
  const t = useT();
  const chosen = useStore(settings, (now) => now.detail);
  return (
    <section>
      <div class="section-head">
        <h3>{t('detailOfNew')}</h3>
      </div>
      <div class="choice tight" role="group" aria-label={t('detailOfNew')}>
        {details.map((detail) => (
          <button
            key={detail}
            type="button"
            aria-pressed={chosen === detail}
            onClick={() => settings.set((now) => ({ ...now, detail }))}
          >
            {t(`detail_${detail}`)}
          </button>
        ))}
      </div>
      <p class="hint">{t('detailHint')}</p>
    </section>
  );
}

const kThemes: [Theme, Key][] = [
  ['system', 'themeSystem'],
  ['light', 'themeLight'],
  ['dark', 'themeDark'],
];
const kLanguages: [Language, string][] = [
  ['en', 'English'],
  ['zh', '中文'],
];

function Appearance() {
  const t = useT();
  const nowTheme = useStore(theme);
  const nowLanguage = useStore(language);
  return (
    <section>
      <div class="section-head">
        <h3>{t('appearance')}</h3>
      </div>
      <div class="choice" role="group" aria-label={t('theme')}>
        {kThemes.map(([value, key]) => (
          <button
            key={value}
            type="button"
            aria-pressed={nowTheme === value}
            onClick={() => theme.set(value)}
          >
            {t(key)}
          </button>
        ))}
      </div>
      <div class="choice" role="group" aria-label={t('language')}>
        {kLanguages.map(([value, name]) => (
          <button
            key={value}
            type="button"
            lang={value}
            aria-pressed={nowLanguage === value}
            onClick={() => language.set(value)}
          >
            {name}
          </button>
        ))}
      </div>
    </section>
  );
}

function KeySettings() {
  const t = useT();
  const key = useStore(keyStore);
  return (
    <section>
      <div class="section-head">
        <h3>{t('apiKey')}</h3>
      </div>
      <button type="button" class="button wide" onClick={() => changeUi({ dialog: 'key' })}>
        <Icon name="key" size={16} />
        {t(key.value === '' ? 'enterKey' : 'changeKey')}
      </button>
    </section>
  );
}

function ServerFacts() {
  const t = useT();
  const { props, model } = useStore(server);
  if (!props) return null;
  const limits = props.limits ?? {};
  const facts: [Key, string | number | undefined][] = [
    ['factModel', props.model ?? model?.id],
    ['factVersion', props.version],
    ['factCards', props.tp],
    ['factThreads', props.threads_per_card],
    ['factIsa', props.isa],
    ['factDtype', props.dtype],
    ['factWeights', props.weights],
    ['factCache', props.kv_cache],
    ['factContext', props.context_tokens],
    ['factImage', props.image_tokens],
    ['factImages', limits.max_images],
    [
      'factImageBytes',
      limits.max_image_bytes === undefined ? undefined : bytes(limits.max_image_bytes),
    ],
  ];
  return (
    <section>
      <div class="section-head">
        <h3>{t('server')}</h3>
      </div>
      <dl class="facts">
        {facts.map(([key, value]) =>
          value === undefined ? null : (
            <div key={key}>
              <dt>{t(key)}</dt>
              <dd>{typeof value === 'number' ? decimal(value) : value}</dd>
            </div>
          ),
        )}
      </dl>
    </section>
  );
}
