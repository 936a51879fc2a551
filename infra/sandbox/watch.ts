import type { ServerResponse } from 'node:http'
import type { Clock } from './clock.ts'
import type { KubeObject } from './kube-object.ts'
import { waitUntilFresh } from './list.ts'
import { type ListOptions, parseResourceVersion } from './list-options.ts'
import type { Rendition } from './negotiate.ts'
import type { Random } from './random.ts'
import { encodeJson, renderObject } from './render.ts'
import { apiVersionOf, type Resource } from './resources.ts'
import { parseSelection, type Selection } from './selectors.ts'
import { ApiError, expired } from './status.ts'
import { type Store, type StoreEvent, withResourceVersion } from './store.ts'
import { createWatchSender, type SenderLimits, type WatchSender } from './watch-sender.ts'

export interface WatchSettings extends SenderLimits {
  /** Milliseconds between bookmarks. */
  bookmarkInterval: number
  /** Milliseconds to wait for a resourceVersion that has not happened yet. */
  freshnessPatience: number
}

export interface WatchContext {
  store: Store
  clock: Clock
  random: Random
  settings: WatchSettings
  /** Called to end the watch when the server stops; returns how to unregister. */
  onStop(end: () => void): () => void
}

type EventType = StoreEvent['type']

/** apiserver `endpoints/handlers/get.go`: without timeoutSeconds a watch lives 30 to 60 minutes. */
const defaultLifetime = 1_800_000
/** apiserver `storage/cacher/cache_watcher.go`: the last bookmark comes this long before the deadline. */
const lastBookmarkLead = 2_000

function frame(type: EventType | 'BOOKMARK' | 'ERROR', object: unknown): Buffer {
  return Buffer.from(`{"type":"${type}","object":${encodeJson(object)}}\n`)
}

/** What an event is to a watcher with this selection: objects that enter it are ADDED, those that leave it DELETED. */
function judge(event: StoreEvent, selection: Selection): { type: EventType; object: KubeObject } | undefined {
  if (selection.all) return event
  const isIn = event.type !== 'DELETED' && selection.matches(event.object)
  const wasIn = event.previous !== undefined && selection.matches(event.previous)
  if (isIn) return { type: wasIn ? 'MODIFIED' : 'ADDED', object: event.object }
  if (!wasIn || event.previous === undefined) return undefined
  if (event.type === 'DELETED') return event
  // The state that the watcher last knew, with the version of the change that took it out.
  return { type: 'DELETED', object: withResourceVersion(event.previous, event.resourceVersion) }
}

