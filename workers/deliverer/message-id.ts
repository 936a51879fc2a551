/**
 * The `webhook-id` of an event: its id with only [A-Za-z0-9_-] in it, since Standard Webhooks signs `id.timestamp.body`
 * and a dot inside would make that ambiguous. Two ids never become the same: `/` is written `__`, any other byte `_xx`.
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function toMessageId(eventId: string): string {
  return eventId.replace(/[^A-Za-z0-9-]/gu, (character) => {
    if (character === '/') return '__'
    const bytes = new TextEncoder().encode(character)
    return Array.from(bytes, (byte) => `_${byte.toString(16).padStart(2, '0')}`).join('')
  })
}
