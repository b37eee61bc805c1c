import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { keyStore } from '../api/key.ts';
import { changeUi } from '../ui/state.ts';
import { decimal, useT, type Key } from '../i18n/i18n.ts';
import { Icon } from '../ui/icons.tsx';
import { CardChart } from './card_chart.tsx';
import { timeText } from './draw.ts';
import { feedFor, leaveFeed, type CardFeed, type FeedState } from './feed.ts';
import { kindNames, kinds } from './kinds.ts';
import { activityOf, summarize, type Activity, type CardSummary } from './timeline.ts';

export interface ChartView {
  paused: boolean;
  length: number; // of the window, microseconds
  end: number; // of the window while paused, the server's microseconds
}

interface Summary extends Activity {
  cards: CardSummary[];
}

const kLengths: [number, string][] = [
  [20e3, '20 ms'],
  [200e3, '0.2 s'],
  [1e6, '1 s'],
  [5e6, '5 s'],
  [20e6, '20 s'],
];
const kNote: Record<FeedState, Key> = {
  connecting: 'cardsConnecting',
  live: 'cardsIdle',
  lost: 'cardsLost',
  key: 'cardsKey',
  none: 'cardsNone',
};
export const kShortest = 500;
export const kLongest = 60e6;

/// What the cards do, live: a lane a card with its steps, operators and waits, and the same as a
/// table.
export function CardsView() {
  const t = useT();
  const key = useStore(keyStore, (now) => now.value);
  const feed = useMemo(() => feedFor(key), [key]);
  const state = useStore(feed.state);
  const cards = useStore(feed.cards);
  const [view, setView] = useState<ChartView>({
    paused: false,
    length: feed.length ?? 5e6,
    end: 0,
  });
  const latest = useRef(view);
  latest.current = view;
  const [summary, setSummary] = useState<Summary | null>(null);

  useEffect(() => {
    return () => leaveFeed(feed);
  }, [feed]);
  const change = (next: Partial<ChartView>) => {
    const now = { ...latest.current, ...next };
    if (now.paused && !latest.current.paused) now.end = next.end ?? feed.now(now.length);
    feed.paused = now.paused;
    if (next.length !== undefined) feed.length = next.length;
    setView(now);
  };
  useEffect(() => {
    const update = () => {
      if (feed.length === null && feed.timeline.steps.length > 0)
        change({ length: fittingLength(feed) });
      setSummary(summaryOf(feed, latest.current));
    };
    update();
    const timer = setInterval(update, 600);
    return () => clearInterval(timer);
  }, [feed, view]);

  const empty = summary === null || summary.steps === 0;
  return (
    <div class="cards-view">
      <header class="cards-head">
        <div>
          <h1>{t('cardsTitle')}</h1>
          <p class="quiet">
            {cards &&
              t('cardsFacts', {
                tp: cards.tp,
                threads: cards.threads_per_card ?? 1,
                isa: (cards.isa ?? '').toUpperCase(),
              })}
          </p>
        </div>
        <dl class="tiles">
          <Tile value={empty ? '–' : decimal(summary.stepsPerSecond)} label={t('steps')} />
          <Tile value={empty ? '–' : timeText(summary.stepUs)} label={t('stepTime')} />
          <Tile value={empty ? '–' : decimal(summary.rows)} label={t('rows')} />
        </dl>
      </header>
      <div class="cards-tools">
        <button
          type="button"
          class="button primary"
          aria-pressed={view.paused}
          onClick={() => change({ paused: !view.paused })}
        >
          <Icon name={view.paused ? 'play' : 'pause'} size={16} />
          {t(view.paused ? 'resume' : 'pause')}
        </button>
        <div class="choice" role="group" aria-label={t('window')}>
          {kLengths.map(([length, text]) => (
            <button
              key={length}
              type="button"
              aria-pressed={view.length === length}
              onClick={() => change({ length })}
            >
              {text}
            </button>
          ))}
        </div>
        <span class="quiet">
          {[
            view.paused ? `${t('window')}: ${timeText(view.length)}` : '',
            !view.paused && !empty && state === 'live' && feed.isIdle() ? t('cardsLast') : '',
            !empty && summary.ofShown >= 1.5 ? t('ofShown', { n: decimal(summary.ofShown) }) : '',
          ]
            .filter((part) => part !== '')
            .join(' · ')}
        </span>
      </div>
      <section class="chart-panel" aria-label={t('chartLabel')}>
        {cards ? (
          <CardChart
            feed={feed}
            cards={cards.tp}
            view={view}
            change={change}
            summaries={summary?.cards ?? []}
          />
        ) : (
          <div class="chart-empty" />
        )}
        {(state !== 'live' || (empty && !view.paused)) && (
          <p class="chart-note" role="status">
            {t(kNote[state])}
            {state === 'key' && (
              <button type="button" class="button" onClick={() => changeUi({ dialog: 'key' })}>
                {t('enterKey')}
              </button>
            )}
          </p>
        )}
        <Legend />
      </section>
      <section class="tables" aria-label={t('topOperators')}>
        {summary?.cards.map((card, rank) => (
          <OperatorTable key={rank} rank={rank} card={card} />
        ))}
      </section>
    </div>
  );
}

