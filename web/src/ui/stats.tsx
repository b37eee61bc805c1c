import { useEffect, useRef, useState } from 'preact/hooks';
import type { Timings } from '../api/types.ts';
import type { AnswerStats } from '../chat/tree.ts';
import { decimal, duration, useT, type Key } from '../i18n/i18n.ts';
import { Icon } from './icons.tsx';

const kStages: { key: Key; color: string; of: (timings: Timings) => number }[] = [
  { key: 'stageQueue', color: 'stage-queue', of: (t) => t.queue_ms ?? 0 },
  {
    key: 'stagePrepare',
    color: 'stage-prepare',
    of: (t) => (t.image_fetch_ms ?? 0) + (t.image_decode_ms ?? 0) + (t.image_preprocess_ms ?? 0),
  },
  { key: 'stageEncode', color: 'stage-encode', of: (t) => t.image_encode_ms ?? 0 },
  { key: 'stagePrefill', color: 'stage-prefill', of: (t) => t.prefill_ms ?? 0 },
  { key: 'stageDecode', color: 'stage-decode', of: (t) => t.decode_ms ?? 0 },
];

/// First token, speed and tokens of an answer; behind them where its time went.
export function StatsLine({ stats }: { stats: AnswerStats }) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const { usage, timings } = stats;
  const firstToken = timings?.first_token_ms ?? stats.firstTokenMs;
  const parts = [
    firstToken === undefined ? '' : t('firstTokenAfter', { time: duration(firstToken) }),
    timings?.tokens_per_second
      ? t('tokensPerSecond', { n: decimal(timings.tokens_per_second) })
      : '',
    usage ? t('tokens', { n: usage.completion_tokens }) : '',
    timings?.image_encode_ms ? t('encodeTime', { time: duration(timings.image_encode_ms) }) : '',
  ].filter((part) => part !== '');
  if (parts.length === 0) return null;
  return (
    <>
      <button
        type="button"
        class="stats-line"
        aria-expanded={open}
        onClick={() => setOpen(!open)}
        title={t('whereTimeWent')}
      >
        {parts.join(' · ')}
        <Icon name="down" size={14} />
      </button>
      {open && <Details stats={stats} />}
    </>
  );
}

function Details({ stats }: { stats: AnswerStats }) {
  const t = useT();
  const place = useRef<HTMLDivElement>(null);
  // Below the last answer it would open out of sight.
  useEffect(() => place.current?.scrollIntoView({ block: 'nearest' }), []);
  const { usage, timings } = stats;
  const stages = timings
    ? kStages.map((stage) => ({ ...stage, ms: stage.of(timings) })).filter((stage) => stage.ms > 0)
    : [];
  const details = usage?.prompt_tokens_details;
  const counts: [Key, number | undefined][] = [
    ['promptTokens', usage?.prompt_tokens],
    ['ofPictures', details?.image_tokens],
    ['ofCache', details?.cached_tokens],
    ['answerTokens', usage?.completion_tokens],
  ];
  return (
    <div class="stats-details" ref={place}>
      {stages.length > 0 && (
        <>
          <div class="stage-bar" aria-hidden="true">
            {stages.map((stage) => (
              <span key={stage.key} class={stage.color} style={{ flexGrow: stage.ms }} />
            ))}
          </div>
          <dl class="stage-list">
            {stages.map((stage) => (
              <div key={stage.key}>
                <dt>
                  <i class={stage.color} />
                  {t(stage.key)}
                </dt>
                <dd>{duration(stage.ms)}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      <dl class="stage-list">
        {counts.map(([key, count]) =>
          count === undefined ? null : (
            <div key={key}>
              <dt>{t(key)}</dt>
              <dd>{decimal(count)}</dd>
            </div>
          ),
        )}
      </dl>
    </div>
  );
}
