import type { Position } from '../shared/position.ts'
import type { BatchEvent } from './streams/batch.ts'
import type { Pages } from './streams/pages.ts'

/** How many entries one request looks at. */
const scanLimit = 20_000

/**
 * Tells what the log holds after a place, up to its end or until `visit` answers true.
 * @returns whether nothing was left out.
 */
export async function readHistory(
  pages: Pages,
  start: Position,
  visit: (item: BatchEvent) => boolean,
  limit = scanLimit,
): Promise<boolean> {
  let { epoch, seq } = start
  const last = seq + limit
  while (seq < last) {
    const answer = await pages.after({ epoch, seq })
    if (answer.type === 'end') return true
    if (answer.type === 'gone') {
      ;({ epoch, seq } = answer.oldest.position)
      continue
    }
    epoch = answer.batch.epoch
    for (const item of answer.batch.events) {
      if (item.seq <= seq) continue
      seq = item.seq
      if (visit(item)) return true
    }
  }
  return false
}