function summaryOf(feed: CardFeed, view: ChartView): Summary | null {
  const { timeline } = feed;
  if (timeline.tracks.length === 0) return null;
  const to = view.paused ? view.end : feed.now(view.length);
  const from = to - view.length;
  const activity = activityOf(timeline, from, to);
  const cards = timeline.tracks.map((_, rank) => {
    const shown = summarize(timeline, rank, from, to);
    const whole = (share: number) => Math.min(1, share * activity.ofShown);
    return { ...shown, busy: whole(shown.busy), wait: whole(shown.wait) };
  });
  return { ...activity, cards };
}

/// A window for about twenty of the steps that came.
function fittingLength({ timeline }: CardFeed): number {
  const { stepUs } = activityOf(timeline, 0, Infinity);
  return kLengths.find(([length]) => length >= 20 * stepUs)?.[0] ?? 20e6;
}

function Tile({ value, label }: { value: string; label: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Legend() {
  const t = useT();
  return (
    <ul class="legend">
      {kindNames.map((name) => (
        <li key={name}>
          <i class={`kind-${name}`} />
          {t(kinds[name].key)}
        </li>
      ))}
      <li>
        <i class="kind-wait" />
        {t('kindWait')}
      </li>
    </ul>
  );
}

function OperatorTable({ rank, card }: { rank: number; card: CardSummary }) {
  const t = useT();
  const total = card.operators.reduce((sum, row) => sum + row.time, 0);
  return (
    <div class="table-card">
      <table>
        <caption>
          {t('card', { n: rank })}
          <span>
            {t('busyOf', { busy: Math.round(card.busy * 100) })} ·{' '}
            {t('waitOf', { wait: Math.round(card.wait * 100) })}
          </span>
        </caption>
        <thead>
          <tr>
            <th scope="col">{t('operator')}</th>
            <th scope="col">{t('calls')}</th>
            <th scope="col">{t('time')}</th>
            <th scope="col">{t('share')}</th>
            <th scope="col">{t('waits')}</th>
          </tr>
        </thead>
        <tbody>
          {card.operators.slice(0, 8).map((row) => (
            <tr key={row.operator}>
              <th scope="row">
                <i class={`kind-${kindNames[row.kind] ?? 'other'}`} aria-hidden="true" />
                {row.operator}
              </th>
              <td>{decimal(row.calls)}</td>
              <td>{timeText(row.time)}</td>
              <td>
                <span class="share" aria-hidden="true">
                  <span style={{ width: `${(100 * row.time) / Math.max(1, total)}%` }} />
                </span>
                {decimal((100 * row.time) / Math.max(1, total))} %
              </td>
              <td>{row.wait < 1 ? '–' : timeText(row.wait)}</td>
            </tr>
          ))}
          {card.operators.length === 0 && (
            <tr>
              <td colSpan={5} class="quiet">
                {t('noOperators')}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}
