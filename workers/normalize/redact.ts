import type { SecretKind } from '../../shared/resource.ts'
import type { KubeObject } from '../kube/object.ts'
import { hideCredentials, namesCredential, redacted, splitName, tellsOfCredential } from './credential.ts'

/** Below this depth nothing is shown: no API has it, and whoever nests so deep means to break something. */
const deepest = 100
/** Left out wherever they are: who wrote which field, and the whole object once more. */
const omitted = new Set(['managedFields', 'kubectl.kubernetes.io/last-applied-configuration'])

/** A field that holds values which people hide. */
interface Field {
  kind: SecretKind
  hide(value: unknown, depth: number): unknown
}

const field = (kind: SecretKind, hide: Field['hide'] = hideAll): Field => ({ kind, hide })
const messages = field('messages')
const commands = field('commands')

/** By the last word of a name: a template, a chart or a custom resource hides what a Pod hides. */
const byLastWord: Readonly<Record<string, Field>> = {
  annotations: field('annotations'),
  arg: commands,
  args: commands,
  arguments: commands,
  entrypoint: commands,
  script: commands,
  headers: field('headers', hideItems),
  message: messages,
  messages,
  note: messages,
  data: field('data'),
  userdata: field('data'),
}

/** By the whole name. */
const byName: Readonly<Record<string, Field>> = {
  attachmentMetadata: field('volumes'),
  mountOptions: field('volumes'),
  // A flexVolume's and a storage class's; a list of options belongs to a resolver, one of parameters to a workflow.
  options: field('volumes', hideMap),
  parameters: field('volumes', hideMap),
  volumeAttributes: field('volumes'),
}

const commandWords = new Set(['command', 'commands', 'commandline', 'cmd', 'cmdline'])
const environment = field('env', hideItems)
const environmentWords = new Set(['env', 'envs', 'environment', 'environments', 'envvar', 'envvars'])
const credentials = field('credentials', hideUnlessTelling)

function findField(name: string): Field | undefined {
  const words = splitName(name)
  const last = words.at(-1) ?? ''
  if (Object.hasOwn(byName, name)) return byName[name]
  if (Object.hasOwn(byLastWord, last)) return byLastWord[last]
  if (words.some((word) => commandWords.has(word))) return commands
  if (words.some((word) => environmentWords.has(word))) return environment
  return namesCredential(name) ? credentials : undefined
}

const findKnownField = remember(findField)

/**
 * Copies an object without what is nobody's business: `managedFields` and the last applied configuration are left out, and
 * of the kinds that are not revealed the names stay and the values do not. Fields are known by their names at any depth and
 * in any resource, and what looks like a credential is hidden wherever it is.
 */
export function redactObject(object: KubeObject, reveal: ReadonlySet<SecretKind>): unknown {
  return copy(object, reveal, 0)
}

function copy(value: unknown, reveal: ReadonlySet<SecretKind>, depth: number): unknown {
  if (depth > deepest) return redacted
  if (typeof value === 'string') return reveal.has('credentials') ? value : hideCredentials(value)
  if (Array.isArray(value)) return value.map((item) => copy(item, reveal, depth + 1))
  if (typeof value !== 'object' || value === null) return value
  const isPair = namesCredentialByValue(value)
  return mapMembers(value, (name, member) => {
    // Selectors go by labels, which every event has.
    if (name === 'labels') return member
    const found = isPair && name === 'value' ? credentials : findKnownField(name)
    if (found === undefined) return copy(member, reveal, depth + 1)
    if (!reveal.has(found.kind)) return found.hide(member, depth + 1)
    return copy(member, new Set([...reveal, 'credentials']), depth + 1)
  })
}

/** `{ "name": "db.password", "value": … }`, as charts and workflows write their parameters. */
function namesCredentialByValue(value: object): boolean {
  if (!('value' in value)) return false
  const { name, key } = value as { name?: unknown; key?: unknown }
  return [name, key].some((text) => typeof text === 'string' && namesCredential(text))
}

/** Every value in it, whatever its shape; names stay. */
function hideAll(value: unknown, depth: number): unknown {
  if (value === null || value === '') return value
  if (typeof value !== 'object' || depth > deepest) return redacted
  if (Array.isArray(value)) return value.map((item) => hideAll(item, depth + 1))
  return mapMembers(value, (_, member) => hideAll(member, depth + 1))
}

function hideMap(value: unknown, depth: number): unknown {
  return Array.isArray(value) ? copy(value, new Set(), depth) : hideAll(value, depth)
}

/** What an item of a list shows: its name, and where its value comes from. */
const shown = /^(?:name|key|type|optional|prefix|valueFrom|.*Ref)$/

/** A list of names with values, or a map of them; a single word, such as `environment: production`, is neither. */
function hideItems(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return copy(value, new Set(), depth)
  if (!Array.isArray(value)) return hideAll(value, depth)
  return value.map((item) => {
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return hideAll(item, depth + 1)
    return mapMembers(item, (name, member) =>
      shown.test(name) ? copy(member, new Set(), depth + 2) : hideAll(member, depth + 2),
    )
  })
}

/** Every text and number under the name of a credential, but for what only tells where it is or how it is used. */
function hideUnlessTelling(value: unknown, depth: number): unknown {
  if (value === null || value === '' || typeof value === 'boolean') return value
  if (typeof value !== 'object' || depth > deepest) return redacted
  if (Array.isArray(value)) return value.map((item) => hideUnlessTelling(item, depth + 1))
  // A volume with the files of a Secret: which they are, and no word of what is in them.
  if ('secretName' in value) return copy(value, new Set(), depth)
  return mapMembers(value, (name, member) =>
    tellsOfCredential(name) ? copy(member, new Set(), depth + 1) : hideUnlessTelling(member, depth + 1),
  )
}

function mapMembers(value: object, map: (name: string, member: unknown) => unknown): Record<string, unknown> {
  const members = Object.entries(value).filter(([name]) => !omitted.has(name))
  // Not by assignment, since a member named __proto__ is data here.
  return Object.fromEntries(members.map(([name, member]) => [name, map(name, member)]))
}

/** Remembers answers for names that are likely to come again: of fields there are few. */
function remember<Answer>(find: (name: string) => Answer): (name: string) => Answer {
  const answers = new Map<string, Answer>()
  return (name) => {
    const known = answers.get(name)
    if (known !== undefined || answers.has(name)) return known as Answer
    const answer = find(name)
    if (answers.size < 10_000 && name.length <= 64) answers.set(name, answer)
    return answer
  }
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
