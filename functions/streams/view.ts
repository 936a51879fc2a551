import { compileFilter, type Filter, listClauses, type Matcher } from '../../shared/filter/filter.ts'
import type { BatchEvent } from './batch.ts'
import { type Format, leaveRoom } from './frames.ts'
import { createViewIndex, type Routed } from './view-index.ts'

/** What a group of subscribers sees: one filter, compiled once, in one format. Equal wishes share one view. */
export interface View {
  readonly key: string
  readonly format: Format
  readonly filter: Filter
  /** What its cursors are bound to: the clauses that its readers asked for, of which the filter may be narrower. */
  readonly clauses: readonly string[]
  /** When it was first taken, counted in views. */
  readonly born: number
  /** How many subscribers share it at the moment. */
  readers: number
  /** Absent when everything passes. */
  readonly match?: Matcher
}

/** The views in use. */
export interface Views {
  /** Gives the view of a filter; each one taken is to be released. */
  acquire(filter: Filter, format: Format, clauses?: readonly string[]): View
  release(view: View): void
  /** What the present views see of some events, and up to which view this holds. */
  route(events: readonly BatchEvent[]): { routed: Routed; born: number }
}

/** Creates an empty set of views. */
export function createViews(): Views {
  const index = createViewIndex()
  let born = 0
  const used = new Map<string, View>()
  return {
    acquire(filter, format, clauses = listClauses(filter)) {
      const key = [format.name, ...listClauses(filter), '', ...clauses].join('\n')
      const found = used.get(key)
      if (found !== undefined) {
        found.readers++
        return found
      }
      const isEmpty = Object.keys(filter).length === 0
      const view: View = {
        key,
        format: clauses.length === 0 ? format : leaveRoom(format),
        filter,
        clauses,
        born: ++born,
        readers: 1,
        ...(isEmpty ? {} : { match: compileFilter(filter) }),
      }
      if (!isEmpty) index.add(view)
      used.set(key, view)
      return view
    },
    route: (events) => ({ routed: index.route(events), born }),
    release(view) {
      if (used.get(view.key) !== view || --view.readers > 0) return
      used.delete(view.key)
      index.remove(view)
    },
  }
}
