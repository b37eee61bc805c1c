/// Line drawings on a 24 x 24 grid.
const kPaths = {
  plus: 'M12 5v14M5 12h14',
  search: 'M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14ZM20 20l-4-4',
  sidebar: 'M4 7a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2ZM9.5 5v14',
  sliders:
    'M4 8h9M17 8h3M4 16h3M11 16h9M15 6a2 2 0 1 1 0 4 2 2 0 0 1 0-4ZM9 14a2 2 0 1 1 0 4 2 2 0 0 1 0-4Z',
  send: 'M12 19V6M6 11.5 12 5.5l6 6',
  stop: 'M8 8h8v8H8Z',
  picture:
    'M4 7a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2ZM4 16l4.5-4.5 3.5 3.5 3-3 5 5M15.5 9.5h.01',
  camera:
    'M4 9a2 2 0 0 1 2-2h1.8l1.4-2h5.6l1.4 2H18a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2ZM12 16a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z',
  copy: 'M9 9h9a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1ZM5 15V5a1 1 0 0 1 1-1h9',
  check: 'M5 12.5 10 17 19 7',
  refresh: 'M19 12a7 7 0 1 1-2.2-5.1M19 4v4.5h-4.5',
  edit: 'M5 19h3.5L18.8 8.7a1.8 1.8 0 0 0 0-2.5l-1-1a1.8 1.8 0 0 0-2.5 0L5 15.5ZM14 6.5 17.5 10',
  trash: 'M5 7h14M10 7V5h4v2M7 7l.8 12h8.4L17 7M10.5 10.5v5M13.5 10.5v5',
  close: 'M6 6l12 12M18 6 6 18',
  left: 'M14.5 6 8.5 12l6 6',
  right: 'M9.5 6l6 6-6 6',
  down: 'M6 9.5l6 6 6-6',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4',
  moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z',
  system: 'M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1ZM9 20h6M12 16v4',
  key: 'M14.5 13.5a4.5 4.5 0 1 0-4.2-2.9L4 17v3h3v-2h2v-2h2l1.2-1.3a4.5 4.5 0 0 0 2.3-1.2ZM15.5 8.5h.01',
  help: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16ZM9.8 9.8a2.3 2.3 0 1 1 3.3 2.1c-.7.4-1.1.8-1.1 1.6M12 16.3h.01',
  pause: 'M9 6v12M15 6v12',
  play: 'M8 5.5v13l10.5-6.5Z',
  warn: 'M12 4.5 3.5 19h17ZM12 10v4M12 16.5h.01',
  forward: 'M5 6l6 6-6 6M13 6l6 6-6 6',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  out: 'M12 15V4M8 8l4-4 4 4M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3',
  in: 'M12 4v11M8 11l4 4 4-4M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3',
  cards:
    'M4 5.5h9a1.5 1.5 0 0 1 1.5 1.5v0A1.5 1.5 0 0 1 13 8.5H4ZM9 15.5h11v3H9ZM4 12h7M14.5 12H20M17.5 7H20M4 17h2',
  chat: 'M5 5h14a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-7l-4.5 3.5V16H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z',
  region:
    'M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3M9 9h6v6H9Z',
  earlier: 'M20 12H8M12.5 7l-5 5 5 5M4 6v12',
  later: 'M4 12h12M11.5 7l5 5-5 5M20 6v12',
  share:
    'M9 12.9l6 3.4M15 7.7l-6 3.4M6.5 14.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM17.5 9a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM17.5 20a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z',
  heat: 'M4 5h7v6H4ZM14 5h6v6h-6ZM4 14h4v5H4ZM11 14h9v5h-9ZM6 8h3M13.5 16.5h4',
  compare:
    'M4 6a1 1 0 0 1 1-1h4v14H5a1 1 0 0 1-1-1ZM15 5h4a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1h-4ZM12 3v18',
  braces:
    'M9 5H8a2 2 0 0 0-2 2v2.5A2.5 2.5 0 0 1 3.5 12 2.5 2.5 0 0 1 6 14.5V17a2 2 0 0 0 2 2h1M15 5h1a2 2 0 0 1 2 2v2.5a2.5 2.5 0 0 0 2.5 2.5 2.5 2.5 0 0 0-2.5 2.5V17a2 2 0 0 1-2 2h-1',
  zoomIn: 'M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14ZM20 20l-4-4M11 8v6M8 11h6',
  zoomOut: 'M11 18a7 7 0 1 1 0-14 7 7 0 0 1 0 14ZM20 20l-4-4M8 11h6',
} as const;

export type IconName = keyof typeof kPaths;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      class="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      aria-hidden="true"
      focusable="false"
    >
      <path
        d={kPaths[name]}
        fill="none"
        stroke="currentColor"
        stroke-width={name === 'more' ? 2.6 : 1.8}
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}

/// A card with the warp and the weft of a loom, one over and one under the other.
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg
      class="logo"
      width={size}
      height={size}
      viewBox="0 0 32 32"
      aria-hidden="true"
      focusable="false"
    >
      <rect class="logo-card" x="1" y="1" width="30" height="30" rx="8.5" />
      <g fill="none" stroke-width="3.6" stroke-linecap="round">
        <path class="logo-warp" d="M11.5 5.8V16.4M11.5 25.1V26.2M20.5 5.8V6.9M20.5 15.6V26.2" />
        <path class="logo-weft" d="M5.8 11.5H6.9M15.6 11.5H26.2M5.8 20.5H16.4M25.1 20.5H26.2" />
      </g>
    </svg>
  );
}

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: (event: MouseEvent) => void;
  size?: number;
  class?: string;
  pressed?: boolean;
  expanded?: boolean;
  disabled?: boolean;
  shortcut?: string;
}) {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ''}`}
      aria-label={props.label}
      title={props.shortcut ? `${props.label} (${props.shortcut})` : props.label}
      onClick={props.onClick}
      {...(props.pressed === undefined ? {} : { 'aria-pressed': props.pressed })}
      {...(props.expanded === undefined ? {} : { 'aria-expanded': props.expanded })}
      disabled={props.disabled ?? false}
    >
      <Icon name={props.icon} size={props.size ?? 18} />
    </button>
  );
}
