import { readFile } from 'node:fs/promises'
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { openRedis, type RedisConnection } from '../infra/node/connect-redis.ts'
import { refuseExposure } from '../infra/node/exposure.ts'
import { pour } from '../infra/node/pour.ts'
import { loadSecretKey } from '../infra/node/secret-key.ts'
import { SetupError } from '../infra/node/setup-error.ts'
import { answerUpgrade, shouldUpgrade } from '../infra/node/upgrade.ts'
import type { RoleConfig } from '../shared/config.ts'
import { createKeys } from '../shared/keys.ts'
import { settleResources } from '../shared/resolution.ts'
import { parseConfigured } from '../shared/resource.ts'
import type { Logger, Running } from '../shared/role.ts'
import { createAddressPolicy } from '../shared/webhook/address.ts'
import { createApp } from './app.ts'
import type { AppDeps } from './deps.ts'
import { defaultLimits } from './limits.ts'
import { type PageFile, type PageFiles, pageTypes } from './routes/page.ts'
import type { Flow } from './streams/subscription.ts'
import type { Connection } from './streams/tail.ts'

/** The settings that the functions use. */
export type ServeConfig = Pick<
  RoleConfig,
  'cluster' | 'data' | 'host' | 'port' | 'redisUrl' | 'resources' | 'webhookAllowCidrs' | 'webhookAllowHttp'
> & {
  /** Where it is not set, the key is kept in a file in the data folder. */
  readonly webhookSecretKey?: string | undefined
}

/** How long a start waits for Redis before it goes on without, in ms: the first request then finds it connected. */
const patience = 1_000
/**
 * How many connections may wait to be taken; the kernel allows as many as `net.core.somaxconn`. Whoever finds no place asks
 * again after 1, 2, 4, 8… s, together with all others: of thousands that come back at once, some would wait for a minute.
 */
const backlog = 16_384
/** How often Redis is asked what names mean that only the watcher can find out, in ms; never where all are certain. */
const settleMs = 1_000

/**
 * Starts the functions on Node. Listens at once; while Redis cannot be reached, requests are answered 503 and `/readyz`
 * says why.
 * @param more what differs from the standard, such as limits; without `auth`, nobody is asked who they are.
 * @throws SetupError when others could read without being asked, the port cannot be had, or the folder for the key of webhooks.
 */
export async function startServe(
  config: ServeConfig,
  log: Logger,
  more: Partial<Pick<AppDeps, 'limits' | 'now' | 'auth' | 'origins'>> = {},
): Promise<Running> {
  refuseExposure({ host: config.host, auth: more.auth?.mode ?? 'none' })
  const resources = parseConfigured(config.resources)
  const encryptionKey = config.webhookSecretKey ?? (await loadSecretKey(config.data))
  const policy = createAddressPolicy({ allowCidrs: config.webhookAllowCidrs, allowHttp: config.webhookAllowHttp })
  const { redis, close } = connectForRequests(config.redisUrl, log)
  const ready = new Promise<void>((resolve) => redis.once('ready', resolve))
  const settling = setInterval(async () => {
    try {
      if (await settleResources(redis, createKeys(config.cluster), resources)) clearInterval(settling)
    } catch (error) {
      log.debug({ err: error }, 'what the watched names mean cannot be read')
    }
  }, settleMs)
  const connect = () => connectForTail(config.redisUrl, log)
  const page = await readPage()
  const webhooks = { encryptionKey, policy }
  const app = createApp({ cluster: config.cluster, redis, connect, log, resources, page, webhooks, ...more })
  const reviewing = setInterval(app.reviewOwners, more.limits?.owners ?? defaultLimits.owners)
  const server = createAdaptorServer({
    async fetch(request, env) {
      let flow: Flow | undefined
      const response = await app.hono.fetch(request, { pour: (given) => (flow = given) })
      return flow === undefined ? response : pour(flow, response, (env as HttpBindings).outgoing)
    },
    serverOptions: { shouldUpgradeCallback: shouldUpgrade },
  })
  server.on('clientError', answerBadRequest)
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    const ask: Parameters<typeof answerUpgrade>[3] = (request, upgrade) => app.hono.fetch(request, { upgrade })
    answerUpgrade(incoming, socket, head, ask).catch((error: unknown) => {
      log.error({ err: error }, 'an upgrade failed')
      socket.destroy()
    })
  })
  try {
    await listen(server, config)
  } catch (error) {
    clearInterval(settling)
    clearInterval(reviewing)
    close()
    throw error
  }
  let timer: NodeJS.Timeout | undefined
  await Promise.race([ready, new Promise((resolve) => (timer = setTimeout(resolve, patience)))])
  clearTimeout(timer)
  const url = describeAddress(config.host, server.address())
  log.info({ url }, 'serving')

  let stopping: Promise<void> | undefined
  const stop = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    clearInterval(reviewing)
    await app.drain()
    clearInterval(settling)
    if ('closeIdleConnections' in server) server.closeIdleConnections()
    // What is still open answers a slow request, or belongs to a client that reads nothing.
    const force = setTimeout(() => 'closeAllConnections' in server && server.closeAllConnections(), 1_000)
    await closed
    clearTimeout(force)
    close()
  }
  return { about: { url }, stop: () => (stopping ??= stop()) }
}

