import { parseCursor } from '../../shared/cursor.ts'
import { compileFilter } from '../../shared/filter/filter.ts'
import { parseWebhook, type WebhookStore } from '../../shared/webhook/store.ts'
import type { Subscriber } from './match.ts'

/** The enabled webhooks, compiled. */
export interface Roster {
  /** Reads what changed. True if anything did. */
  refresh(): Promise<boolean>
  get(id: string): Subscriber | undefined
  ids(): Iterable<string>
}

/** Creates a roster that costs one small read while nothing changes, and compiles a record once per change. */
export function createRoster(store: WebhookStore): Roster {
  let version: number | undefined
  let known = new Map<string, { text: string; subscriber: Subscriber | undefined }>()
  return {
    async refresh() {
      // The version first: what is read after it is at least as new.
      const current = await store.version()
      if (current === version) return false
      const texts = await store.texts()
      const next: typeof known = new Map()
      for (const [id, text] of Object.entries(texts)) {
        const before = known.get(id)
        next.set(id, before?.text === text ? before : { text, subscriber: compile(text) })
      }
      known = next
      version = current
      return true
    },
    get: (id) => known.get(id)?.subscriber,
    *ids() {
      for (const [id, { subscriber }] of known) if (subscriber !== undefined) yield id
    },
  }
}

function compile(text: string): Subscriber | undefined {
  const { id, filter, start, enabled, ordering = 'none' } = parseWebhook(text)
  if (!enabled) return undefined
  return { id, matches: compileFilter(filter), start: parseCursor(start), isOrdered: ordering !== 'none' }
}
