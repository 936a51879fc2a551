import { gapType, resourceOf } from '../../shared/event.ts'
import type { Filter } from '../../shared/filter/filter.ts'
import { listExact } from '../../shared/filter/pattern.ts'
import type { BatchEvent, Sight } from './batch.ts'
import type { View } from './view.ts'

/** What some views see of some events, in order. Views that see nothing are not in it. */
export type Routed = Map<View, Sight[]>

/**
 * Finds the views that an event may concern without asking all of them: each is kept under the values of the one clause that
 * picks the fewest events.
 */
export interface ViewIndex {
  add(view: View): void
  remove(view: View): void
  route(events: readonly BatchEvent[]): Routed
}

/** Clauses of which an event has one value, those that pick the fewest events first. */
const dimensions = ['name', 'namespace', 'resource'] as const

/** Creates an empty index. */
export function createViewIndex(): ViewIndex {
  const all = new Set<View>()
  const others = new Set<View>()
  const named = { name: createShelf(), namespace: createShelf(), resource: createShelf() }

  return {
    add(view) {
      all.add(view)
      const place = choosePlace(view.filter)
      if (place === undefined) others.add(view)
      else for (const value of place.values) named[place.by].add(value, view)
    },
    remove(view) {
      all.delete(view)
      others.delete(view)
      const place = choosePlace(view.filter)
      for (const value of place?.values ?? []) named[place?.by ?? 'name'].remove(value, view)
    },
    route(events) {
      const routed: Routed = new Map()
      for (const item of events) {
        const { event } = item
        const ask = (views: Iterable<View>) => {
          for (const view of views) {
            const scope = view.match?.(event)
            if (scope === undefined) continue
            const seen = routed.get(view)
            if (seen === undefined) routed.set(view, [item.as[scope]])
            else seen.push(item.as[scope])
          }
        }
        if (event.type === gapType) {
          ask(all)
          continue
        }
        ask(others)
        ask(named.name.of(event.data.name ?? ''))
        ask(named.namespace.of(event.data.namespace ?? ''))
        ask(named.resource.of(resourceOf(event)))
      }
      return routed
    },
  }
}

interface Place {
  readonly by: (typeof dimensions)[number]
  readonly values: ReadonlySet<string>
}

function choosePlace(filter: Filter): Place | undefined {
  for (const by of dimensions) {
    const values = listExact(filter[by])
    if (values !== undefined) return { by, values: new Set(values) }
  }
  return undefined
}

/** Views by a value. */
function createShelf() {
  const views = new Map<string, Set<View>>()
  const nothing: ReadonlySet<View> = new Set()
  return {
    of: (value: string): ReadonlySet<View> => views.get(value) ?? nothing,
    add(value: string, view: View) {
      const found = views.get(value)
      if (found === undefined) views.set(value, new Set([view]))
      else found.add(view)
    },
    remove(value: string, view: View) {
      const found = views.get(value)
      found?.delete(view)
      if (found?.size === 0) views.delete(value)
    },
  }
}
