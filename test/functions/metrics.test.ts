import { expect, it } from 'vitest'
import { createApp } from '../../functions/app.ts'
import { writeExposition } from '../../functions/metrics/exposition.ts'
import type { Action } from '../../shared/access.ts'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { parseResources } from '../../shared/resource.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { encryptionKey, podEvent, type Stage, until } from '../workers/deliverer/stage.ts'
import { stageEach } from '../workers/deliverer/staged.ts'
import { createWebhookApp, silent } from './webhook-client.ts'

let stage: Stage

const receive = stageEach((fresh) => {
  stage = fresh
})

/** Reads the text format strictly, by its grammar: samples by name and labels, in the order in which they are written. */
function parseExposition(text: string) {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  let family = ''
  let helped = ''
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) \S.*$/.exec(line)
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/.exec(line)
    if (help !== null) {
      helped = help[1] ?? ''
    } else if (type !== null) {
      family = type[1] ?? ''
      expect([helped, types.has(family)]).toEqual([family, false])
      types.set(family, type[2] ?? '')
    } else {
      const sample =
        /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[0-9.e+-]+|[+-]Inf|NaN)$/.exec(
          line,
        )
      expect(sample, line).not.toBeNull()
      const [, name = '', labels = '', value] = sample ?? []
      const base = types.get(family) === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name
      expect(base).toBe(family)
      expect(samples.has(name + labels)).toBe(false)
      samples.set(name + labels, Number(value))
    }
  }
  return samples
}

it('writes what Prometheus reads, whatever is in a label', () => {
  const text = writeExposition([
    {
      name: 'a_total',
      type: 'counter',
      help: 'Two\nlines \\ one',
      samples: [{ labels: { x: 'a"b\\c\nd' }, value: 1.5 }],
    },
    { name: 'empty', type: 'gauge', help: 'None.', samples: [] },
    { name: 'b', type: 'gauge', help: 'Inf.', samples: [{ value: Number.POSITIVE_INFINITY }] },
  ])
  expect(text).toBe(
    '# HELP a_total Two\\nlines \\\\ one\n# TYPE a_total counter\na_total{x="a\\"b\\\\c\\nd"} 1.5\n# HELP b Inf.\n# TYPE b gauge\nb +Inf\n',
  )
})

it('tells what became of deliveries, how long attempts took, and what waits', async () => {
  const taking = await receive()
  const failing = await receive((response) => response.writeHead(500).end())
  const good = await stage.register(`${taking.url}?token=secret-in-url`)
  const bad = await stage.register(failing.url)
  stage.dispatcher()
  stage.deliverer({ schedule: [0, 20, 3_600_000] })
  await stage.append(podEvent('a'), podEvent('b'), podEvent('c'))
  const finished = async () => {
    const { delivered } = await stage.ledger.counts(good.id)
    const waiting = await stage.ledger.list(bad.id, { state: 'pending', limit: 5 })
    return delivered === 3 && waiting.length === 3 && waiting.every(({ attempts }) => attempts.length === 2)
  }
  await until(finished)
  const response = await createWebhookApp(stage).request('/metrics')
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ])
  const text = await response.text()
  expect(text).not.toContain('secret')
  expect(text).not.toContain('127.0.0.1')
  const samples = parseExposition(text)
  const of = (name: string) => samples.get(name)
  expect(of('relay_log_events_total')).toBe(3)
  expect(of('relay_log_entries')).toBe(3)
  expect(of('relay_streams')).toBe(0)
  expect(of(`relay_webhook_accepted_total{webhook="${good.id}"}`)).toBe(3)
  expect(of(`relay_webhook_deliveries_total{webhook="${good.id}",outcome="delivered"}`)).toBe(3)
  expect(of(`relay_webhook_deliveries_total{webhook="${bad.id}",outcome="dead"}`)).toBe(0)
  expect(of(`relay_webhook_pending{webhook="${bad.id}"}`)).toBe(3)
  expect(of(`relay_webhook_oldest_pending_seconds{webhook="${bad.id}"}`)).toBeGreaterThan(0)
  expect(of(`relay_webhook_oldest_pending_seconds{webhook="${good.id}"}`)).toBe(0)
  expect(of(`relay_webhook_failing_seconds{webhook="${bad.id}"}`)).toBeGreaterThan(0)
  expect(of('relay_webhook_attempt_duration_seconds_count{outcome="delivered"}')).toBe(3)
  expect(of('relay_webhook_attempt_duration_seconds_count{outcome="status"}')).toBe(6)
  expect(of('relay_webhook_attempt_duration_seconds_bucket{outcome="status",le="+Inf"}')).toBe(6)
  const buckets = [...samples].filter(([name]) => name.includes('_bucket{outcome="status"')).map(([, value]) => value)
  expect(buckets).toEqual(buckets.toSorted((a, b) => a - b))
  expect(of('relay_delivery_queue_jobs{state="delayed"}')).toBeGreaterThan(0)
})

it('is for who may see everything, and for nobody else', async () => {
  const { hono } = createApp({
    cluster: stage.cluster,
    redis: stage.redis,
    connect: () => ({ redis: stage.redis, close: () => undefined }),
    log: silent,
    resources: parseResources('pods'),
    auth: { mode: 'keys' },
    webhooks: { encryptionKey, policy: createAddressPolicy({ allowCidrs: [], allowHttp: false }) },
  })
  const keys = createApiKeyStore(stage.redis, stage.keys)
  const make = async (namespaces: string[], actions: Action[]) => {
    const grants = [{ namespaces, resources: ['*'] }]
    return (await keys.create({ tenant: 'team', grants, actions, createdAt: new Date().toISOString() })).key
  }
  const ask = async (key?: string) => {
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
    return (await hono.request('/metrics', { headers })).status
  }
  expect(await ask()).toBe(401)
  expect(await ask(await make(['shop'], ['read']))).toBe(403)
  expect(await ask(await make(['*'], ['webhooks']))).toBe(403)
  expect(await ask(await make(['*'], ['read']))).toBe(200)
})
