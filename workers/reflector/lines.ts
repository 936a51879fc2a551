const newline = 0x0a

/** Raised for a frame above the cap; nothing behind it in the stream can be read. */
export class OversizedFrame extends Error {
  override readonly name = 'OversizedFrame'
  /** How it begins. */
  readonly head: Uint8Array

  constructor(cap: number, head: Uint8Array) {
    super(`a frame is longer than ${cap} bytes`)
    this.head = head
  }
}

const headBytes = 64 * 1024

/** Cuts a byte stream into lines. */
export interface LineSplitter {
  /**
   * Takes the next chunk and gives each line that is complete now, without its newline. A line is only valid until the next call.
   * @throws OversizedFrame when a line is longer than the cap.
   */
  push(chunk: Uint8Array): Uint8Array[]
  /** The bytes of a line that has not ended yet. */
  readonly pending: number
}

/**
 * Creates a splitter on byte 0x0A. Bytes, not text: a character may be cut by a chunk's end, and other line splitters also
 * cut at a bare CR, which JSON strings from elsewhere may hold.
 * @param cap the longest line, in bytes.
 */
export function createLineSplitter(cap = 16 * 1024 * 1024): LineSplitter {
  let parts: Uint8Array[] = []
  let pending = 0

  const tooLong = (tail: Uint8Array = new Uint8Array()) =>
    new OversizedFrame(cap, Buffer.concat([...parts, tail]).subarray(0, headBytes))

  return {
    push(chunk) {
      const lines: Uint8Array[] = []
      let start = 0
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
        const tail = chunk.subarray(start, end)
        if (pending + tail.length > cap) throw tooLong(tail)
        lines.push(parts.length === 0 ? tail : Buffer.concat([...parts, tail]))
        parts = []
        pending = 0
        start = end + 1
      }
      if (start < chunk.length) {
        parts.push(chunk.subarray(start))
        pending += chunk.length - start
        if (pending > cap) throw tooLong()
      }
      return lines
    },
    get pending() {
      return pending
    },
  }
}
