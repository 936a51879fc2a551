import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ApiKeyStore, createApiKeyStore } from '../../shared/api-key.ts'
import { browserPath, startBrowser, withBrowser } from '../support/browser.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { keys, type SampleWriter, type Serving, startServing, until } from './serving.ts'

const source = readFileSync(new URL('../../shared/client.ts', import.meta.url), 'utf8')
const client = stripTypeScriptTypes(source)
/** Follows events into a variable of the page. */
const follow = `
window.follow = (options) => {
  window.got = []
  window.ended = (async () => {
    for await (const message of window.subscribe({ longestPause: 300, ...options })) {
      window.got.push(message.relay ?? message.data.name)
    }
  })().then(() => 'ended', (error) => error.name + ' ' + error.status)
}`

describe.skipIf(browserPath === undefined)(`shared/client.ts ${withBrowser}`, () => {
  let browser: Browser
  let elsewhere: Server
  let origin: string
  let serving: Serving
  let store: ApiKeyStore
  let writer: SampleWriter
  beforeAll(async () => {
    browser = await startBrowser()
    elsewhere = createServer((request, response) => {
      const isScript = request.url === '/client.js'
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
      const page = `<script type="module">import { subscribe } from '/client.js'; window.subscribe = subscribe;${follow}</script>`
      response.end(isScript ? client : page)
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}`
    serving = await startServing({ auth: { mode: 'keys' }, origins: [origin], limits: { heartbeat: 200, review: 200 } })
    store = createApiKeyStore(serving.client, keys)
    writer = await serving.createWriter()
  })
  afterAll(async () => {
    await browser.close()
    await serving.stop()
    elsewhere.close()
  })

  const createKey = (more: object = {}) =>
    store.create({
      tenant: 'page',
      grants: [{ namespaces: ['*'], resources: ['*'] }],
      actions: ['read'],
      createdAt: '',
      ...more,
    })
  const got = (page: Page) => page.evaluate<string[]>('window.got')
  const open = async (address: string): Promise<Page> => {
    // The relay's own page lets no script in but its own.
    const context = await browser.newContext({ bypassCSP: true })
    const page = await context.newPage()
    await page.goto(address)
    return page
  }

  test('imports nothing, so that a page can load it as it is', () => {
    expect(client).not.toMatch(/^\s*import\b|\brequire\(|\bprocess\b|\bBuffer\b/m)
  })

  test('follows from a page of another origin, with tokens that it asks for anew', async () => {
    const [first, second] = [await createKey(), await createKey()]
    const page = await open(origin)
    await page.waitForFunction('window.follow')
    await page.exposeFunction('nextToken', async () => ((await store.get(first.record.id)) ? first.key : second.key))
    await page.evaluate(`window.follow({ url: '${serving.url}', token: window.nextToken, filter: { name: 'x-*' } })`)
    await until(async () => (await serving.countStreams()) === 1)
    await writer.append({ name: 'x-1' }, { name: 'other' }, { name: 'x-2' })
    await until(async () => (await got(page)).length === 2)
    await store.revoke(first.record.id)
    await until(async () => (await serving.countStreams()) === 0)
    await writer.append({ name: 'x-3' })
    await until(async () => (await got(page)).length === 3)
    expect(await got(page)).toEqual(['x-1', 'x-2', 'x-3'])
    await store.revoke(second.record.id)
    expect(await page.evaluate('window.ended')).toBe('SubscriptionError 401')
    await page.context().close()
  })

  test('follows from a page of the relay by its cookie, goes on after a broken connection, and ends when told to', async () => {
    const { key } = await createKey()
    const network = await startFaultProxy(serving.url)
    const page = await open(network.url)
    await page.addScriptTag({
      type: 'module',
      content: `${client.replace(/^export /gm, '')}\nwindow.subscribe = subscribe;${follow}`,
    })
    await page.waitForFunction('window.follow')
    await page.evaluate(`fetch('/v1/login', { method: 'POST', headers: { authorization: 'Bearer ${key}' } })`)
    await page.evaluate(`window.abort = new AbortController()
      window.follow({ url: location.origin, filter: { name: 'y-*' }, signal: window.abort.signal })`)
    await until(async () => (await serving.countStreams()) === 1)
    await writer.append({ name: 'y-1' })
    await until(async () => (await got(page)).length === 1)
    await network.set({ refuse: true })
    network.reset()
    await until(async () => (await serving.countStreams()) === 0)
    await writer.append({ name: 'y-2' }, { name: 'y-3' })
    await network.heal()
    await until(async () => (await got(page)).length === 3)
    expect(await got(page)).toEqual(['y-1', 'y-2', 'y-3'])
    await page.evaluate('window.abort.abort()')
    expect(await page.evaluate('window.ended')).toBe('ended')
    await until(async () => (await serving.countStreams()) === 0)
    await page.context().close()
    await network.stop()
  })
})
