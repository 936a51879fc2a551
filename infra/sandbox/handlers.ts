import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Authenticator, User } from './authentication.ts'
import { mediaTypeOf, readObject, readValue } from './body.ts'
import type { Clock } from './clock.ts'
import { validateFields } from './field-validation.ts'
import { isObject, type JsonObject, type KubeObject, objectAt } from './kube-object.ts'
import { readPage, waitUntilFresh } from './list.ts'
import { type ListOptions, parseResourceVersion } from './list-options.ts'
import type { Rendition } from './negotiate.ts'
import { readPatch } from './patch.ts'
import type { PodActions } from './pod-actions.ts'
import type { DeleteOptions, Remover } from './remove.ts'
import { renderList, renderObject } from './render.ts'
import type { Reviewer } from './reviews.ts'
import type { Route } from './route.ts'
import {
  ApiError,
  badRequest,
  conflict,
  deletedStatus,
  invalid,
  methodNotAllowed,
  notFound,
  staleMessage,
} from './status.ts'
import type { Store } from './store.ts'
import { strategyOf } from './strategies.ts'
import type { WriteOptions, Writer } from './write.ts'

/** Everything that answering needs; made once per sandbox. */
export interface Services {
  store: Store
  clock: Clock
  writer: Writer
  remove: Remover
  pods: PodActions
  review: Reviewer
  authenticator: Authenticator
  freshnessPatience: number
}

/** One authorized request on one resource. */
export interface Call {
  request: IncomingMessage
  response: ServerResponse
  route: Route
  query: URLSearchParams
  user: User
  rendition: Rendition
}

export interface Answer {
  code: number
  body: unknown
}

