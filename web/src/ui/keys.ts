/// Enter without Shift. While an input method composes Chinese, Enter chooses a word instead: key
/// code 229 says so where isComposing is already false, as in Safari.
export function isSendKey(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
