/** One thing that happened inside an object between two of its versions. Which fields it has depends on its type. */
export interface Change {
  type: string
  from?: unknown
  to?: unknown
  [detail: string]: unknown
}

/** The controller of an object. */
export interface Owner {
  kind: string
  name: string
  uid: string
}

/** What the relay tells of any object; each resource adds fields of its own. Every field comes from an allow-list. */
export interface ObjectData {
  /** Empty for a cluster-scoped object. */
  namespace: string
  name: string
  uid: string
  /** Opaque, except that equal means equal. */
  resourceVersion: string
  labels: Record<string, string>
  owner?: Owner
  [field: string]: unknown
}

/** What happened to the object; `expired` is the only one that no watch event reports. */
export type Verb = 'added' | 'modified' | 'deleted' | 'expired'

/**
 * Why an event was not read from a watch: `relist` (found by comparing a list), `recreated` (a new uid under an old name),
 * `clock`, `state` (how the object is as a subscription starts; never in the log).
 */
export type Synthetic = 'relist' | 'recreated' | 'clock' | 'state'

/**
 * A CloudEvents 1.0 event as subscribers and webhooks receive it.
 * @see https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
 */
export interface RelayEvent {
  specversion: '1.0'
  /**
   * `<cluster>/<uid>/<resourceVersion>`: the same change has the same id wherever it is read. Synthetic events carry a mark,
   * and `~1`, `~2`, … tell the histories apart that a cluster restored from a backup has had.
   */
  id: string
  /** `/clusters/<cluster>/` and the API path of the collection. */
  source: string
  /** `k8s.<kind>.added|modified|deleted`, `k8s.lease.expired`, or `k8s.relay.gap`. */
  type: string
  /** `<namespace>/<name>`, or the name alone where there is no namespace. */
  subject: string
  /** RFC 3339, when the watcher read the change. */
  time: string
  datacontenttype: 'application/json'
  /** Present when no watch event stands behind this one. */
  synthetic?: Synthetic
  data: EventData
  /** Where a reader continues after this event. Added by the reader: the log stores the event without it. */
  cursor?: string
  /** Set for a subscriber with a selector, when this change moved the object into or out of the selector's scope. */
  scope?: 'entered' | 'left'
}

/** The object after the change (before it, for a deletion), and what changed. */
export type EventData = Partial<ObjectData> & { changes: Change[] }

/**
 * The type of the record that announces lost history. No filter ever hides it, but from those who want, or may see, nothing
 * of the one `namespace` that it is about.
 */
export const gapType = 'k8s.relay.gap'

/** The plural name of the resource that an event is about, the last segment of its source. */
export function resourceOf(event: Pick<RelayEvent, 'source'>): string {
  return event.source.slice(event.source.lastIndexOf('/') + 1)
}

/** Adds reader's attributes to an event's stored JSON without parsing it. */
export function completeEvent(json: string, cursor: string, scope?: 'entered' | 'left'): string {
  const scoped = scope === undefined ? '' : `"scope":"${scope}",`
  return `{"cursor":"${cursor}",${scoped}${json.slice(1)}`
}