function writeOptions(call: Call): WriteOptions {
  const dryRun = call.query.getAll('dryRun')
  if (dryRun.some((value) => value !== 'All')) {
    throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`)
  }
  return {
    dryRun: dryRun.length > 0,
    manager: managerOf(call),
    subresource: call.route.subresource === 'status' ? 'status' : '',
  }
}

function managerOf(call: Call): string {
  const agent = (call.request.headers['user-agent'] ?? 'unknown').split('/')[0] ?? 'unknown'
  return call.query.get('fieldManager') || agent
}

async function readDeleteOptions(call: Call): Promise<DeleteOptions> {
  const body = (await readValue(call.request)) ?? {}
  if (!isObject(body)) throw badRequest('DeleteOptions must be an object')
  const { gracePeriodSeconds, preconditions, dryRun } = body
  const asked = gracePeriodSeconds ?? call.query.get('gracePeriodSeconds')
  const wanted = isObject(preconditions) ? preconditions : {}
  return {
    ...(asked === null || asked === undefined ? {} : { gracePeriodSeconds: Number(asked) }),
    preconditions: {
      ...(typeof wanted.uid === 'string' ? { uid: wanted.uid } : {}),
      ...(typeof wanted.resourceVersion === 'string' ? { resourceVersion: wanted.resourceVersion } : {}),
    },
    dryRun: call.query.has('dryRun') || (Array.isArray(dryRun) && dryRun.length > 0),
  }
}

export function createHandlers(services: Services) {
  const { store, clock, writer } = services

  function checkFields(call: Call, body: JsonObject): JsonObject {
    const mode = call.query.get('fieldValidation') ?? 'Warn'
    return validateFields(call.route.resource.kind, body, mode, (message) => {
      // RFC 7234 warn-code 299, in the quoting of apimachinery `net.NewWarningHeader`.
      call.response.appendHeader('Warning', `299 - ${JSON.stringify(message)}`)
    })
  }

  function checkPatched(call: Call, patched: KubeObject): KubeObject {
    try {
      return checkFields(call, patched as unknown as JsonObject) as unknown as KubeObject
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      const detail = error.message.slice(error.message.indexOf('strict decoding error'))
      throw invalid('', '', '', [{ field: 'patch', type: 'Invalid', value: JSON.stringify(patched), detail }])
    }
  }

  function show(call: Call, object: KubeObject): unknown {
    return renderObject(call.route.resource, object, call.rendition, clock.now())
  }

  function read(call: Call): KubeObject {
    const { resource, namespace, name } = call.route
    const found = store.get(resource, namespace, name)
    if (found === undefined) throw notFound(resource, name)
    return found
  }

  async function list(call: Call, options: ListOptions): Promise<Answer> {
    const { resource, namespace } = call.route
    const after = (delay: number, callback: () => void) => clock.after(delay, callback)
    const asked = parseResourceVersion(options.resourceVersion)
    await waitUntilFresh(store, asked, options.resourceVersion, after, services.freshnessPatience)
    const page = readPage(store, resource, namespace, options)
    return { code: 200, body: renderList(resource, page.metadata, page.items, call.rendition, clock.now()) }
  }

  async function createToken(call: Call): Promise<Answer> {
    const { namespace, name } = call.route
    const body = await readObject(call.request, 'TokenRequest')
    const spec = objectAt(body, 'spec')
    const expirationSeconds = typeof spec.expirationSeconds === 'number' ? spec.expirationSeconds : 3600
    const status = services.authenticator.issue(namespace, name, expirationSeconds)
    const audiences =
      Array.isArray(spec.audiences) && spec.audiences.length > 0 ? spec.audiences : ['https://kubernetes.default.svc']
    return {
      code: 201,
      body: {
        kind: 'TokenRequest',
        apiVersion: 'authentication.k8s.io/v1',
        metadata: { name, namespace },
        spec: { audiences, expirationSeconds, boundObjectRef: spec.boundObjectRef ?? null },
        status,
      },
    }
  }

  async function create(call: Call): Promise<Answer> {
    const { resource, namespace, name, subresource } = call.route
    if (resource.plural === 'serviceaccounts' && subresource === 'token') return createToken(call)
    const options = writeOptions(call)
    const raw: JsonObject = await readObject(call.request, resource.kind)
    const body = subresource === '' && resource.stored ? checkFields(call, raw) : raw
    const given = body as unknown as Partial<KubeObject>
    if (subresource === 'binding') return { code: 201, body: services.pods.bind(namespace, name, given, options) }
    if (subresource === 'eviction') return { code: 201, body: services.pods.evict(namespace, name, given) }
    if (resource.plural === 'bindings') {
      return { code: 201, body: services.pods.bind(namespace, given.metadata?.name ?? '', given, options) }
    }
    if (subresource !== '') throw methodNotAllowed()
    if (!resource.stored) {
      return { code: 201, body: services.review(resource, namespace, given, call.user, managerOf(call)) }
    }
    return { code: 201, body: show(call, writer.create(resource, namespace, given, options)) }
  }

  async function replace(call: Call): Promise<Answer> {
    const { resource, namespace, name, subresource } = call.route
    const options = writeOptions(call)
    const body = checkFields(call, await readObject(call.request, resource.kind)) as unknown as KubeObject
    if (subresource === 'finalize') {
      return { code: 200, body: show(call, read(call)) }
    }
    const exists = store.get(resource, namespace, name) !== undefined
    if (!exists && strategyOf(resource).createOnUpdate && subresource === '') {
      return { code: 201, body: show(call, writer.create(resource, namespace, body, options)) }
    }
    return {
      code: 200,
      body: show(
        call,
        writer.update(resource, namespace, name, () => body, options),
      ),
    }
  }

  async function modify(call: Call): Promise<Answer> {
    const { resource, namespace, name } = call.route
    const options = writeOptions(call)
    const mediaType = mediaTypeOf(call.request)
    const body = await readValue(call.request)
    const given = readPatch(mediaType, body)
    const patch = { ...given, apply: (current: KubeObject) => checkPatched(call, given.apply(current)) }
    if (patch.isApply) {
      if (!call.query.has('fieldManager')) {
        throw badRequest(
          'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
        )
      }
      const applied: WriteOptions = { ...options, operation: 'Apply' }
      if (store.get(resource, namespace, name) === undefined) {
        const given = body as Partial<KubeObject>
        const complete = { ...given, metadata: { ...given.metadata, name } }
        return { code: 201, body: show(call, writer.create(resource, namespace, complete, applied)) }
      }
      return { code: 200, body: show(call, writer.update(resource, namespace, name, patch.apply, applied)) }
    }
    const change = (current: KubeObject) => {
      const next = patch.apply(current)
      // A patch may name the version that it was made for; it is compared like a PUT's.
      const asked = next.metadata?.resourceVersion ?? ''
      if (asked !== '' && asked !== current.metadata.resourceVersion) throw conflict(resource, name, staleMessage)
      return next
    }
    return { code: 200, body: show(call, writer.update(resource, namespace, name, change, options)) }
  }

  async function remove(call: Call): Promise<Answer> {
    const { resource, namespace, name } = call.route
    const options = await readDeleteOptions(call)
    const { object, isGone } = services.remove(resource, namespace, name, options)
    // These kinds' registries hand back what they deleted; the others a Status.
    const returnsObject = ['Pod', 'ServiceAccount'].includes(resource.kind)
    if (!isGone || returnsObject) return { code: 200, body: show(call, object) }
    return { code: 200, body: deletedStatus(resource, name, object.metadata.uid ?? '') }
  }

  async function removeAll(call: Call, options: ListOptions): Promise<Answer> {
    const { resource } = call.route
    const deletion = await readDeleteOptions(call)
    const page = readPage(store, resource, call.route.namespace, { ...options, limit: 0, continue: '' })
    const deleted = page.items.flatMap((item) => {
      try {
        return services.remove(resource, item.metadata.namespace ?? '', item.metadata.name ?? '', deletion).object
      } catch (error) {
        // Somebody else was faster, which is what a deletecollection wants.
        if (error instanceof ApiError && error.status.code === 404) return []
        throw error
      }
    })
    return { code: 200, body: renderList(resource, page.metadata, deleted, call.rendition, clock.now()) }
  }

  return {
    get: async (call: Call): Promise<Answer> => ({ code: 200, body: show(call, read(call)) }),
    list,
    create,
    replace,
    modify,
    remove,
    removeAll,
  }
}
