import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { readCursor } from '../../shared/cursor.ts'
import { invalid, RelayError } from '../../shared/errors.ts'
import { type RelayEvent, resourceOf } from '../../shared/event.ts'
import { compileFilter, explainFilter } from '../../shared/filter/filter.ts'
import type { Bounds, LogReader } from '../../shared/log/reader.ts'
import type { Position } from '../../shared/position.ts'
import type { ListedDelivery } from '../../shared/webhook/ledger.ts'
import { deliveryIds, readReach } from '../../shared/webhook/reach.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import type { AppEnv } from '../deps.ts'
import type { WebhookContext } from './context.ts'
import { explainQuery, explanation } from './delivery-schemas.ts'
import { refusals } from './problems.ts'
import { webhookParams } from './schemas.ts'
import { judgeDeliveries, judgeEvent, judgeTrimmed } from './verdict.ts'
import { viewDelivery } from './view.ts'

const route = createRoute({
  method: 'get',
  path: '/{id}/explain',
  operationId: 'explainDelivery',
  summary: 'What became of one event at a webhook, and why it was not sent',
  tags: ['webhooks'],
  request: { params: webhookParams, query: explainQuery },
  responses: {
    200: { description: 'The verdict.', content: { 'application/json': { schema: explanation } } },
    ...refusals(404),
  },
})

/** How many of the newest entries are searched for an event by its id. */
const scanLimit = 50_000
const pageSize = 1000

interface Found {
  seq: number
  event: RelayEvent
}

/** `GET /{id}/explain`: why an event came, or did not. */
export function mountExplanation(app: OpenAPIHono, context: WebhookContext): void {
  const { redis, keys, reader, ledger, losses, now } = context

  app.openapi(route, async (c) => {
    const webhook = await context.find(c.req.valid('param').id)
    const given = c.req.valid('query').event
    const wanted = (await ledger.get(webhook.id, given))?.event ?? given
    const { found, trimmed } = await findEvent(reader, wanted)
    // Set where callers are known: what they may not see is not there.
    const maySee = (c as Context as Context<AppEnv>).get('maySee')
    const isSeen =
      found === undefined || ((await maySee?.(resourceOf(found.event), found.event.data.namespace ?? '')) ?? true)
    const deliveries = await findDeliveries(webhook, found, wanted)
    if (deliveries.length === 0 && (!isSeen || (found === undefined && trimmed === undefined))) {
      const detail = `There is no event ${wanted} among the newest ${scanLimit.toLocaleString('en')} of the log, nor a delivery of it.`
      throw new RelayError('not_found', detail, { field: 'event' })
    }
    const reach = await readReach({ redis, keys, reader, ledger }, webhook)
    const judged =
      judgeDeliveries(deliveries, webhook, now().getTime()) ??
      (found === undefined
        ? judgeTrimmed((await losses.of([webhook.id])).get(webhook.id), trimmed ?? 0)
        : judgeEvent(webhook, reach, found.seq, compileFilter(webhook.filter)(found.event) !== undefined))
    const clauses = found === undefined || !isSeen ? {} : { clauses: explainFilter(webhook.filter, found.event) }
    return c.json(
      {
        event: found?.event.id ?? deliveries[0]?.event ?? wanted,
        ...judged,
        ...clauses,
        deliveries: deliveries.map(viewDelivery),
      },
      200,
    )
  })

  /** Newest first. */
  const findDeliveries = async (
    webhook: Webhook,
    found: Found | undefined,
    wanted: string,
  ): Promise<ListedDelivery[]> => {
    const name = found?.event.id ?? wanted
    const ids = found === undefined ? [] : deliveryIds(await reader.bounds(), found.seq)
    const own = (await Promise.all(ids.map((id) => ledger.get(webhook.id, id)))).find((each) => each?.event === name)
    const { items } = await ledger.search(webhook.id, { limit: 10, accepts: ({ event }) => event === name })
    return own === undefined || items.some(({ id }) => id === own.id) ? items : [...items, own]
  }
}

/** By its cursor at once, by its id among the newest. `trimmed`: the number of one that the log has dropped. */
async function findEvent(reader: LogReader, wanted: string): Promise<{ found?: Found; trimmed?: number }> {
  const bounds = await reader.bounds()
  const { first, last } = bounds
  if (!wanted.includes('/')) {
    const { seq } = readPlace(wanted, bounds)
    if (seq < first) return { trimmed: seq }
    const [entry] = await reader.read(seq - 1, 1)
    return entry?.seq === seq ? { found: { seq, event: JSON.parse(entry.json) } } : {}
  }
  const text = `"id":${JSON.stringify(wanted)}`
  for (let to = last; to >= first && to > last - scanLimit; to -= pageSize) {
    const page = await reader.read(Math.max(first - 1, to - pageSize), pageSize)
    const entry = page.find(({ json }) => json.includes(text))
    if (entry !== undefined) return { found: { seq: entry.seq, event: JSON.parse(entry.json) } }
  }
  return {}
}

function readPlace(text: string, bounds: Bounds): Position {
  try {
    return readCursor(text, bounds, 'event')
  } catch (error) {
    if (!(error instanceof RelayError) || error.code !== 'invalid') throw error
    throw invalid('event', 'neither the id nor the cursor of an event, nor the id of a delivery that is kept')
  }
}
