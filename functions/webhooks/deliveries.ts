import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { formatPosition } from '../../shared/position.ts'
import { addDelivery, createAdditionEpoch } from '../../shared/webhook/addition.ts'
import type { Delivery } from '../../shared/webhook/delivery.ts'
import type { ListedDelivery } from '../../shared/webhook/ledger.ts'
import { verifyLedger } from '../../shared/webhook/verify.ts'
import { readHead } from '../listing.ts'
import { missing, type WebhookContext } from './context.ts'
import {
  deliveryCollection,
  deliveryParams,
  deliveryQuery,
  delivery as deliverySchema,
  verification,
} from './delivery-schemas.ts'
import { refusals } from './problems.ts'
import { webhookParams } from './schemas.ts'
import { viewDelivery } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })

const listRoute = createRoute({
  method: 'get',
  path: '/{id}/deliveries',
  operationId: 'listDeliveries',
  summary: 'What was sent, and how it went; newest events first',
  tags,
  request: { params: webhookParams, query: deliveryQuery },
  responses: { 200: { description: 'Deliveries.', ...json(deliveryCollection) }, ...refusals(404) },
})

const getRoute = createRoute({
  method: 'get',
  path: '/{id}/deliveries/{delivery}',
  operationId: 'getDelivery',
  summary: 'One delivery with all its attempts',
  tags,
  request: { params: deliveryParams },
  responses: { 200: { description: 'The delivery.', ...json(deliverySchema) }, ...refusals(404) },
})

const resendRoute = createRoute({
  method: 'post',
  path: '/{id}/deliveries/{delivery}/resend',
  operationId: 'resendDelivery',
  summary: 'Send the event of a delivery that came to its end once more, under the same webhook-id',
  tags,
  request: { params: deliveryParams },
  responses: {
    202: { description: 'The new delivery.', ...json(deliverySchema) },
    ...refusals(404, 409),
  },
})

const testRoute = createRoute({
  method: 'post',
  path: '/{id}/test',
  operationId: 'testWebhook',
  summary: 'Send an event of type relay.test, whatever the filter says',
  tags,
  request: { params: webhookParams },
  responses: {
    202: { description: 'The delivery; read it again to see how it went.', ...json(deliverySchema) },
    ...refusals(404, 409),
  },
})

const verifyRoute = createRoute({
  method: 'get',
  path: '/{id}/verify',
  operationId: 'verifyWebhook',
  summary: 'Compare the record of deliveries with the log and the filter',
  tags,
  request: { params: webhookParams },
  responses: { 200: { description: 'What was found.', ...json(verification) }, ...refusals(404) },
})

/** Tells what was delivered, and delivers once more. */
export function mountDeliveries(app: OpenAPIHono, context: WebhookContext): void {
  const { redis, keys, reader, ledger, now } = context
  const findEnabled = async (id: string) => {
    const webhook = await context.find(id)
    if (!webhook.enabled) throw new RelayError('conflict', `Webhook ${id} is turned off; enable it first.`)
    return webhook
  }
  const findDelivery = async (webhook: string, id: string) => {
    const found = await ledger.get(webhook, id)
    if (found === undefined) throw new RelayError('not_found', `There is no delivery ${id}, or it is no longer kept.`)
    return found
  }
  const add = async (webhook: string, id: string, delivery: Delivery) => {
    if (!(await addDelivery(redis, keys, webhook, id, delivery))) throw missing(webhook)
    return viewDelivery({ id, ...delivery })
  }

  app.openapi(listRoute, async (c) => {
    const { id } = c.req.valid('param')
    const { limit, state, continue: before, since, until, status, event } = c.req.valid('query')
    await context.find(id)
    const cursor = await readHead(reader)
    const [from, to] = [Date.parse(since ?? ''), Date.parse(until ?? '')]
    const accepts = (delivery: ListedDelivery) => {
      const last = delivery.attempts.at(-1)
      if (delivery.acceptedAt < from || delivery.acceptedAt >= to) return false
      if (event !== undefined && delivery.event !== event) return false
      return status === undefined || last?.status === status || last?.error === status
    }
    const { items, next } = await ledger.search(id, {
      limit,
      accepts,
      ...(state === undefined ? {} : { state }),
      ...(before === undefined ? {} : { before }),
    })
    return c.json({ items: items.map(viewDelivery), cursor, ...(next === undefined ? {} : { next }) }, 200)
  })

  app.openapi(getRoute, async (c) => {
    const { id, delivery } = c.req.valid('param')
    await context.find(id)
    return c.json(viewDelivery(await findDelivery(id, delivery)), 200)
  })

  app.openapi(resendRoute, async (c) => {
    const { id, delivery: repeats } = c.req.valid('param')
    const webhook = await findEnabled(id)
    const { state, event, scope, body, object, cursor = repeats } = await findDelivery(id, repeats)
    if (state === 'pending') {
      throw new RelayError('conflict', `Delivery ${repeats} has not come to its end; it is still attempted.`)
    }
    const place = repeats.slice(repeats.lastIndexOf('-') + 1)
    const isOrdered = webhook.ordering !== undefined && webhook.ordering !== 'none'
    const delivery: Delivery = {
      state: 'pending',
      event,
      acceptedAt: now().getTime(),
      group: place,
      repeats,
      cursor,
      ...(scope === undefined ? {} : { scope }),
      ...(body === undefined ? {} : { body }),
      ...(object === undefined || !isOrdered ? {} : { object }),
      attempts: [],
    }
    return c.json(await add(id, `${createAdditionEpoch('r')}-${place}`, delivery), 202)
  })

  app.openapi(testRoute, async (c) => {
    const { id } = c.req.valid('param')
    await findEnabled(id)
    const { epoch, last } = await reader.bounds()
    const name = createAdditionEpoch('t')
    const event: RelayEvent = {
      specversion: '1.0',
      id: `relay/${id}/${name}`,
      source: '/relay/webhooks',
      type: 'relay.test',
      subject: id,
      time: now().toISOString(),
      datacontenttype: 'application/json',
      data: { webhook: id, changes: [] },
    }
    const delivery: Delivery = {
      state: 'pending',
      event: event.id,
      acceptedAt: now().getTime(),
      group: last.toString(36),
      body: JSON.stringify(event),
      cursor: formatPosition({ epoch, seq: last }),
      attempts: [],
    }
    return c.json(await add(id, formatPosition({ epoch: name, seq: last }), delivery), 202)
  })

  app.openapi(verifyRoute, async (c) => {
    const webhook = await context.find(c.req.valid('param').id)
    return c.json(await verifyLedger({ redis, keys, reader, ledger }, webhook), 200)
  })
}
