import { request } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { createApiKeyStore } from '../../../shared/api-key.ts'
import { keys, type Serving, startServing } from '../serving.ts'

let serving: Serving | undefined
afterEach(() => serving?.stop())

/** As a browser does whose user looks at a page of that name, which points to this machine. */
function ask(host: string, path = '/v1/pods', headers: Record<string, string> = {}) {
  const { port } = new URL(serving?.url ?? '')
  return new Promise<{ status: number; text: string }>((resolve, reject) => {
    const asking = request({ port, path, headers: { host, ...headers } }, (response) => {
      let text = ''
      response.on('data', (piece) => {
        text += piece
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    asking.on('error', reject)
    asking.end()
  })
}

test('without auth, a page whose name was made to point to this machine reads nothing', async () => {
  serving = await startServing({ origins: ['https://ops.example.com'] })
  const { port } = new URL(serving.url)
  for (const host of [
    `evil.example:${port}`,
    'evil.example',
    `127.0.0.1.evil.example:${port}`,
    `localhost.evil.example:${port}`,
    'evil-localhost',
    '10.1.2.3',
    '[fe80::1]',
    `x@127.0.0.1:${port}`.replace('@', '%40'),
  ]) {
    for (const path of ['/v1/pods', '/v1/events?from=start', '/v1/webhooks', '/metrics', '/readyz', '/']) {
      const { status, text } = await ask(host, path, { accept: 'application/json' })
      expect([400, 403], `${host} ${path}`).toContain(status)
      expect(text).not.toContain('"items"')
    }
  }
  const refused = await ask(`evil.example:${port}`)
  expect(JSON.parse(refused.text)).toMatchObject({
    field: 'Host',
    detail: expect.stringContaining('RELAY_CORS_ORIGINS'),
  })
})

test.each(['127.0.0.1', 'localhost', 'LOCALHOST', '127.8.9.1:80', '[::1]:8080', 'relay.localhost', 'ops.example.com'])(
  'without auth, %s is answered',
  async (host) => {
    serving = await startServing({ origins: ['https://ops.example.com'] })
    expect((await ask(host)).status).toBe(200)
  },
)

test('with auth, the name does not matter: a page of another name has no credential', async () => {
  serving = await startServing({ auth: { mode: 'keys' } })
  const grants = [{ namespaces: ['*'], resources: ['*'] }]
  const { key } = await createApiKeyStore(serving.client, keys).create({
    tenant: 't',
    grants,
    actions: ['read'],
    createdAt: '',
  })
  expect((await ask('relay.example.com')).status).toBe(401)
  expect((await ask('relay.example.com', '/v1/pods', { authorization: `Bearer ${key}` })).status).toBe(200)
})
