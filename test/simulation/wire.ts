import type { KubeObject } from '../../workers/kube/object.ts'
import type { Collection } from './cluster.ts'
import type { Pipe } from './pipe.ts'

/** Where a server has its collections. */
export const paths: Record<string, Collection> = {
  '/api/v1/pods': 'pods',
  '/apis/coordination.k8s.io/v1/leases': 'leases',
}
export const kinds: Record<Collection, { kind: string; apiVersion: string }> = {
  pods: { kind: 'Pod', apiVersion: 'v1' },
  leases: { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1' },
}

/** An object as a watch tells it; a list leaves the kind out. */
export function withKind(collection: Collection, object: KubeObject): KubeObject {
  return { ...kinds[collection], ...object }
}

export function frame(type: string, object: unknown): string {
  return `${JSON.stringify({ type, object })}\n`
}

export function status(code: number, reason: string, message = reason) {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, reason, message }
}

export function sendAll(pipe: Pipe, value: unknown): { status: number } {
  pipe.write(JSON.stringify(value))
  pipe.end()
  return { status: 200 }
}

export function sendStatus(
  pipe: Pipe,
  code: number,
  reason: string,
  message = reason,
  more: object = {},
): { status: number } {
  pipe.write(JSON.stringify({ ...status(code, reason, message), ...more }))
  pipe.end()
  return { status: code }
}

export function tooLarge(pipe: Pipe): { status: number } {
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }
  return sendStatus(pipe, 504, 'Timeout', 'Timeout: Too large resource version: 9, current: 3', {
    details: { causes: [cause], retryAfterSeconds: 1 },
  })
}

export function expire(pipe: Pipe, asEvent: boolean): { status: number } {
  if (!asEvent) return sendStatus(pipe, 410, 'Expired', 'too old resource version')
  pipe.write(frame('ERROR', status(410, 'Expired', 'too old resource version')))
  pipe.end()
  return { status: 200 }
}
