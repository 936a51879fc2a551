import { expect } from 'vitest'
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

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, unknown> } | undefined>>
}

/** The statuses that the description of the API names for a request; none where it has no such operation. */
function listStatuses({ paths }: Document, method: string, path: string): string[] {
  const asked = `/v1/webhooks${path.replace(/\?.*$/, '')}`
  const isAsked = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(asked)
  const found = Object.keys(paths).find(isAsked)
  return Object.keys(paths[found ?? '']?.[method.toLowerCase()]?.responses ?? {})
}

/** Creates the app, and what asks it without a socket. Whatever it answers has to be described in its `/openapi.json`. */
export function createWebhookClient(stage: Stage): Call {
  const hono = createWebhookApp(stage)
  const document = Promise.resolve(hono.request('/openapi.json')).then(
    (response) => response.json() as Promise<Document>,
  )
  return async (method, path, body, headers = {}) => {
    const response = await hono.request(`/v1/webhooks${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...headers },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const known = listStatuses(await document, method, path)
    if (known.length > 0) expect(known, `${method} ${path}`).toContain(String(response.status))
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) }
  }
}
