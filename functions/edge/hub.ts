import { DurableObject } from 'cloudflare:workers'
import type { EdgeEnvironment } from './environment.ts'
import { serveHub } from './hub-server.ts'

/**
 * A Durable Object that follows the log for its share of the subscribers. All of its requests run in one context, which is
 * what lets them share a connection: a socket of a plain Worker belongs to the request that opened it.
 */
export class RelayHub extends DurableObject<EdgeEnvironment> {
  readonly #serve: (request: Request) => Promise<Response>

  constructor(context: DurableObjectState, env: EdgeEnvironment) {
    super(context, env)
    this.#serve = serveHub(env)
  }

  override fetch(request: Request): Promise<Response> {
    return this.#serve(request)
  }
}
