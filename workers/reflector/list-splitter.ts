const quote = 0x22
const backslash = 0x5c
const open = 0x7b
const close = 0x7d
const openList = 0x5b
const closeList = 0x5d

/** Cuts the items out of a list response as it arrives. */
export interface ListSplitter {
  /** Takes the next chunk and gives the bytes of each item that is complete now. */
  push(chunk: Uint8Array): Uint8Array[]
  /** What is left when the response has ended: the list with `items` empty. */
  finish(): Uint8Array
}

/**
 * Creates a splitter for one `kind: …List` response. A list can be larger than the longest string (a server may ignore
 * `limit`), so items are cut out of the bytes and only they are parsed. The scanner knows strings and nesting, nothing else:
 * what it cuts out is checked by the JSON parser.
 */
export function createListSplitter(): ListSplitter {
  const envelope: Uint8Array[] = []
  let depth = 0
  let inString = false
  let escaped = false
  /** The text of the string being read at depth 1, to find the key "items". */
  let key: number[] | undefined
  let lastKey = ''
  let inItems = false
  let item: Uint8Array[] = []

  return {
    push(chunk) {
      const items: Uint8Array[] = []
      let start = 0
      for (let i = 0; i < chunk.length; i++) {
        const byte = chunk[i] as number
        if (inString) {
          if (escaped) escaped = false
          else if (byte === backslash) escaped = true
          else if (byte === quote) {
            inString = false
            if (key !== undefined) lastKey = String.fromCharCode(...key)
            key = undefined
          } else if (key !== undefined && key.length < 16) key.push(byte)
          continue
        }
        if (byte === quote) {
          inString = true
          key = depth === 1 ? [] : undefined
        } else if (byte === open || byte === openList) {
          if (!inItems && depth === 1 && byte === openList && lastKey === 'items') {
            inItems = true
            envelope.push(chunk.slice(start, i + 1))
            start = i + 1
          } else if (inItems && depth === 2) start = i
          depth++
        } else if (byte === close || byte === closeList) {
          depth--
          if (inItems && depth === 2) {
            item.push(chunk.subarray(start, i + 1))
            items.push(item.length === 1 ? (item[0] as Uint8Array) : Buffer.concat(item))
            item = []
            start = i + 1
          } else if (inItems && depth === 1) {
            inItems = false
            start = i
          }
        }
      }
      const rest = chunk.slice(start)
      if (!inItems) envelope.push(rest)
      else if (depth > 2) item.push(rest)
      return items
    },
    finish() {
      return Buffer.concat(envelope)
    },
  }
}
