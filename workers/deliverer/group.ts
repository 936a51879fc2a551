import type { LoadedDelivery } from '../ledger/work.ts'
import { longestBody } from './body.ts'

/** The longest batch, in bytes. */
const longestBatch = 256_000

/**
 * Divides the deliveries of a job into batches: in order, each as long as may be. The same deliveries make the same batches
 * again.
 */
export function groupBySize(deliveries: readonly LoadedDelivery[]): LoadedDelivery[][] {
  const groups: LoadedDelivery[][] = []
  let room = 0
  for (const loaded of deliveries) {
    const { delivery, event = delivery?.body ?? '' } = loaded
    const size = Math.min(longestBody, Buffer.byteLength(event)) + overhead
    const group = groups.at(-1)
    if (group === undefined || size > room) {
      groups.push([loaded])
      room = longestBatch
    } else group.push(loaded)
    room -= size
  }
  return groups
}

/** For what is added to an event when it is sent, such as its cursor, in bytes. */
const overhead = 200
