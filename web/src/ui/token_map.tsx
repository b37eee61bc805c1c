import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { doubtOf, meanProbability, type TokenChance } from '../chat/tokens.ts';
import { decimal, useT, type Translate } from '../i18n/i18n.ts';

/// An answer token by token, coloured by how sure the model was; below it what else it weighed at the
/// token that is pointed at.
export function TokenMap(props: { tokens: TokenChance[] }) {
  const t = useT();
  const id = useId();
  const tokens = useMemo(() => withoutLeadingBlanks(props.tokens), [props.tokens]);
  const place = useRef<HTMLDivElement>(null);
  const box = useRef<HTMLDivElement>(null);
  // Below the last answer it would open out of sight.
  useEffect(() => place.current?.scrollIntoView({ block: 'nearest' }), []);
  const [at, setAt] = useState(() => firstDoubt(tokens));
  const mean = useMemo(() => meanProbability(tokens), [tokens]);
  const chosen = tokens[Math.min(at, tokens.length - 1)];
  const go = (to: number) => {
    const next = Math.min(tokens.length - 1, Math.max(0, to));
    setAt(next);
    box.current?.children[next]?.scrollIntoView({ block: 'nearest' });
  };
  const onKey = (event: KeyboardEvent) => {
    const moves: Record<string, number> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      ArrowUp: at - 10,
      ArrowDown: at + 10,
      Home: 0,
      End: tokens.length - 1,
    };
    const to = moves[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(to);
  };
  return (
    <div class="token-map" ref={place}>
      <div
        ref={box}
        class="token-text"
        role="listbox"
        tabIndex={0}
        aria-label={t('probabilities')}
        aria-activedescendant={`${id}-${at}`}
        onKeyDown={onKey}
      >
        {tokens.map((token, i) => (
          <span
            key={i}
            id={`${id}-${i}`}
            role="option"
            aria-selected={i === at}
            aria-label={labelOf(token.text, token.logprob, t)}
            class={`token doubt-${doubtOf(token.logprob)}`}
            onPointerEnter={(event) => event.pointerType === 'mouse' && setAt(i)}
            onClick={() => setAt(i)}
          >
            {token.text.replaceAll('\n', '↵\n')}
          </span>
        ))}
      </div>
      <div class="token-foot">
        <span class="token-legend" aria-hidden="true">
          {t('sure')}
          {[0, 1, 2, 3, 4, 5].map((doubt) => (
            <i key={doubt} class={`doubt-${doubt}`} />
          ))}
          {t('guess')}
        </span>
        {mean !== null && <span>{t('meanProbability', { n: percent(mean) })}</span>}
      </div>
      {chosen && <Chosen token={chosen} />}
      <p class="hint">{t('probabilitiesHint')}</p>
    </div>
  );
}

function Chosen({ token }: { token: TokenChance }) {
  const t = useT();
  const rows: [string, number, boolean][] = token.top.map(([text, logprob]) => [
    text,
    logprob,
    text === token.text,
  ]);
  if (!rows.some(([, , own]) => own)) rows.push([token.text, token.logprob, true]);
  return (
    <table class="token-choices" aria-live="polite">
      <caption>{t('alternatives')}</caption>
      <tbody>
        {rows.map(([text, logprob, own], i) => (
          <tr key={i} class={own ? 'own' : ''}>
            <th scope="row">
              <code>{visible(text, t)}</code>
            </th>
            <td class="token-bar" aria-hidden="true">
              <span style={{ width: `${100 * Math.exp(logprob)}%` }} />
            </td>
            <td>{percent(Math.exp(logprob))} %</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/// Models begin with a line break that servers leave out of the text.
function withoutLeadingBlanks(tokens: TokenChance[]): TokenChance[] {
  const first = tokens.findIndex((token) => token.text.trim() !== '');
  return first > 0 ? tokens.slice(first) : tokens;
}

/// The first token that the model was not sure of: what a reader wants to see.
function firstDoubt(tokens: TokenChance[]): number {
  return Math.max(
    0,
    tokens.findIndex((token) => doubtOf(token.logprob) > 0),
  );
}

function labelOf(text: string, logprob: number, t: Translate): string {
  return t('tokenLabel', { token: visible(text, t), n: percent(Math.exp(logprob)) });
}

function visible(text: string, t: Translate): string {
  if (/^ +$/.test(text)) return `␣ ${t('spaceToken')}`;
  if (/^\s+$/.test(text)) return `↵ ${t('newLineToken')}`;
  return text.replaceAll('\n', '↵').replace(/^ /, '␣');
}

/// 100, 99.3, 0.021: two or three digits that mean something.
function percent(probability: number): string {
  const value = 100 * probability;
  if (value >= 99.95) return '100';
  if (value < 0.001) return `< ${decimal(0.001, 3)}`;
  return decimal(value, value >= 1 ? 1 : 3);
}
