// A Worker for tests: parts of the product that users or hubs run in a Worker, reached over HTTP.
import { DurableObject } from 'cloudflare:workers'
import { type EdgeRedis, reachRedis } from '../../../functions/edge/redis.ts'
import type { Connection } from '../../../functions/streams/tail.ts'
import { subscribe } from '../../../shared/client.ts'
import { answerCommands } from '../../support/redis-over-http/answer.ts'

interface ProbeEnvironment {
  readonly PROBE: DurableObjectNamespace<Probe>
  readonly REDIS_URL: string
  readonly REDIS_TOKEN?: string
}

/** Runs commands on the connections of a hub: `/tail` on the one that reads may block, all else on the other. */
export class Probe extends DurableObject<ProbeEnvironment> {
  readonly #redis: EdgeRedis
  #tail: Connection | undefined

  constructor(context: DurableObjectState, env: ProbeEnvironment) {
    super(context, env)
    this.#redis = reachRedis(env.REDIS_URL, { token: env.REDIS_TOKEN, rest: 1_000 })
  }

  override async fetch(request: Request): Promise<Response> {
    if (!new URL(request.url).pathname.startsWith('/tail')) return answerCommands(request, this.#redis.redis, 'probe')
    this.#tail ??= this.#redis.connect()
    return answerCommands(request, this.#tail.redis, 'probe')
  }
}

export default {
  async fetch(request: Request, env: ProbeEnvironment): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname !== '/follow') return env.PROBE.getByName('probe').fetch(request)
    const names: unknown[] = []
    const options = { url: searchParams.get('url') ?? '', cursor: searchParams.get('cursor') ?? '' }
    for await (const message of subscribe(options)) {
      if (!('relay' in message)) names.push(message.data.name)
      if (names.length === Number(searchParams.get('count'))) break
    }
    return Response.json(names)
  },
}
