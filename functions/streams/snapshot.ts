import { type ObjectData, resourceOf } from '../../shared/event.ts'
import { compileFilter, type Filter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { Position } from '../../shared/position.ts'
import { nameResource, type WatchedResource } from '../../shared/resource.ts'
import type { StateReader } from '../../shared/state.ts'
import { selectResources, toStateEvent } from '../../shared/state-event.ts'
import type { BatchEvent } from './batch.ts'
import { encodeText, type Format } from './frames.ts'
import type { Seen } from './subscription.ts'

const pageSize = 200

/** What is needed to tell the current objects as events. */
export interface SnapshotOptions {
  readonly state: StateReader
  readonly cluster: string
  readonly resources: readonly WatchedResource[]
  readonly filter: Filter
  readonly format: Format
  /** Where live reading begins: not after the moment of the first page. */
  readonly start: Position
  readonly now: () => Date
}

/** The current objects as a reader is told of them, and what it need not be told again. */
export interface Snapshot {
  readonly frames: AsyncGenerator<Uint8Array, void, void>
  readonly seen: Seen
}

/**
 * Reads the objects that pass a filter, page by page. The pages are of different moments, all after `start`; an object's own
 * sequence number says which live events its page included.
 */
export function readSnapshot(options: SnapshotOptions): Snapshot {
  const told = new Map<string, number>()
  let until = options.start.seq

  async function* frames(): AsyncGenerator<Uint8Array, void, void> {
    const match = compileFilter(options.filter)
    for (const resource of selectResources(options.resources, options.filter.resource)) {
      const namespaces = listExact(options.filter.namespace) ?? [undefined]
      for (const namespace of new Set(namespaces)) {
        let after: string | undefined
        do {
          const page = await options.state.page<ObjectData>(nameResource(resource), {
            limit: pageSize,
            ...(namespace === undefined ? {} : { namespace }),
            ...(after === undefined ? {} : { after }),
          })
          let text = ''
          for (const { key, seq, data } of page.objects) {
            const event = toStateEvent(options.cluster, resource, data, options.now().toISOString())
            if (match(event) === undefined) continue
            text += options.format.state(JSON.stringify(event))
            if (seq <= options.start.seq) continue
            told.set(`${resource.resource} ${key}`, seq)
            until = Math.max(until, seq)
          }
          if (text !== '') yield encodeText(text)
          after = page.next
        } while (after !== undefined)
      }
    }
  }

  return {
    frames: frames(),
    seen: {
      has: ({ seq, event }: BatchEvent) =>
        seq <= (told.get(`${resourceOf(event)} ${event.data.namespace ?? ''}/${event.data.name ?? ''}`) ?? 0),
      until: () => until,
    },
  }
}
