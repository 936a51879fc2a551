import { invalid } from '../errors.ts'

const phases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown']

/** Every type of change that is told, of Pods, Leases, bindings and any other object. */
export const changeTypes: readonly string[] = [
  ...['phase', 'status', 'ready', 'bound', 'unschedulable', 'terminating', 'disrupted', 'evicted'],
  ...['restarted', 'waiting', 'resizing', 'resized'],
  ...['acquired', 'renewed', 'released', 'transferred', 'reacquired', 'expired'],
  ...['labels', 'owner', 'generation', 'condition', 'changed', 'roleRef', 'subjects'],
]

const typeShape = /^(k8s\.[a-z0-9-]+\.(added|modified|deleted|expired)|k8s\.relay\.gap|relay\.[a-z.]+)$/
const typeStarts = ['k8s.', 'relay.']

/** What refuses a value that could never match. */
const checks: Readonly<Record<string, (item: string, field: string) => void>> = {
  phase: checkPhase,
  'phase.to': checkPhase,
  'phase.from': checkPhase,
  change(item, field) {
    if (isPossible(item, changeTypes)) return
    throw invalid(field, `"${item}" is no type of change; there are ${changeTypes.join(', ')}`)
  },
  type(item, field) {
    const text = bare(item)
    const start = text.slice(0, -1)
    const isGood = text.endsWith('*')
      ? typeStarts.some((known) => known.startsWith(start) || start.startsWith(known))
      : typeShape.test(text)
    if (isGood) return
    throw invalid(
      field,
      `"${item}" is no type of event; they are such as k8s.pod.added, k8s.pod.modified, k8s.pod.deleted, k8s.lease.expired`,
    )
  },
}

/**
 * Reads the values of one clause: a text with commas between them, or a list.
 * @param name of the clause.
 * @param field what to blame.
 * @throws RelayError `invalid`, also for a value that could never match.
 */
export function parseValues(value: unknown, name: string, field: string): string[] {
  const items: unknown = typeof value === 'string' ? value.split(',') : value
  if (!Array.isArray(items) || items.length === 0) throw invalid(field, 'must be a value or a list of values')
  if (items.length > 100) throw invalid(field, 'at most 100 values')
  return items.map((item: unknown) => {
    if (typeof item !== 'string') throw invalid(field, 'must be a text or a list of texts')
    const text = item.trim()
    checkText(text, field)
    checks[name]?.(text, field)
    return text
  })
}

function checkText(text: string, field: string): void {
  if (text === '') throw invalid(field, 'one of the values is empty; leave the parameter out to let everything through')
  if (text.length > 512) throw invalid(field, 'a value may have at most 512 characters')
  if (/[\r\n\0]/.test(text)) throw invalid(field, 'a value may not have line breaks or NUL')
  if (/^!\s*(!|$)/.test(text)) throw invalid(field, `"${text}" excludes nothing; write ! and a value`)
  if (/\*./.test(text)) throw invalid(field, `"${text}" would match nothing; a * may only be the last character`)
}

function checkPhase(item: string, field: string): void {
  if (phases.includes(item)) return
  const isPattern = /^!|\*$/.test(item)
  throw invalid(
    field,
    `"${item}" is no phase; ${isPattern ? 'name those that you want' : 'one'} of ${phases.join(', ')}`,
  )
}

function bare(item: string): string {
  return item.replace(/^!/, '')
}

function isPossible(item: string, known: readonly string[]): boolean {
  const text = bare(item)
  return text.endsWith('*') ? known.some((word) => word.startsWith(text.slice(0, -1))) : known.includes(text)
}
