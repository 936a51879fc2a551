import { joinBytes } from '../bytes.ts'

/** What Redis refuses; its message begins with Redis' own code. */
export class ReplyError extends Error {
  override readonly name = 'ReplyError'
}

const codes = { line: 13, text: 36, list: 42, simple: 43, error: 45, number: 58 } as const
const decoder = new TextDecoder()

/**
 * Creates a reader of Redis' answers (RESP 2), which may be cut anywhere on the way.
 * @param tell hears of each whole answer; of a refusal as a `ReplyError`.
 * @returns takes the next bytes. Throws on what is no answer of Redis.
 * @see https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
export function createReplyReader(tell: (reply: unknown) => void): (bytes: Uint8Array) => void {
  let rest = new Uint8Array(0)
  /** The length of the text that comes next. */
  let awaited: number | undefined
  /** Lists that are not whole yet, each inside of the one before. */
  const open: { items: unknown[]; left: number }[] = []

  const complete = (value: unknown) => {
    let whole = value
    for (let list = open.at(-1); list !== undefined; list = open.at(-1)) {
      list.items.push(whole)
      if (--list.left > 0) return
      open.pop()
      whole = list.items
    }
    tell(whole)
  }

  const begin = (kind: number | undefined, line: string) => {
    if (kind === codes.simple) complete(line)
    else if (kind === codes.error) complete(new ReplyError(line))
    else if (kind === codes.number) complete(Number(line))
    else if (line === '-1') complete(null)
    else if (kind === codes.text) awaited = Number(line)
    else if (kind !== codes.list) throw new Error('the server does not answer as Redis does')
    else if (line === '0') complete([])
    else open.push({ items: [], left: Number(line) })
  }

  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : joinBytes([rest, chunk])
    let at = 0
    for (;;) {
      if (awaited !== undefined) {
        const end = at + awaited
        if (bytes.length < end + 2) break
        awaited = undefined
        complete(decoder.decode(bytes.subarray(at, end)))
        at = end + 2
        continue
      }
      const end = bytes.indexOf(codes.line, at)
      if (end === -1 || end + 1 === bytes.length) break
      begin(bytes[at], decoder.decode(bytes.subarray(at + 1, end)))
      at = end + 2
    }
    rest = bytes.slice(at)
  }
}

const encoder = new TextEncoder()

/** Writes a command as Redis reads it. */
export function encodeCommand(words: readonly (string | number)[]): Uint8Array {
  const texts = words.map(String)
  const pieces = texts.map((text) => `$${encoder.encode(text).length}\r\n${text}\r\n`)
  return encoder.encode(`*${texts.length}\r\n${pieces.join('')}`)
}
