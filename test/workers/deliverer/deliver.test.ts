import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadSecretKey } from '../../../infra/node/secret-key.ts'
import { createSecretBox } from '../../../shared/webhook/secret.ts'
import { startDeliver } from '../../../workers/commands/deliver.ts'
import { startTestRedis } from '../../support/redis.ts'
import { startReceiver } from './receiver.ts'
import { createStage, podEvent, until } from './stage.ts'

const silent = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
}

test('the role starts without Redis, delivers once it is there, and stops soon in both cases', {
  timeout: 60_000,
}, async () => {
  const server = await startTestRedis()
  const data = await mkdtemp(join(tmpdir(), 'relay-deliver-'))
  const config = {
    redisUrl: server.url,
    cluster: 'demo',
    data,
    webhookAllowCidrs: ['127.0.0.0/8'],
    webhookAllowHttp: true,
  }
  await server.kill()
  const idle = await startDeliver(config, silent)
  const begun = performance.now()
  await idle.stop()
  await idle.stop()
  expect(performance.now() - begun).toBeLessThan(3000)

  const running = await startDeliver(config, silent)
  await server.restart()
  const receiver = await startReceiver()
  const stage = await createStage(server.url, 'demo')
  const webhook = await stage.register(receiver.url)
  const box = createSecretBox(await loadSecretKey(data))
  const sealed = await box.seal(webhook.secret, webhook.id)
  await stage.store.update(webhook.id, (current) => ({ ...current, secrets: [{ sealed }] }))
  await stage.append(podEvent('web'))
  await until(async () => (await stage.ledger.counts(webhook.id)).delivered === 1, 20_000)
  expect(receiver.received[0]?.headers['user-agent']).toMatch(/^kube-watch-relay\/\d+\.\d+\.\d+$/)
  const before = performance.now()
  await running.stop()
  expect(performance.now() - before).toBeLessThan(3000)
  await stage.close()
  await receiver.close()
  await server.stop()
  await rm(data, { recursive: true })
})

test('an attempt whose secret cannot be read any more is recorded as that', async () => {
  const server = await startTestRedis()
  const receiver = await startReceiver()
  const stage = await createStage(server.url)
  const webhook = await stage.register(receiver.url)
  await stage.store.update(webhook.id, (current) => ({ ...current, secrets: [{ sealed: 'v1.AAAA.AAAA' }] }))
  stage.dispatcher()
  stage.deliverer({ schedule: [0] })
  await stage.append(podEvent('web'))
  await until(async () => (await stage.ledger.counts(webhook.id)).dead === 1)
  const [delivery] = await stage.ledger.list(webhook.id, { limit: 1 })
  expect(delivery?.attempts).toMatchObject([{ error: 'secret' }])
  expect(receiver.received).toEqual([])
  await stage.close()
  await receiver.close()
  await server.stop()
})
