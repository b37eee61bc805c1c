import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useStore } from '../base/store.ts';
import { imageTokens, server } from '../api/status.ts';
import { library } from '../chat/library.ts';
import { runIn, runs } from '../chat/session.ts';
import { kRoot, partnerOf, pathOf, versionsOf, type Conversation } from '../chat/tree.ts';
import { useT, type Key } from '../i18n/i18n.ts';
import { Composer } from './composer.tsx';
import { changeDraft } from './drafts.ts';
import { IconButton, Logo } from './icons.tsx';
import { MessageView } from './message_view.tsx';
import { announcement } from './state.ts';

export function ChatView() {
  const conversation = useStore(library, (now) =>
    now.openId === null ? undefined : now.all[now.openId],
  );
  const ready = useStore(library, (now) => now.ready);
  return (
    <div class="chat">
      {conversation ? (
        <Messages key={conversation.id} conversation={conversation} />
      ) : ready ? (
        <Welcome />
      ) : (
        <div class="messages" />
      )}
      <div class="composer-place">
        <Composer />
      </div>
      <Announcer conversation={conversation} />
    </div>
  );
}

function Messages({ conversation }: { conversation: Conversation }) {
  const t = useT();
  const path = useMemo(() => pathOf(conversation), [conversation]);
  const versions = useMemo(() => versionsOf(conversation), [conversation.messages]);
  const scroller = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(true);
  const follow = useRef(true);
  const lastTop = useRef(0);

  const toEnd = () => {
    const box = scroller.current;
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    lastTop.current = box.scrollTop;
  };
  // Follows the answer as long as the reader has not scrolled away from the end.
  useEffect(() => {
    if (follow.current) toEnd();
  });
  const lastQuestion = path.findLast((message) => message.role === 'user')?.id;
  useEffect(() => {
    follow.current = true;
    toEnd();
  }, [lastQuestion]);

  return (
    <div class="messages-place">
      <div
        class="messages"
        ref={scroller}
        role="region"
        aria-label={t('messages')}
        tabIndex={0}
        onScroll={(event) => {
          const box = event.currentTarget;
          const left = box.scrollHeight - box.scrollTop - box.clientHeight;
          // Being far from the end says nothing, a fast answer may have grown; only the reader goes up.
          // Nor does being at the end: the page's own scroll may be told of after the reader's wheel.
          const up = left > 1 && box.scrollTop < lastTop.current;
          const down = box.scrollTop > lastTop.current;
          lastTop.current = box.scrollTop;
          if (up) follow.current = false;
          else if (down && left < 48) follow.current = true;
          setAtEnd(follow.current || left < 48);
        }}
        onWheel={(event) => {
          if (event.deltaY < 0) follow.current = false;
        }}
      >
        <h1 class="visually-hidden">{conversation.title || t('untitled')}</h1>
        <div class="column">
          {path.map((message, i) => {
            const siblings = versions.get(message.parent ?? kRoot) ?? [message.id];
            const last = i === path.length - 1;
            const shared = { conversationId: conversation.id, last };
            const partner = partnerOf(conversation, message);
            if (!partner)
              return <MessageView key={message.id} {...shared} {...{ message, siblings }} />;
            const [a, b] = message.pair?.side === 'a' ? [message, partner] : [partner, message];
            return (
              <div class="pair" key={a.id}>
                {[a, b].map((one) => (
                  <MessageView
                    key={one.id}
                    {...shared}
                    message={one}
                    siblings={one === a ? siblings : []}
                    chosen={one === message}
                  />
                ))}
              </div>
            );
          })}
        </div>
      </div>
      {!atEnd && (
        <IconButton
          icon="down"
          class="to-end"
          label={t('toEnd')}
          onClick={() => {
            follow.current = true;
            scroller.current?.scrollTo({ top: scroller.current.scrollHeight, behavior: 'smooth' });
          }}
        />
      )}
    </div>
  );
}

const kIdeas: { title: Key; text: Key }[] = [
  { title: 'ideaDescribe', text: 'ideaDescribeText' },
  { title: 'ideaRead', text: 'ideaReadText' },
  { title: 'ideaCompare', text: 'ideaCompareText' },
];

function Welcome() {
  const t = useT();
  const status = useStore(server);
  const perPicture = imageTokens(status);
  return (
    <div class="messages">
      <div class="welcome">
        <Logo size={64} />
        <h1>{t('welcome')}</h1>
        <p class="quiet">
          {t('welcomeText')}
          {perPicture !== null && ` ${t('welcomeTokens', { n: perPicture })}`}
        </p>
        <div class="ideas">
          {kIdeas.map(({ title, text }) => (
            <button
              key={title}
              type="button"
              class="idea"
              onClick={() => {
                changeDraft(null, { text: t(text) });
                document.querySelector<HTMLElement>('#question')?.focus();
              }}
            >
              <strong>{t(title)}</strong>
              <span>{t(text)}</span>
            </button>
          ))}
        </div>
      </div>
    </div>
  );
}

/// Tells screen readers each finished paragraph of the answer, and its end: not every token.
function Announcer({ conversation }: { conversation: Conversation | undefined }) {
  const t = useT();
  const run = useStore(runs, (now) => runIn(now, conversation?.id ?? null));
  const spoken = useRef({ id: '', length: 0 });
  const text = useStore(announcement);
  const message = run && conversation ? conversation.messages[run.messageId] : undefined;
  useEffect(() => {
    if (!message) {
      const last = conversation?.messages[spoken.current.id];
      if (last) announcement.set(`${last.text.slice(spoken.current.length)} ${t('answerDone')}`);
      spoken.current = { id: '', length: 0 };
      return;
    }
    if (spoken.current.id !== message.id) {
      spoken.current = { id: message.id, length: message.text.length };
      announcement.set(t('waiting'));
    }
    const end = message.text.lastIndexOf('\n\n');
    if (end > spoken.current.length) {
      announcement.set(message.text.slice(spoken.current.length, end));
      spoken.current.length = end;
    }
  }, [message, t]);
  return (
    <div class="visually-hidden" aria-live="polite">
      {text}
    </div>
  );
}
