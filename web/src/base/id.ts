/// 16 random lower-case letters and digits. Not crypto.randomUUID(), which a page served over
/// plain HTTP from another machine does not have.
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => 'abcdefghijklmnopqrstuvwxyz012345'[byte & 31]).join('');
}