/** Connects for ever, and refuses commands meanwhile: a caller is told to come back rather than left to wait. */
function connectForRequests(url: string, log: Logger): { redis: RedisConnection; close(): void } {
  const redis = openRedis(url, {
    connectionName: 'relay-serve',
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: 5_000,
    retryStrategy: (attempt) => Math.min(attempt * 100, 2_000) * (0.5 + Math.random() / 2),
  })
  let isDown = false
  let isClosed = false
  const report = (reason: string) => {
    if (!isDown && !isClosed) log.warn({ reason }, 'Redis cannot be reached; trying on')
    isDown = true
  }
  redis.on('ready', () => {
    if (isDown) log.info({}, 'Redis is back')
    isDown = false
  })
  redis.on('error', (error: NodeJS.ErrnoException) => report(error.code ?? error.message))
  redis.on('close', () => report('the connection was closed'))
  const close = () => {
    isClosed = true
    redis.disconnect()
  }
  return { redis, close }
}

/** Connects once: the tail says that it failed, and asks for a new connection when it tries again. */
function connectForTail(url: string, log: Logger): Connection {
  const redis = openRedis(url, {
    connectionName: 'relay-tail',
    maxRetriesPerRequest: 0,
    // Longer than its reads block, so that a half-open connection does not look like a quiet log.
    commandTimeout: 5_000,
    retryStrategy: () => null,
  })
  redis.on('error', (error) => log.debug({ err: error }, 'the connection of the tail failed'))
  return { redis, close: () => redis.disconnect() }
}

/** Reads the page's files. */
export async function readPage(): Promise<PageFiles> {
  const read = async (name: PageFile) => [name, await readFile(new URL(`page/${name}`, import.meta.url), 'utf8')]
  const files = await Promise.all((Object.keys(pageTypes) as PageFile[]).map(read))
  return Object.fromEntries(files)
}

function listen(server: ReturnType<typeof createAdaptorServer>, { host, port }: ServeConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === undefined ? error : new SetupError(explainListen(error.code, host, port)))
    })
    server.listen({ port, host, backlog }, resolve)
  })
}

function explainListen(code: string, host: string, port: number): string {
  if (code === 'EADDRINUSE')
    return `PORT: ${port} on ${host} is taken by another program; choose another, or 0 for any.`
  if (code === 'EACCES') return `PORT: ${port} is not allowed to this user; choose one above 1023.`
  return `HOST: cannot listen on ${host} (${code}).`
}

function describeAddress(host: string, address: AddressInfo | string | null): string {
  const port = typeof address === 'object' ? address?.port : address
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What cannot be read as HTTP never reaches the app; its sender gets the same kind of answer as from there. */
function answerBadRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400
  const title = STATUS_CODES[status] ?? ''
  const detail = status === 431 ? 'The headers are longer than 16 KiB.' : 'The request is no readable HTTP.'
  const body = JSON.stringify({ type: 'about:blank', title, status, detail })
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\ncontent-type: application/problem+json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  )
}
