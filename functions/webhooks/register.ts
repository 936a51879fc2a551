import { createRoute, type OpenAPIHono, type z } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { invalid, RelayError } from '../../shared/errors.ts'
import { formatPosition, parsePosition } from '../../shared/position.ts'
import { selectResources } from '../../shared/state-event.ts'
import type { SecretBox } from '../../shared/webhook/secret.ts'
import type { Webhook } from '../../shared/webhook/webhook.ts'
import type { AppEnv } from '../deps.ts'
import { findStart, requireKept } from '../start.ts'
import { refuseFuture, type WebhookContext } from './context.ts'
import { tryFilter } from './history.ts'
import { createOnce } from './once.ts'
import { refusalsOfBody } from './problems.ts'
import { createdWebhook, creationHeaders, creationQuery, etag, rehearsal, webhookInput } from './schemas.ts'
import { createSecrets, tellSecrets } from './secrets.ts'
import { tagOf } from './version.ts'
import { viewWebhook } from './view.ts'

const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })
/** How far a dry run looks back, in ms. */
const hour = 3_600_000
/** Of one owner. */
const mostWebhooks = 1000

const route = createRoute({
  method: 'post',
  path: '/',
  operationId: 'createWebhook',
  summary:
    'Register a webhook; or with `dryRun`, only check it, and tell what it would have been sent in the last hour',
  tags: ['webhooks'],
  request: { headers: creationHeaders, query: creationQuery, body: { ...json(webhookInput), required: true } },
  responses: {
    200: { description: 'Of a dry run: it is valid; nothing was registered.', ...json(rehearsal) },
    201: {
      description: 'Registered. The secret is told this once.',
      headers: { ...etag, Location: { schema: { type: 'string' }, description: 'Its address.' } },
      ...json(createdWebhook),
    },
    ...refusalsOfBody(409, 410, 422),
  },
})

/** Registers webhooks, and rehearses it. */
export function mountRegistration(app: OpenAPIHono, context: WebhookContext): void {
  const { policy, reader, store, box, resources, now } = context
  type Input = z.infer<typeof webhookInput>

  /** All of a webhook but what makes it one of its own. */
  const draft = async (input: Input) => {
    const { description, ordering, content, batchSeconds, schedule, fields } = input
    const url = policy.checkUrl(input.url).href
    const filter = context.readFilter(input.filter)
    requireBatches(input)
    refuseFuture('from', input.from, now())
    const start = await findStart(reader, input.from)
    return {
      url,
      filter,
      ...(description === undefined ? {} : { description }),
      enabled: true,
      ...(ordering === undefined ? {} : { ordering }),
      ...(content === undefined ? {} : { content }),
      ...(batchSeconds === undefined ? {} : { batchSeconds }),
      ...(schedule === undefined ? {} : { schedule: toMs(schedule) }),
      ...(fields === undefined ? {} : { fields }),
      start: formatPosition(requireKept(start)),
      ...(start.withState ? { state: selectResources(resources, filter.resource).map(nameOnly) } : {}),
    }
  }
  const requireRoom = async (tenant: string | undefined) => {
    const own = (await store.all()).filter(({ owner }) => owner?.tenant === tenant)
    if (own.length < mostWebhooks) return
    throw new RelayError('unprocessable', `There are ${own.length} webhooks of yours; remove one first.`)
  }
  const rehearse = async (input: Input) => {
    const { url, filter, start } = await draft(input)
    const cursor = await reader.toCursor(parsePosition(start))
    return { url, filter, start: cursor, history: await tryFilter(reader, filter, now().getTime() - hour) }
  }
  const answer = async (webhook: Webhook) => ({
    ...(await viewWebhook(reader, webhook)),
    ...(await tellSecrets(box, webhook)),
  })

  app.openapi(route, async (c) => {
    const input = c.req.valid('json')
    // The schema of events describes what the log holds.
    if (c.req.valid('query').dryRun) return c.json((await rehearse(input)) as z.infer<typeof rehearsal>, 200)
    // Set where callers are known.
    const owner = (c as Context as Context<AppEnv>).get('owner')
    const key = c.req.valid('header')['idempotency-key']
    const once = createOnce(context, { key, caller: owner?.tenant, input })
    const known = await once.find()
    const before = known === undefined ? undefined : await store.get(known.id)
    if (before !== undefined) return c.json(await answer(before), 201, describe(before))
    if (known?.isDone) {
      throw new RelayError('conflict', `Idempotency-Key: its webhook ${known.id} was removed; take a new one.`, {
        field: 'Idempotency-Key',
      })
    }
    const parts = await draft(input)
    await requireRoom(owner?.tenant)
    const id = await once.take()
    const created: Webhook = {
      id,
      ...parts,
      ...(owner === undefined ? {} : { owner }),
      ...(input.headers === undefined ? {} : { headers: await sealHeaders(box, id, input.headers) }),
      createdAt: now().toISOString(),
      secrets: await createSecrets(box, id, input.signatures),
    }
    const isFirst = await store.create(created)
    await once.done(id)
    const webhook = isFirst ? created : await context.find(id)
    return c.json(await answer(webhook), 201, describe(webhook))
  })
}

function describe(webhook: Webhook) {
  return { location: `/v1/webhooks/${webhook.id}`, etag: tagOf(webhook) }
}

/** @throws RelayError `invalid` where batches are to wait that there are none of. */
export function requireBatches(
  wish: { [name in 'batchSeconds' | 'content' | 'ordering']?: Webhook[name] | undefined },
) {
  const { batchSeconds = 0, content, ordering = 'none' } = wish
  if (batchSeconds > 0 && (content !== 'batch' || ordering !== 'none')) {
    throw invalid('batchSeconds', 'only with "content": "batch" and "ordering": "none"')
  }
}

/** Encrypts what is sent in headers. */
export async function sealHeaders(
  box: SecretBox,
  id: string,
  headers: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const sealed = Object.entries(headers).map(async ([name, value]) => [name, await box.seal(value, id)] as const)
  return Object.fromEntries(await Promise.all(sealed))
}

export function toMs(seconds: readonly number[]): number[] {
  return seconds.map((each) => each * 1000)
}

function nameOnly({ group, version, resource, kind }: WebhookContext['resources'][number]) {
  return { group, version, resource, ...(kind === undefined ? {} : { kind }) }
}
