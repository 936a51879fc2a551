import type { Bounds, LogReader } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import { type Batch, createBatch } from './batch.ts'
import { findLoss, type Loss, type Place } from './place.ts'

/** What the log holds after a position. */
type PageAnswer =
  /** Holds the entry after the position; it may begin before that. */
  { type: 'batch'; batch: Batch } | { type: 'end' } | { type: 'gone'; reason: Loss; oldest: Place }

/** Reads what is no longer, or not yet, in memory. */
export interface Pages {
  after(position: Position): Promise<PageAnswer>
}

/**
 * Creates a reader of pages that begin at multiples of `size`: a thousand readers that come back at once and at different
 * places ask Redis for the same few pages.
 */
export function createPages(reader: LogReader, { size = 128, keep = 16 } = {}): Pages {
  const complete = new Map<string, Batch>()
  const reading = new Map<string, Promise<{ batch: Batch | undefined; bounds: Bounds }>>()

  const read = async (key: string, epoch: string, start: number) => {
    // Sent together, answered in order: bounds are never older than the entries.
    const [found, bounds] = await Promise.all([reader.read(start, size), reader.bounds()])
    const entries = found.filter((entry) => entry.seq <= start + size)
    if (bounds.epoch !== epoch || entries.length === 0) return { batch: undefined, bounds }
    const batch = createBatch(epoch, entries, bounds.seal)
    if (entries.length === size) {
      complete.set(key, batch)
      const oldest = complete.size > keep ? complete.keys().next().value : undefined
      if (oldest !== undefined) complete.delete(oldest)
    }
    return { batch, bounds }
  }

  return {
    async after(position) {
      const start = Math.floor(position.seq / size) * size
      const key = `${position.epoch} ${start}`
      const kept = complete.get(key)
      if (kept !== undefined) return { type: 'batch', batch: kept }
      const shared = reading.get(key)
      const reply = shared ?? read(key, position.epoch, start).finally(() => reading.delete(key))
      reading.set(key, reply)
      const { batch, bounds } = await reply
      const isThere = batch !== undefined && batch.from <= position.seq + 1 && position.seq < batch.to
      // A read that began before this one was asked for may be older than the position itself.
      if (shared !== undefined && !isThere) return this.after(position)
      const lost = findLoss(position, bounds)
      if (lost !== undefined) {
        const oldest = reader.oldest(bounds)
        return { type: 'gone', reason: lost, oldest: { position: oldest, seal: bounds.seal } }
      }
      if (isThere) return { type: 'batch', batch }
      // The log moved to another epoch and holds what follows all the same.
      const isMoved = position.epoch !== bounds.epoch && position.seq < bounds.last
      return isMoved ? this.after({ epoch: bounds.epoch, seq: position.seq }) : { type: 'end' }
    },
  }
}
