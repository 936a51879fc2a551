/** Names a life of the log: ten characters of [0-9a-z], never seen before. */
export function createEpoch(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(10))
  return Array.from(bytes, (byte) => (byte % 36).toString(36)).join('')
}
