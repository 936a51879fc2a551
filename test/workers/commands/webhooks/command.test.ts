import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Command } from 'commander'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { addWebhookCommands } from '../../../../workers/commands/webhooks/command.ts'
import { createWebhookApp } from '../../../functions/webhook-client.ts'
import { startTestRedis, type TestRedis } from '../../../support/redis.ts'
import { startReceiver } from '../../deliverer/receiver.ts'
import { createStage, podEvent, type Stage, until } from '../../deliverer/stage.ts'

let redis: TestRedis
let stage: Stage
const server = createServer((request, response) => listener(request, response))
let listener: ReturnType<typeof getRequestListener>

beforeAll(async () => {
  redis = await startTestRedis()
  stage = await createStage(redis.url)
  const app = createWebhookApp(stage)
  listener = getRequestListener((request) => app.fetch(request, {}))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  await stage.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await redis.stop()
})

async function relay(args: string[], signal?: AbortSignal, url = `http://127.0.0.1:${port()}`) {
  let [text, code] = ['', -1]
  const program = new Command('relay').exitOverride().configureOutput({ writeErr: () => undefined })
  addWebhookCommands(program, {
    url,
    token: undefined,
    print: (part) => {
      text += part
    },
    done: (exit) => {
      code = exit
    },
    ...(signal === undefined ? {} : { signal }),
  })
  await program.parseAsync(['webhooks', ...args], { from: 'user' })
  return { text, code }
}
const port = () => (server.address() as AddressInfo).port

it('registers, tests, tails, replays and verifies a webhook, and removes it', async () => {
  const receiver = await startReceiver()
  stage.dispatcher()
  stage.deliverer()
  expect((await relay(['list'])).text).toContain('There are none')
  const added = await relay(['add', receiver.url, '-f', 'phase=Failed', '--filter', 'namespace=shop', '--json'])
  expect(added.code).toBe(0)
  const { id, secret } = JSON.parse(added.text)
  expect(secret).toMatch(/^whsec_/)
  expect((await relay(['list'])).text).toBe(`${id}  on  ${receiver.url}  phase=Failed namespace=shop\n`)
  const tested = await relay(['test', id])
  expect(tested).toMatchObject({ code: 0, text: expect.stringMatching(/delivered {3}200 \d+ ms {2}relay\/wh_/) })
  await stage.append(podEvent('a', 'Failed'), podEvent('b'), podEvent('c', 'Failed'))
  await until(async () => (await stage.ledger.counts(id)).delivered === 3)
  const stop = new AbortController()
  const tail = relay(['tail', id], stop.signal)
  await stage.append(podEvent('d', 'Failed'))
  await until(async () => (await stage.ledger.counts(id)).delivered === 4)
  await new Promise((resolve) => setTimeout(resolve, 1200))
  stop.abort()
  const lines = (await tail).text.split('\n')
  expect(lines.filter((line) => line.includes('test/d-uid/') && line.includes('delivered'))).toHaveLength(1)
  expect((await relay(['replay', id, '--from', 'start', '-f', 'phase=Running'])).text).toBe(
    '1 deliveries added, 4 looked at.\n',
  )
  const rehearsed = await relay(['add', receiver.url, '-f', 'phase=Running', '--dry-run'])
  expect(rehearsed.text).toMatch(/^1 of 4 events since .*; nothing was registered\.\n.* shop\/b /)
  expect((await relay(['list'])).text.split('\n')).toHaveLength(2)
  const [failed] = (await stage.ledger.list(id, { limit: 1 })).map(({ event }) => event)
  expect((await relay(['why', id, failed ?? ''])).text).toMatch(/^delivered: .*1 attempt\.\n {2}passes {2}namespace\n/)
  const verified = await relay(['verify'])
  expect(verified).toMatchObject({ code: 0, text: expect.stringContaining('3 of 4 events match, none missing') })
  expect((await relay(['show', id])).text).toContain('test/d-uid/')
  expect((await relay(['disable', id])).text).toMatch(/enabled +false/)
  expect((await relay(['remove', id])).code).toBe(0)
  await receiver.close()
})

it('passes on what the API refuses, and says when nobody answers', async () => {
  await expect(relay(['add', 'http://10.0.0.1/'])).rejects.toThrow('not a public address')
  await expect(relay(['show', 'wh_nothing'])).rejects.toThrow('There is no webhook wh_nothing')
  await expect(relay(['add', 'http://127.0.0.1:1/', '-f', 'colour'])).rejects.toThrow('name=value')
  await expect(relay(['list'], undefined, 'http://127.0.0.1:1')).rejects.toThrow('Nobody answers')
})

it('tells a failed test, and exits with 1', async () => {
  const receiver = await startReceiver()
  await receiver.close()
  const { text } = await relay(['add', receiver.url, '--json'])
  const tested = await relay(['test', JSON.parse(text).id])
  expect(tested).toMatchObject({ code: 1, text: expect.stringContaining('connect') })
})
