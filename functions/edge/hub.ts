import { DurableObject } from 'cloudflare:workers'
import type { EdgeEnvironment } from './environment.ts'
import { createHubServer, type HubServer } from './hub-server.ts'

/**
 * A Durable Object that follows the log for its share of the subscribers. All of its requests run in one context, which is
 * what lets them share a connection: a socket of a plain Worker belongs to the request that opened it.
 */
export class RelayHub extends DurableObject<EdgeEnvironment> {
  readonly #server: HubServer

  constructor(context: DurableObjectState, env: EdgeEnvironment) {
    super(context, env)
    this.#server = createHubServer(context, env)
  }

  override fetch(request: Request): Promise<Response> {
    return this.#server.fetch(request)
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    return this.#server.sockets.receive(socket, message)
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#server.sockets.leave(socket, code)
  }

  override webSocketError(socket: WebSocket): void {
    this.#server.sockets.leave(socket)
  }

  override alarm(): Promise<void> {
    return this.#server.sockets.onAlarm()
  }
}
