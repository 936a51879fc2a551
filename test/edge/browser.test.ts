import { Redis } from 'ioredis'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createWriter, type SampleWriter, until } from '../functions/serving.ts'
import { browserPath, startBrowser, withBrowser } from '../support/browser.ts'
import { startTestEdge, type TestEdge } from '../support/edge.ts'
import { startTestRedis, type TestRedis } from '../support/redis.ts'

/** Collects, into a variable of the page, the names that a source of the browser's own tells. */
const follow = {
  EventSource: `(() => {
    window.got = []
    window.ready = 0
    const source = new EventSource('/v1/events?name=b-*')
    source.onmessage = ({ data }) => window.got.push(JSON.parse(data).data.name)
    source.addEventListener('ready', () => window.ready++)
    window.end = () => source.close()
  })()`,
  WebSocket: `(() => {
    window.got = []
    window.ready = 0
    let cursor = 'now'
    let isOver = false
    const open = () => {
      const socket = new WebSocket('/v1/events/ws?name=b-*&from=' + cursor)
      socket.onmessage = ({ data }) => {
        for (const line of data.trimEnd().split('\\n')) {
          const message = JSON.parse(line)
          cursor = message.cursor ?? cursor
          if (message.relay === 'ready') window.ready++
          if (message.data) window.got.push(message.data.name)
        }
      }
      socket.onclose = () => isOver || setTimeout(open, 100)
      window.end = () => {
        isOver = true
        socket.close()
      }
    }
    open()
  })()`,
}

describe.skipIf(browserPath === undefined)(`a page at the edge ${withBrowser}`, () => {
  let browser: Browser
  let redis: TestRedis
  let client: Redis
  let edge: TestEdge
  let writer: SampleWriter
  beforeAll(async () => {
    browser = await startBrowser()
    redis = await startTestRedis()
    client = new Redis(redis.url)
    writer = await createWriter(client, 'pods', 10_000)
    edge = await startTestEdge({ redisUrl: redis.url, limits: { heartbeat: 500 } })
  })
  afterAll(async () => {
    await browser.close()
    await edge.stop()
    client.disconnect()
    await redis.stop()
  })

  test.each(Object.entries(follow))(
    'hears everything once by its %s, though the hub is replaced',
    async (_, script) => {
      const page: Page = await browser.newPage()
      // A page of the relay without scripts of its own.
      await page.goto(`${edge.url}/openapi.json`)
      await page.evaluate(script)
      const got = () => page.evaluate<string[]>('window.got')
      const isReady = (times: number) => async () => (await page.evaluate<number>('window.ready')) === times
      await until(isReady(1), 30_000)
      for (let i = 0; i < 20; i++) await writer.append({ name: `b-${i}` })
      await until(async () => (await got()).length === 20, 30_000)
      await edge.reload()
      for (let i = 20; i < 40; i++) await writer.append({ name: `b-${i}` })
      await until(async () => (await got()).length >= 40, 60_000)
      expect(await got()).toEqual(Array.from({ length: 40 }, (_, i) => `b-${i}`))
      await page.evaluate('window.end()')
      await page.close()
    },
  )
})
