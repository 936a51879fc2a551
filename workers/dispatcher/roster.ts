import { compileFilter } from '../../shared/filter/filter.ts'
import { compilePattern } from '../../shared/filter/pattern.ts'
import { parsePosition } from '../../shared/position.ts'
import { parseWebhook, type WebhookStore } from '../../shared/webhook/store.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import type { Subscriber } from './match.ts'
import { planSnapshot } from './snapshot.ts'

/** The webhooks, those that are enabled compiled. */
export interface Roster {
  /** Reads what changed. True if anything did. */
  refresh(): Promise<boolean>
  get(id: string): Subscriber | undefined
  ids(): Iterable<string>
  /** Those that the relay itself turned off. */
  disabled(): Iterable<Webhook>
  /** Those that are turned off, whoever did it. */
  off(): Iterable<Webhook>
}

/** Creates a roster that costs one small read while nothing changes, and compiles a record once per change. */
export function createRoster(store: WebhookStore): Roster {
  let version: number | undefined
  let known = new Map<string, Known>()
  return {
    async refresh() {
      // The version first: what is read after it is at least as new.
      const current = await store.version()
      if (current === version) return false
      const texts = await store.texts()
      const next: typeof known = new Map()
      for (const [id, text] of Object.entries(texts)) {
        const before = known.get(id)
        next.set(id, before?.text === text ? before : compile(text))
      }
      known = next
      version = current
      return true
    },
    get: (id) => known.get(id)?.subscriber,
    *disabled() {
      for (const webhook of this.off()) if (webhook.disabledReason !== undefined) yield webhook
    },
    *off() {
      for (const { off } of known.values()) if (off !== undefined) yield off
    },
    *ids() {
      for (const [id, { subscriber }] of known) if (subscriber !== undefined) yield id
    },
  }
}

interface Known {
  text: string
  subscriber?: Subscriber
  off?: Webhook
}

function compile(text: string): Known {
  const webhook = parseWebhook(text)
  const { id, filter, start, state, enabled, ordering = 'none', content, batchSeconds = 0, owner } = webhook
  if (!enabled) return { text, off: webhook }
  const named = filter.type?.filter((type) => type.startsWith('relay.'))
  const subscriber: Subscriber = {
    id,
    matches: compileFilter(filter),
    start: parsePosition(start),
    isOrdered: ordering !== 'none',
    // What is kept in order goes one by one.
    ...(content === 'batch' && ordering === 'none' && batchSeconds > 0 ? { gather: batchSeconds * 1000 } : {}),
    ...(state === undefined ? {} : { snapshot: planSnapshot(text, state, filter) }),
    ...(named === undefined || named.length === 0 ? {} : { wantsRelay: compilePattern(filter.type ?? []) }),
    ...(owner === undefined ? {} : { tenant: owner.tenant }),
  }
  return { text, subscriber }
}
