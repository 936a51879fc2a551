import { createApp } from '../../functions/app.ts'
import { parseResources } from '../../shared/resource.ts'
import type { Logger } from '../../shared/role.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { encryptionKey, type Stage } from '../workers/deliverer/stage.ts'

export const silent: Logger = {
  trace: () => undefined,
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silent,
}

// Whatever a test asks for, it says what it expects there.
export type Body = Record<string, unknown> & { items?: Record<string, unknown>[] }

/** Asks the app, below `/v1/webhooks`. */
export type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<{ status: number; headers: Headers; body: Body }>

/** Creates the app over a stage, with webhooks to this machine allowed. */
export function createWebhookApp(stage: Stage) {
  const policy = createAddressPolicy({ allowCidrs: ['127.0.0.0/8'], allowHttp: true })
  const { hono } = createApp({
    cluster: stage.cluster,
    redis: stage.redis,
    connect: () => ({ redis: stage.redis, close: () => undefined }),
    log: silent,
    resources: parseResources('pods'),
    webhooks: { encryptionKey, policy },
  })
  return hono
}

/** Creates the app, and what asks it without a socket. */
export function createWebhookClient(stage: Stage): Call {
  const hono = createWebhookApp(stage)
  return async (method, path, body, headers = {}) => {
    const response = await hono.request(`/v1/webhooks${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
  }
}
