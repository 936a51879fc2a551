import type { SecretKind } from '../../shared/resource.ts'
import type { KubeObject } from '../kube/object.ts'

const redacted = '[redacted]'
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration'

/** The fields that hold values, by name, wherever they are in the object: a template hides what a Pod hides. */
const fields: Readonly<Record<string, { kind: SecretKind; hide(value: unknown): unknown }>> = {
  annotations: { kind: 'annotations', hide: hideAll },
  env: { kind: 'env', hide: (value) => hideMember(value, 'value') },
  command: { kind: 'commands', hide: hideAll },
  args: { kind: 'commands', hide: hideAll },
  httpHeaders: { kind: 'headers', hide: (value) => hideMember(value, 'value') },
  message: { kind: 'messages', hide: hideAll },
  volumeAttributes: { kind: 'volumes', hide: hideAll },
  // A flexVolume's; a list of options belongs to a resolver.
  options: { kind: 'volumes', hide: (value) => (Array.isArray(value) ? value : hideAll(value)) },
  data: { kind: 'data', hide: hideAll },
  stringData: { kind: 'data', hide: hideAll },
  binaryData: { kind: 'data', hide: hideAll },
}

/**
 * Copies an object without what is nobody's business: `managedFields` and the last applied configuration are left out, and
 * of the kinds that are not revealed the names stay and the values do not.
 */
export function redactObject(object: KubeObject, reveal: ReadonlySet<SecretKind>): unknown {
  return copy(object, reveal)
}

function copy(value: unknown, reveal: ReadonlySet<SecretKind>): unknown {
  if (Array.isArray(value)) return value.map((item) => copy(item, reveal))
  if (typeof value !== 'object' || value === null) return value
  const result: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    if (name === 'managedFields' || name === lastApplied) continue
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    const isHidden = field !== undefined && !reveal.has(field.kind)
    // defineProperty, since a member named __proto__ is data here.
    Object.defineProperty(result, name, {
      value: isHidden ? field.hide(withoutLastApplied(member)) : copy(member, reveal),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return result
}

/** Every value in it, whatever its shape; names stay. */
function hideAll(value: unknown): unknown {
  if (value === null || value === '') return value
  if (Array.isArray(value)) return value.map(hideAll)
  if (typeof value !== 'object') return redacted
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, hideAll(member)]))
}

/** One member of each item of a list; what a reference names is no secret. Anything that is no such list is hidden whole. */
function hideMember(list: unknown, member: string): unknown {
  if (!Array.isArray(list)) return hideAll(list)
  return list.map((item) => {
    if (typeof item !== 'object' || item === null || !(member in item)) return copy(item, new Set())
    return { ...item, [member]: redacted }
  })
}

function withoutLastApplied(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !(lastApplied in value)) return value
  const { [lastApplied]: _, ...rest } = value as Record<string, unknown>
  return rest
}

/**
 * Hides all values in text that was meant to be JSON and is not: punctuation and the names of Kubernetes' own fields stay,
 * for those who look for the fault. A string that does not end is a value to the end of the text.
 */
export function maskJsonText(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*(?:"(\s*:)?|\\?$)/g, (found, colon = '') =>
    colon !== '' && /^"[A-Za-z]\w*"/.test(found) ? found : `"…"${colon}`,
  )
}
