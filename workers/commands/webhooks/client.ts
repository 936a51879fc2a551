import { SetupError } from '../../../infra/node/setup-error.ts'

/** A webhook as the API tells it. */
export interface WebhookView {
  id: string
  url: string
  enabled: boolean
  filter: Record<string, string | string[]>
  description?: string
  disabledReason?: string
  failingSince?: string
  lost?: { events: number }
  [field: string]: unknown
}

/** A delivery as the API tells it. */
export interface DeliveryView {
  id: string
  eventId: string
  state: string
  acceptedAt: string
  attempts: { at: string; status?: number; error?: string; detail?: string; latencyMs: number }[]
  nextAttemptAt?: string
}

/** What became of an event, as the API tells it. */
export interface ExplanationView {
  event: string
  verdict: string
  detail: string
  clauses?: { clause: string; passes: boolean }[]
  deliveries: DeliveryView[]
}

/** What a webhook would have been sent, as the API tells it. */
export interface Rehearsal {
  history: {
    since: string
    looked: number
    matched: number
    isComplete: boolean
    latest: { time: string; type: string; subject: string; id: string }[]
  }
}

export interface TaskView {
  id: string
  state: 'running' | 'done' | 'cancelled'
  looked: number
  accepted: number
}

/** Asks the API. */
export interface WebhookClient {
  /** @throws SetupError with the API's own words when it refuses, or when nobody answers. */
  ask<T>(method: string, path: string, body?: object): Promise<T>
  /** Goes through all pages of a listing. */
  all<T>(path: string): Promise<T[]>
}

/** Creates a client of `<url>/v1/webhooks`. */
export function createWebhookClient(url: string, token: string | undefined): WebhookClient {
  const base = `${url.replace(/\/$/, '')}/v1/webhooks`
  const headers = {
    'content-type': 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  }
  return {
    async ask<T>(method: string, path: string, body?: object) {
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
      const response = await fetch(base + path, init).catch(() => {
        throw new SetupError(`Nobody answers at ${url}; start \`relay up\`, or say with --url where the API is.`)
      })
      const text = await response.text()
      if (response.ok) return (text === '' ? undefined : JSON.parse(text)) as T
      throw new SetupError(detailOf(text) ?? `${method} ${path} was answered ${response.status}.`)
    },
    async all<T>(path: string) {
      const items: T[] = []
      let next: string | undefined
      do {
        const page: { items: T[]; next?: string } = await this.ask(
          'GET',
          `${path}?limit=100${next === undefined ? '' : `&continue=${encodeURIComponent(next)}`}`,
        )
        items.push(...page.items)
        next = page.next
      } while (next !== undefined)
      return items
    },
  }
}

function detailOf(text: string): string | undefined {
  if (!text.startsWith('{')) return undefined
  const { detail } = JSON.parse(text) as { detail?: string }
  return detail
}
