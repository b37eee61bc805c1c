import { memo } from 'preact/compat';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { useT } from '../i18n/i18n.ts';
import { enhance } from './enhance.ts';
import { BlockSplitter, blockHtml, type Block } from './parse.ts';
import { sanitize } from './sanitize.ts';

/// A text as markdown. While it grows (`live`) only its last blocks are rendered again.
export function Markdown({ text, live }: { text: string; live: boolean }) {
  const splitter = useRef(new BlockSplitter());
  const blocks = useMemo(() => splitter.current.update(text), [text]);
  return (
    <div class="markdown">
      {blocks.map((block, i) => (
        <BlockView key={i} block={block} finished={!live || i < blocks.length - 1} />
      ))}
    </div>
  );
}

const BlockView = memo(
  function BlockView({ block, finished }: { block: Block; finished: boolean }) {
    const t = useT();
    const root = useRef<HTMLDivElement>(null);
    const html = useMemo(() => sanitize(blockHtml(block)), [block.raw]);
    useLayoutEffect(() => {
      if (!root.current) return;
      // Set here and not by the renderer: enhance() changes what is inside.
      root.current.innerHTML = html;
      enhance(root.current, finished, { copy: t('copy'), copied: t('copied'), code: t('code') });
    }, [html, finished, t]);
    return <div class="block" ref={root} />;
  },
  (before, after) => before.block.raw === after.block.raw && before.finished === after.finished,
);
