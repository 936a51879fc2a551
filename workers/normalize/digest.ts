import type { KubeObject } from '../kube/object.ts'
import { asObject } from './normalizer.ts'

/** A digest for each part of an object that is compared, by its path. */
export type Digests = Record<string, string>

/** Parts that are compared member by member, since which one changed is worth knowing: ConfigMaps, Secrets. */
const perMember = new Set(['data', 'binaryData'])
/** Beyond so many members they count as one part: digests are kept for every object. */
const mostMembers = 50
/** What every write changes, or what is told in other words. */
const untold = new Set(['apiVersion', 'kind', 'metadata'])
const metadataParts = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const

/** Digests the top-level parts of an object: enough to see that one changed, while the part itself is not kept. */
export function digestPaths(object: KubeObject): Digests {
  const digests: Digests = {}
  const metadata = asObject(object.metadata)
  for (const name of metadataParts) {
    if (metadata[name] !== undefined) digests[`metadata.${name}`] = digest(metadata[name])
  }
  for (const [name, part] of Object.entries(object)) {
    if (untold.has(name)) continue
    const members = perMember.has(name) ? Object.entries(asObject(part)) : []
    if (members.length === 0 || members.length > mostMembers) digests[name] = digest(part)
    else for (const [member, value] of members) digests[`${name}.${member}`] = digest(value)
  }
  return digests
}

/** The paths whose digests differ, in the order of the newer object. */
export function diffDigests(old: Digests, next: Digests): string[] {
  const paths = [...new Set([...Object.keys(next), ...Object.keys(old)])]
  return paths.filter((path) => old[path] !== next[path])
}

/** FNV-1a over the JSON, in two halves of 32 bits: to tell versions apart, not to withstand anyone. Servers keep the order of fields. */
function digest(value: unknown): string {
  const text = JSON.stringify(value) ?? ''
  let a = 0x811c9dc5
  let b = 0x01000193
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b)
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36)
}
