const newline = 0x0a

/** Raised for a frame above the cap; nothing behind it in the stream can be read. */
export class OversizedFrame extends Error {
  override readonly name = 'OversizedFrame'
}

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
  return {
    push(chunk) {
      const lines: Uint8Array[] = []
      let start = 0
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
        const tail = chunk.subarray(start, end)
        if (pending + tail.length > cap) throw new OversizedFrame(`a frame is longer than ${cap} bytes`)
        lines.push(parts.length === 0 ? tail : Buffer.concat([...parts, tail]))
        parts = []
        pending = 0
        start = end + 1
      }
      if (start < chunk.length) {
        parts.push(chunk.subarray(start))
        pending += chunk.length - start
        if (pending > cap) throw new OversizedFrame(`a frame is longer than ${cap} bytes`)
      }
      return lines
    },
    get pending() {
      return pending
    },
  }
}
