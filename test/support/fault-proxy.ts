import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How a network misbehaves. What is set holds for open and for new connections, until it is changed. */
export interface Faults {
  /** Each piece of data is held back this long, in ms. */
  delayMs: number
  /** Data go on in pieces of at most this many bytes. */
  sliceBytes: number
  bytesPerSecond: number
  /** Connections are accepted, nothing goes through, nothing ends: a half-open network. What was held goes on afterwards. */
  blackhole: boolean
  /** Nobody listens: ECONNREFUSED. */
  refuse: boolean
}

const healthy: Faults = {
  delayMs: 0,
  sliceBytes: Number.POSITIVE_INFINITY,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  blackhole: false,
  refuse: false,
}

/** A TCP proxy that misbehaves on demand. */
export interface FaultProxy {
  readonly port: number
  /** The target's URL with the proxy in place of its host and port. */
  readonly url: string
  /** Connections since the start. */
  readonly accepted: number
  /** Connections of the moment. */
  readonly open: number
  set(faults: Partial<Faults>): Promise<void>
  /** Everything goes through again; connections that were broken stay broken. */
  heal(): Promise<void>
  /** Ends all connections with RST, as a firewall or a dead process does. */
  reset(): void
  /** Nothing goes through the open connections any more, ever, nor do they end; new ones are not affected. */
  freeze(): void
  /** Sends FIN towards the clients, and goes on taking what they send: a half-closed connection. */
  halfClose(): void
  /** From now on everything new goes to another server; open connections stay where they are. */
  retarget(url: string): void
  stop(): Promise<void>
}

interface Pair {
  client: Socket
  upstream: Socket
  isFrozen: boolean
}

/** Starts a proxy on a free loopback port. `url`: any URL; only host and port count. */
export async function startFaultProxy(url: string): Promise<FaultProxy> {
  let target = new URL(url)
  let faults = healthy
  let accepted = 0
  const pairs = new Set<Pair>()
  const waiting = new Set<() => void>()
  let server = createListener()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  function createListener(): Server {
    return createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      accepted++
      const upstream = connect({
        host: target.hostname,
        port: Number(target.port),
        allowHalfOpen: true,
        noDelay: true,
      })
      const pair = { client, upstream, isFrozen: false }
      pairs.add(pair)
      client.once('close', () => pairs.delete(pair))
      void pump(pair, client, upstream)
      void pump(pair, upstream, client)
    })
  }

  /** Copies one direction; an error on either side is one for both, once the network lets it through. */
  async function pump(pair: Pair, from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from) await forward(pair, chunk as Buffer, to)
      await passable(pair)
      if (!to.writableEnded) to.end()
    } catch {
      await passable(pair)
      to.resetAndDestroy()
      from.resetAndDestroy()
    }
  }

  async function forward(pair: Pair, chunk: Buffer, to: Socket): Promise<void> {
    if (faults.delayMs > 0) await sleep(faults.delayMs)
    for (let start = 0; start < chunk.length; ) {
      await passable(pair)
      const size = Math.min(faults.sliceBytes, Math.max(1, Math.floor(faults.bytesPerSecond / 20)), chunk.length)
      const piece = chunk.subarray(start, start + size)
      start += piece.length
      if (to.destroyed) throw new Error('the other side is gone')
      // After a half-close the rest goes nowhere.
      if (to.writableEnded) continue
      if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')])
      if (Number.isFinite(faults.bytesPerSecond)) await sleep(50)
      else if (start < chunk.length) await new Promise((resolve) => setImmediate(resolve))
    }
  }

  function passable({ isFrozen }: Pair): Promise<void> {
    if (isFrozen) return new Promise(() => undefined)
    if (!faults.blackhole) return Promise.resolve()
    return new Promise((resolve) => waiting.add(resolve))
  }

  async function listen(isRefusing: boolean): Promise<void> {
    if (isRefusing && server.listening) {
      server.close()
      // What waits in the listener's queue was not refused; it breaks instead.
      for (const { client } of pairs) if (client.bytesRead === 0) client.resetAndDestroy()
    } else if (!isRefusing && !server.listening) {
      server = createListener()
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    }
  }

  const set = async (changed: Partial<Faults>) => {
    faults = { ...faults, ...changed }
    if (!faults.blackhole) {
      for (const resolve of waiting) resolve()
      waiting.clear()
    }
    await listen(faults.refuse)
  }
  const reset = () => {
    for (const { client, upstream } of pairs) {
      client.resetAndDestroy()
      upstream.resetAndDestroy()
    }
  }
  const proxied = new URL(url)
  proxied.hostname = '127.0.0.1'
  proxied.port = String(port)

  return {
    port,
    url: proxied.href.replace(/\/$/, ''),
    get accepted() {
      return accepted
    },
    get open() {
      return pairs.size
    },
    set,
    heal: () => set(healthy),
    reset,
    freeze() {
      for (const pair of pairs) pair.isFrozen = true
    },
    halfClose() {
      for (const { client } of pairs) client.end()
    },
    retarget(next) {
      target = new URL(next)
    },
    async stop() {
      await set({ ...healthy, refuse: true })
      reset()
    },
  }
}
