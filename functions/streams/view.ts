import { compileFilter, type Filter, type Matcher } from '../../shared/filter/filter.ts'
import type { Format } from './frames.ts'

/** What a group of subscribers sees: one filter, compiled once, in one format. Equal wishes share one view. */
export interface View {
  readonly key: string
  readonly format: Format
  /** Absent when everything passes. */
  readonly match?: Matcher
}

/** The views in use. */
export interface Views {
  /** Gives the view of a filter; each one taken is to be released. */
  acquire(filter: Filter, format: Format): View
  release(view: View): void
}

/** Creates an empty set of views. */
export function createViews(): Views {
  const used = new Map<string, { view: View; readers: number }>()
  return {
    acquire(filter, format) {
      const key = `${format.name} ${canonicalize(filter)}`
      const found = used.get(key)
      if (found !== undefined) {
        found.readers++
        return found.view
      }
      const isEmpty = Object.keys(filter).length === 0
      const view = { key, format, ...(isEmpty ? {} : { match: compileFilter(filter) }) }
      used.set(key, { view, readers: 1 })
      return view
    },
    release(view) {
      const found = used.get(view.key)
      if (found !== undefined && --found.readers === 0) used.delete(view.key)
    },
  }
}

/** The same text for filters that mean the same by their words: order and repetition do not count. */
function canonicalize(filter: Filter): string {
  const clauses = Object.entries(filter).map(([name, value]) => [
    name,
    Array.isArray(value) ? [...new Set(value)].sort() : value,
  ])
  return JSON.stringify(clauses.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)))
}
