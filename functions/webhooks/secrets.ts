import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import { RelayError } from '../../shared/errors.ts'
import { createKeyPair, createSecret, type SecretBox } from '../../shared/webhook/secret.ts'
import type { StoredSecret, Webhook } from '../../shared/webhook/webhook.ts'
import { missing, type WebhookContext } from './context.ts'
import { refusals, refusalsOfBody } from './problems.ts'
import { keySet, newKeys, rotation, webhookParams } from './schemas.ts'
import { toTime } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })
/** How many may sign at a time, of both kinds. */
const most = 10

type Signature = 'v1' | 'v1a'

const rotateRoute = createRoute({
  method: 'post',
  path: '/{id}/rotate-secret',
  operationId: 'rotateSecret',
  summary: 'Make new keys, while the old ones still sign for a while',
  tags,
  request: { params: webhookParams, body: { ...json(rotation), required: false } },
  responses: {
    200: { description: 'The new secret, told this once, and the new public key.', ...json(newKeys) },
    ...refusalsOfBody(404, 409),
  },
})

const keysRoute = createRoute({
  method: 'get',
  path: '/{id}/keys',
  operationId: 'getKeys',
  summary: 'The public keys that verify signatures v1a, the newest first',
  tags,
  request: { params: webhookParams },
  responses: { 200: { description: 'Keys.', ...json(keySet) }, ...refusals(404) },
})

/** Rotates keys, and tells the public ones. */
export function mountSecrets(app: OpenAPIHono, context: WebhookContext): void {
  const { box, store, now } = context
  app.openapi(rotateRoute, async (c) => {
    const { id } = c.req.valid('param')
    // The body may be absent, and is then none that the schema has seen.
    const { overlap = 24 * 3600 } = c.req.valid('json') ?? {}
    const time = now().getTime()
    const { secrets } = await context.find(id)
    const fresh = await createSecrets(box, id, signaturesOf(secrets))
    const changed = await store.update(id, (current) => {
      const old = current.secrets
        .map((secret) => ({
          ...secret,
          until: Math.min(secret.until ?? Number.POSITIVE_INFINITY, time + overlap * 1000),
        }))
        .filter(({ until }) => until > time)
      if (old.length + fresh.length > most) {
        throw new RelayError(
          'conflict',
          `There are ${old.length} keys that still sign; wait until some have ended, or end them all with "overlap": 0.`,
        )
      }
      return { ...current, secrets: [...fresh, ...old] }
    })
    if (changed === undefined) throw missing(id)
    return c.json(await tellSecrets(box, { id, secrets: fresh }), 200)
  })

  app.openapi(keysRoute, async (c) => {
    const { secrets } = await context.find(c.req.valid('param').id)
    const time = now().getTime()
    const keys = secrets.flatMap(({ publicKey, until }) => {
      if (publicKey === undefined || (until !== undefined && until <= time)) return []
      return [{ publicKey, ...(until === undefined ? {} : { until: toTime(until) }) }]
    })
    return c.json({ keys }, 200)
  })
}

/** Makes one key for each kind of signature. */
export function createSecrets(box: SecretBox, id: string, kinds: readonly Signature[]): Promise<StoredSecret[]> {
  const made = [...new Set(kinds)].map(async (kind): Promise<StoredSecret> => {
    if (kind === 'v1') return { sealed: await box.seal(createSecret(), id) }
    const { secret, publicKey } = await createKeyPair()
    return { sealed: await box.seal(secret, id), publicKey }
  })
  return Promise.all(made)
}

/** What is told of a webhook's newest keys: the secret that both sides need, and the public half of a pair. */
export async function tellSecrets(box: SecretBox, { id, secrets }: Pick<Webhook, 'id' | 'secrets'>) {
  const shared = secrets.find(({ publicKey }) => publicKey === undefined)
  const pair = secrets.find(({ publicKey }) => publicKey !== undefined)
  return {
    ...(shared === undefined ? {} : { secret: await box.open(shared.sealed, id) }),
    ...(pair?.publicKey === undefined ? {} : { publicKey: pair.publicKey }),
  }
}

function signaturesOf(secrets: readonly StoredSecret[]): Signature[] {
  return secrets.map(({ publicKey }) => (publicKey === undefined ? 'v1' : 'v1a'))
}
