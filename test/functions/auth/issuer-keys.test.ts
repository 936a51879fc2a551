import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createJwtAuthenticator } from '../../../functions/auth/jwt.ts'

let issuer: Server
let origin: string
let published: object[]
let asked: string[]
let isDown: boolean
let lines: string[]

const log = {
  warn: (fields: object, message: string) => void lines.push(`${message} ${JSON.stringify(fields)}`),
  info: (_: object, message: string) => void lines.push(message),
}

beforeEach(async () => {
  ;[published, asked, lines, isDown] = [[], [], [], false]
  issuer = createServer((request, response) => answer(request.url ?? '', response))
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}`
  // Only what says how late it is: sockets and timers stay real.
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-01-01T00:00:00Z') })
})
afterEach(() => {
  vi.useRealTimers()
  issuer.closeAllConnections()
  issuer.close()
})

function answer(path: string, response: ServerResponse): void {
  asked.push(path)
  if (isDown) return void response.destroy()
  response.end(JSON.stringify(path === '/keys' ? { keys: published } : { issuer: origin, jwks_uri: `${origin}/keys` }))
}

async function createKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'ES256' }
  const sign = (named = kid) =>
    new SignJWT({ namespaces: '*', resources: '*' })
      .setProtectedHeader({ alg: 'ES256', kid: named })
      .setIssuer(origin)
      .setSubject('ann')
      .setExpirationTime('2h')
      .sign(privateKey)
  return { jwk, sign }
}

const create = (more: object = { jwks: `${origin}/keys` }) =>
  createJwtAuthenticator({ issuer: origin, ...more }, () => new Date(), log)
const pass = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1_000)
const refused = { code: 'unauthorized' }
const unknown = { code: 'unavailable', details: { retryAfter: 5 } }

test('tokens of made up keys make the relay ask its issuer once in 5 s, and no more', async () => {
  const { jwk, sign } = await createKey('one')
  published = [jwk]
  const authenticator = create()
  expect(await authenticator.identify(await sign())).toMatchObject({ tenant: 'ann' })
  const storm = async () => {
    const made = await Promise.all(Array.from({ length: 100 }, (_, i) => sign(`made-up-${i}`)))
    for (const token of made.slice(0, 50)) await expect(authenticator.identify(token)).rejects.toMatchObject(refused)
    await Promise.all(made.map((token) => expect(authenticator.identify(token)).rejects.toMatchObject(refused)))
  }
  await storm()
  expect(asked).toEqual(['/keys'])
  pass(6)
  await storm()
  expect(asked).toEqual(['/keys', '/keys'])
})

test('a new key is found out about, and one that was taken back is good for 10 minutes at most', async () => {
  const [one, two] = [await createKey('one'), await createKey('two')]
  published = [one.jwk]
  const authenticator = create({})
  await authenticator.identify(await one.sign())
  published = [two.jwk]
  await expect(authenticator.identify(await two.sign())).rejects.toMatchObject(refused)
  pass(6)
  expect(await authenticator.identify(await two.sign())).toMatchObject({ tenant: 'ann' })
  await expect(authenticator.identify(await one.sign())).rejects.toMatchObject(refused)
  published = [one.jwk]
  pass(601)
  await expect(authenticator.identify(await two.sign())).rejects.toMatchObject(refused)
})

test('an issuer that is away is asked every 2 s; whom it knew may come for an hour, others come back later', async () => {
  const [one, two] = [await createKey('one'), await createKey('two')]
  published = [one.jwk]
  const authenticator = create()
  await authenticator.identify(await one.sign())
  isDown = true
  pass(601)
  asked = []
  for (let i = 0; i < 50; i++) {
    expect(await authenticator.identify(await one.sign())).toMatchObject({ tenant: 'ann' })
    await expect(authenticator.identify(await two.sign())).rejects.toMatchObject(unknown)
  }
  // Node repeats a request on a connection that was closed under it.
  expect(asked.length).toBeLessThanOrEqual(2)
  expect(lines).toEqual([expect.stringContaining('the keys of the issuer cannot be read')])
  pass(3)
  await authenticator.identify(await one.sign())
  expect(asked.length).toBeLessThanOrEqual(4)
  pass(3_600)
  await expect(authenticator.identify(await one.sign())).rejects.toMatchObject(unknown)
  isDown = false
  published = [two.jwk]
  pass(3)
  expect(await authenticator.identify(await two.sign())).toMatchObject({ tenant: 'ann' })
  await expect(authenticator.identify(await one.sign())).rejects.toMatchObject(refused)
  expect(lines.at(-1)).toBe('the keys of the issuer can be read again')
})

test('keys that nobody could read yet are asked for every 2 s, however many tokens come', async () => {
  const { jwk, sign } = await createKey('one')
  published = [jwk]
  isDown = true
  const authenticator = create({})
  for (let i = 0; i < 50; i++) await expect(authenticator.identify(await sign())).rejects.toMatchObject(unknown)
  expect(asked.length).toBeLessThanOrEqual(2)
  isDown = false
  pass(3)
  expect(await authenticator.identify(await sign())).toMatchObject({ tenant: 'ann' })
})
