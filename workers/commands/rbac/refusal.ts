import type { KubeStatus } from '../../kube/object.ts'
import { describeManifest, type Manifest } from './manifest.ts'

/** Says in one line what the API server refused, and what to do about it. */
export function explainRefusal(manifest: Manifest, status: number, answer: KubeStatus): string {
  const what = describeManifest(manifest)
  const { name, namespace } = manifest.metadata
  const message = (answer.message ?? answer.reason ?? '').replaceAll(/\s+/g, ' ')
  switch (status) {
    case 401:
      return `${what}: the cluster does not know these credentials; log in again, or choose others with --context`
    case 403:
      return /not currently held/.test(message)
        ? `${what}: nobody may give away rights that they do not have; run this as a cluster administrator`
        : `${what}: not allowed (${message}); run this as somebody who may write roles, or hand them the output of relay rbac print`
    case 404:
      return namespace === undefined
        ? `${what}: not found (${message}); does the cluster have RBAC?`
        : `${what}: there is no namespace ${namespace}; create it first: kubectl create namespace ${namespace}`
    case 409:
      return `${what}: somebody else changed it at the same moment; run this again`
    case 422:
      return /cannot change roleRef/.test(message)
        ? `${what}: it binds another role, which cannot be changed; delete it first: kubectl delete ${manifest.kind.toLowerCase()} ${name}${namespace === undefined ? '' : ` --namespace ${namespace}`}`
        : `${what}: not valid: ${message}`
    default:
      return `${what}: the cluster answered ${status}: ${message}`
  }
}
