import type { KubeObject } from './kube-object.ts'
import { type ListOptions, parseResourceVersion } from './list-options.ts'
import type { ListMeta } from './render.ts'
import type { Resource } from './resources.ts'
import { parseSelection } from './selectors.ts'
import { badRequest, expired, tooLargeResourceVersion } from './status.ts'
import { objectKey, type Store } from './store.ts'

/** One page of a collection. */
export interface ListPage {
  metadata: ListMeta
  items: KubeObject[]
}

interface ContinueToken {
  resourceVersion: number
  start: string
}

// apiserver `storage/continue.go`: the key of the next object, relative to the collection's prefix.
function encodeContinue(token: ContinueToken): string {
  const body = { v: 'meta.k8s.io/v1', rv: token.resourceVersion, start: token.start }
  // Go writes the NUL after the last key as \u0000, and so does JSON.stringify.
  return Buffer.from(JSON.stringify(body)).toString('base64url')
}

function decodeContinue(token: string): ContinueToken {
  const refuse = (why: string) => badRequest(`invalid continue token: continue key is not valid: ${why}`)
  const illegal = token.search(/[^\w-]/)
  if (illegal >= 0) throw refuse(`illegal base64 data at input byte ${illegal}`)
  let body: unknown
  try {
    body = JSON.parse(Buffer.from(token, 'base64url').toString())
  } catch {
    throw refuse('invalid character looking for beginning of value')
  }
  const { v, rv, start } = body as { v?: unknown; rv?: unknown; start?: unknown }
  if (v !== 'meta.k8s.io/v1') throw refuse(`server does not recognize this encoded version ${JSON.stringify(v ?? '')}`)
  if (typeof rv !== 'number' || rv === 0)
    throw refuse('incorrect encoded start resourceVersion (version meta.k8s.io/v1)')
  if (typeof start !== 'string' || start === '') throw refuse('encoded start key empty (version meta.k8s.io/v1)')
  return { resourceVersion: rv, start }
}

// Source of both: apiserver `storage/etcd3/errors.go`.
const tokenExpired =
  'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
  'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
  'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
  'deleted between the time the first chunk was returned and now may show up in the list.'
const versionExpired = 'The resourceVersion for the provided list is too old.'

/**
 * Waits until the store has reached `resourceVersion`, at most `patience` milliseconds.
 * @throws ApiError 504 when it has not by then.
 */
export function waitUntilFresh(
  store: Store,
  resourceVersion: number,
  asked: string,
  after: (delay: number, callback: () => void) => () => void,
  patience: number,
): Promise<void> {
  if (store.resourceVersion >= resourceVersion) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const cancelTimer = after(patience, () => {
      cancelWait()
      reject(tooLargeResourceVersion(asked, store.resourceVersion))
    })
    const cancelWait = store.onceAt(resourceVersion, () => {
      cancelTimer()
      resolve()
    })
  })
}

/**
 * Reads one page. The caller has waited for freshness.
 * @throws ApiError 410 when the asked version or the continue token reaches too far back.
 */
export function readPage(store: Store, resource: Resource, namespace: string, options: ListOptions): ListPage {
  const selection = parseSelection(resource, namespace, options.labelSelector, options.fieldSelector)
  const asked = parseResourceVersion(options.resourceVersion)
  if (options.continue !== '' && asked !== 0) {
    throw badRequest('specifying resource version is not allowed when using continue')
  }
  // "Any" is answered from the watch cache, which ignores the limit (apiserver `cacher.computeListLimit`).
  const limit = options.resourceVersion === '0' ? 0 : options.limit
  let at = store.resourceVersion
  let start = ''
  let objects: KubeObject[] | undefined
  const prefix = namespace === '' ? '' : `${namespace}/`
  const tokenKey = (object: KubeObject) =>
    `/${objectKey(object.metadata.namespace ?? '', object.metadata.name ?? '').slice(prefix.length)}`

  if (options.continue !== '') {
    const token = decodeContinue(options.continue)
    start = token.start
    // -1 is the inconsistent token that a 410 hands out: go on from there at the newest version.
    if (token.resourceVersion > 0) {
      at = token.resourceVersion
      objects = at > store.resourceVersion ? undefined : store.listAt(resource, at, namespace)
      if (objects === undefined) throw expired(tokenExpired, encodeContinue({ resourceVersion: -1, start }))
    }
  } else if (
    asked > 0 &&
    (options.resourceVersionMatch === 'Exact' || (limit > 0 && options.resourceVersionMatch === ''))
  ) {
    // The legacy rule: a limit with a version but no match means exactly that version.
    at = asked
    objects = store.listAt(resource, at, namespace)
    if (objects === undefined) throw expired(versionExpired)
  }
  objects ??= store.list(resource, namespace)
  if (start !== '') objects = objects.filter((object) => tokenKey(object) >= start)

  const metadata: ListMeta = { resourceVersion: String(at) }
  const items: KubeObject[] = []
  let seen = 0
  for (const object of objects) {
    if (limit > 0 && items.length === limit) {
      const last = items[items.length - 1]
      if (last !== undefined) {
        const more = objects.slice(seen).some((rest) => selection.matches(rest))
        if (more) {
          metadata.continue = encodeContinue({ resourceVersion: at, start: `${tokenKey(last)}\0` })
          // With selectors the real server cannot count what is left, and says nothing.
          if (options.labelSelector === '' && options.fieldSelector === '') {
            metadata.remainingItemCount = objects.length - seen
          }
        }
      }
      break
    }
    seen++
    if (selection.matches(object)) items.push(object)
  }
  return { metadata, items }
}
