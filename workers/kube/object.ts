/** The metadata that the watcher reads of any Kubernetes object. */
export interface KubeMeta {
  name?: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  continue?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  ownerReferences?: { kind: string; name: string; uid: string; controller?: boolean }[]
}

/** Any Kubernetes object as it came from the wire: nothing in it is certain. */
export interface KubeObject {
  kind?: string
  apiVersion?: string
  metadata?: KubeMeta
  spec?: unknown
  status?: unknown
  [field: string]: unknown
}

/** A `Status`, Kubernetes' answer to what it refuses. */
export interface KubeStatus {
  kind?: string
  message?: string
  reason?: string
  code?: number
  details?: { retryAfterSeconds?: number; causes?: { reason?: string; message?: string; field?: string }[] }
}
