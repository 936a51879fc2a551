import type { Batch } from './batch.ts'

/** The newest batches of the log, without a gap between them. */
export interface Ring {
  push(batch: Batch): void
  /** The batch that holds the entry after this sequence number, if it is still here. */
  after(seq: number): Batch | undefined
  clear(): void
}

/** How many of the newest batches keep the buffers that their readers share; readers further back are few. */
const warm = 64

/** Creates an empty ring that lets the oldest batches go beyond `maxBytes` of JSON. */
export function createRing(maxBytes: number): Ring {
  let batches: Batch[] = []
  let size = 0
  return {
    push(batch) {
      batches.push(batch)
      size += batch.size
      batches.at(-1 - warm)?.forget()
      while (size > maxBytes && batches.length > 1) size -= batches.shift()?.size ?? 0
    },
    after(seq) {
      // Nearly every reader asks for the newest.
      const newest = batches.at(-1)
      if (newest === undefined || seq >= newest.to) return undefined
      if (seq + 1 >= newest.from) return newest
      let low = 0
      let high = batches.length - 1
      while (low < high) {
        const middle = (low + high) >> 1
        if ((batches[middle]?.to ?? 0) > seq) high = middle
        else low = middle + 1
      }
      const found = batches[low]
      return found !== undefined && seq + 1 >= found.from ? found : undefined
    },
    clear() {
      batches = []
      size = 0
    },
  }
}
