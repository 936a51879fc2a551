import type { KubeWriter } from '../../kube/client.ts'
import { describeManifest, type Manifest, pathOfManifest } from './manifest.ts'
import { explainRefusal } from './refusal.ts'
import { type Answer, sendRequest } from './request.ts'

/** Under this name the cluster remembers which fields are ours. */
const fieldManager = 'kube-watch-relay'

/** What became of one manifest, as a line for people. */
export interface Applied {
  ok: boolean
  line: string
}

interface Existing {
  metadata?: { resourceVersion?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
}

/**
 * Creates what does not exist and replaces what does; labels and annotations of others stay.
 * @param dryRun let the API server check everything, and change nothing.
 * @throws UnreachableError when the API server cannot be asked.
 */
export async function applyManifest(client: KubeWriter, manifest: Manifest, dryRun: boolean): Promise<Applied> {
  const collection = pathOfManifest(manifest)
  const path = `${collection}/${manifest.metadata.name}`
  const query = { fieldManager, dryRun: dryRun ? 'All' : undefined }
  const refuse = ({ status, body }: Answer<object>): Applied => ({
    ok: false,
    line: explainRefusal(manifest, status, body),
  })
  const existing = await sendRequest<Existing>(client, 'GET', path)
  if (existing.status !== 200 && existing.status !== 404) return refuse(existing)
  const isNew = existing.status === 404
  const answer = isNew
    ? await sendRequest(client, 'POST', collection, query, manifest)
    : await sendRequest(client, 'PUT', path, query, merge(existing.body, manifest))
  if (answer.status !== 200 && answer.status !== 201) return refuse(answer)
  const done = isNew ? 'created' : isSame(existing.body, answer.body) ? 'unchanged' : 'replaced'
  return { ok: true, line: `${describeManifest(manifest)}: ${done}${dryRun ? ' (dry run)' : ''}` }
}

/** A replacement that names the version it replaces: somebody else's change in between is a conflict. */
function merge({ metadata = {} }: Existing, manifest: Manifest) {
  const { resourceVersion, labels, annotations } = metadata
  return {
    ...manifest,
    metadata: {
      ...manifest.metadata,
      resourceVersion,
      annotations,
      labels: { ...labels, ...manifest.metadata.labels },
    },
  }
}

/** The server gives no new version to what did not change; a dry run shows it by the content. */
function isSame(old: object, next: object): boolean {
  const content = (object: {
    rules?: unknown
    roleRef?: unknown
    subjects?: unknown
    metadata?: Existing['metadata']
  }) => JSON.stringify([object.rules, object.roleRef, object.subjects, object.metadata?.labels])
  return content(old) === content(next)
}
