/// Whether an input method is composing, Chinese say: keys choose a word then, and do nothing else.
/// Key code 229 says so where isComposing is already false, as in Safari.
export function isComposing(event: KeyboardEvent): boolean {
  return event.isComposing || event.keyCode === 229;
}

/// Enter without Shift.
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !isComposing(event);
}

/// The page's shortcut that was pressed: its letter with + before it if Shift is down; null for none.
/// AltGr, which Windows tells as Ctrl and Alt, writes letters.
export function shortcutOf(event: KeyboardEvent): string | null {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || isComposing(event)) return null;
  return `${event.shiftKey ? '+' : ''}${event.key.toLowerCase()}`;
}