function bookmark(resource: Resource, resourceVersion: number, endsInitial: boolean): KubeObject {
  return {
    kind: resource.kind,
    apiVersion: apiVersionOf(resource),
    metadata: {
      resourceVersion: String(resourceVersion),
      ...(endsInitial ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
    },
    ...resource.blank,
  }
}

/** How many changes ago an event may be for its frames to be kept: long enough for all watchers of the moment. */
const sharedFor = 1000

function createEncoder(store: Store, resource: Resource, rendition: Rendition, clock: Clock) {
  let isFirst = true
  return function encode(type: EventType | 'BOOKMARK', object: KubeObject, event?: StoreEvent): Buffer {
    // Ages make every Table its own, so only the timeless shapes are shared among watchers.
    const isFresh = event !== undefined && event.resourceVersion > store.resourceVersion - sharedFor
    const shared = rendition.shape === 'table' || !isFresh ? undefined : event.frames
    const key = `${rendition.shape}:${type}`
    const known = shared?.get(key)
    if (known !== undefined) return known
    const encoded = frame(type, renderObject(resource, object, rendition, clock.now(), isFirst))
    isFirst = false
    shared?.set(key, encoded)
    return encoded
  }
}

interface Opening {
  initial: KubeObject[]
  backlog: readonly StoreEvent[]
  /** Events up to here are none of this watcher's business. */
  after: number
}

/** @throws ApiError 410 when the version is older than the window. */
function open(store: Store, resource: Resource, options: ListOptions, namespace: string): Opening {
  const asked = parseResourceVersion(options.resourceVersion)
  const wantsState = options.sendInitialEvents ?? asked === 0
  if (wantsState) return { initial: store.list(resource, namespace), backlog: [], after: store.resourceVersion }
  if (asked === 0) return { initial: [], backlog: [], after: store.resourceVersion }
  const backlog = store.since(resource, asked)
  if (backlog === undefined) {
    throw expired(`too old resource version: ${options.resourceVersion} (${store.oldest(resource)})`)
  }
  return { initial: [], backlog, after: Math.max(asked, store.resourceVersion) }
}

function scheduleBookmarks(context: WatchContext, deadline: number, send: () => void): () => void {
  const { clock, random, settings } = context
  let cancel: () => void = () => undefined
  const plan = () => {
    const now = clock.now()
    // A quarter of jitter, so that many watchers do not all speak at once.
    const regular = now + settings.bookmarkInterval * (1 + random.next() / 4)
    const last = deadline - lastBookmarkLead
    const next = last > now ? Math.min(regular, last) : regular
    cancel = clock.after(next - now, () => {
      send()
      plan()
    })
  }
  plan()
  return () => cancel()
}

/**
 * Answers a watch. Refusals that the real server makes before streaming are thrown; those it makes afterwards are ERROR
 * events inside a 200.
 */
export async function serveWatch(
  context: WatchContext,
  response: ServerResponse,
  resource: Resource,
  namespace: string,
  options: ListOptions,
  rendition: Rendition,
): Promise<void> {
  const { store, clock } = context
  const selection = parseSelection(resource, namespace, options.labelSelector, options.fieldSelector)
  const asked = parseResourceVersion(options.resourceVersion)
  const given = options.timeoutSeconds ?? 0
  const lifetime = given > 0 ? given * 1000 : defaultLifetime * (1 + context.random.next())
  const deadline = clock.now() + lifetime
  const encode = createEncoder(store, resource, rendition, clock)
  const cleanups: (() => void)[] = []
  let isOver = false

  const stop = () => {
    isOver = true
    for (const cleanup of cleanups.splice(0)) cleanup()
  }
  const sender: WatchSender = createWatchSender(response, clock, context.settings, stop)
  const end = () => {
    stop()
    sender.end()
  }
  response.on('close', stop)
  cleanups.push(context.onStop(end))
  cleanups.push(clock.after(lifetime, end))
  response.writeHead(200)
  response.flushHeaders()

  let opening: Opening
  try {
    if (options.sendInitialEvents === true) {
      const after = (delay: number, callback: () => void) => clock.after(delay, callback)
      await waitUntilFresh(store, asked, options.resourceVersion, after, context.settings.freshnessPatience)
    }
    if (isOver) return
    opening = open(store, resource, options, namespace)
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    sender.send(frame('ERROR', error.status))
    end()
    return
  }

  const deliver = (event: StoreEvent) => {
    const seen = judge(event, selection)
    if (seen !== undefined) sender.send(encode(seen.type, seen.object, event))
  }
  for (const object of opening.initial) {
    if (selection.matches(object)) sender.send(encode('ADDED', object))
  }
  for (const event of opening.backlog) deliver(event)
  if (options.sendInitialEvents === true && options.allowWatchBookmarks) {
    sender.send(encode('BOOKMARK', bookmark(resource, opening.after, true)))
  }
  if (isOver) return
  cleanups.push(
    store.subscribe(resource, (event) => {
      if (event.resourceVersion > opening.after) deliver(event)
    }),
  )
  if (options.allowWatchBookmarks) {
    cleanups.push(
      scheduleBookmarks(context, deadline, () => {
        // A watch from the future hears nothing until its version has passed.
        if (store.resourceVersion >= asked)
          sender.send(encode('BOOKMARK', bookmark(resource, store.resourceVersion, false)))
      }),
    )
  }
}
