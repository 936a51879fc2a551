import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import { switchWebhook } from '../../shared/webhook/webhook.ts'
import { missing, type WebhookContext } from './context.ts'
import { refusals } from './problems.ts'
import { enabledWebhook, webhookParams, webhook as webhookSchema } from './schemas.ts'
import { toTime } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })

const enableRoute = createRoute({
  method: 'post',
  path: '/{id}/enable',
  operationId: 'enableWebhook',
  summary: 'Turn a webhook on; it gets the events from here on',
  tags,
  request: { params: webhookParams },
  responses: {
    200: { description: 'The webhook, and since when it may have missed something.', ...json(enabledWebhook) },
    ...refusals(404),
  },
})

const disableRoute = createRoute({
  method: 'post',
  path: '/{id}/disable',
  operationId: 'disableWebhook',
  summary: 'Turn a webhook off; what waits for it ends as disabled',
  tags,
  request: { params: webhookParams },
  responses: { 200: { description: 'The webhook.', ...json(webhookSchema) }, ...refusals(404) },
})

/** Turns webhooks on and off. */
export function mountSwitches(app: OpenAPIHono, { store, ledger, health, now, view }: WebhookContext): void {
  app.openapi(enableRoute, async (c) => {
    const { id } = c.req.valid('param')
    const failingSince = (await health.all()).get(id)?.failingSince
    let disabledAt: string | undefined
    const changed = await store.update(id, (current) => {
      disabledAt = current.disabledAt
      return switchWebhook(current, true, { at: now().getTime() })
    })
    if (changed === undefined) throw missing(id)
    await health.recover(id)
    const since = Math.min(
      failingSince ?? Number.POSITIVE_INFINITY,
      Date.parse(disabledAt ?? '') || Number.POSITIVE_INFINITY,
    )
    const recoverable = Number.isFinite(since) ? await ledger.countFailed(id, since) : 0
    const recover = { recoverable, ...(recoverable === 0 ? {} : { recoverSince: toTime(since) }) }
    return c.json({ ...(await view(changed)), ...recover }, 200)
  })

  app.openapi(disableRoute, async (c) => {
    const { id } = c.req.valid('param')
    const changed = await store.update(id, (current) =>
      current.enabled ? switchWebhook(current, false, { at: now().getTime() }) : current,
    )
    if (changed === undefined) throw missing(id)
    return c.json(await view(changed), 200)
  })
}
