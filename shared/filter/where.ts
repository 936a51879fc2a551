import { type ASTNode, Environment } from '@marcbachmann/cel-js'
import { invalid, RelayError } from '../errors.ts'
import type { RelayEvent } from '../event.ts'
import { readPrevious } from './previous.ts'

/** True for the events that an expression picks. */
export type Where = (event: RelayEvent) => boolean

/** The longest expression, in characters: the text of an error is made from all of it. */
const maxLength = 512
/**
 * How many parts of an expression may fail at one event, those inside a macro counted once per element of a list of six. A
 * part that fails (a field that is not there) costs 2 µs, one that does not a tenth of that.
 */
const maxCost = 30

/** What elements of `changes` and `containers` may have. Absent ones read as null: in a list, failures would add up. */
const absent = {
  changes: { from: null, to: null, container: null, count: null, exitCode: null, signal: null, reason: null },
  containers: { kind: null, reason: null, exitCode: null, signal: null, last: null },
}

const macros = new Set(['exists', 'exists_one', 'all', 'filter', 'map'])
const methods = new Set(['startsWith', 'endsWith', 'contains', 'lowerAscii', 'upperAscii', 'size', ...macros])
const functions = new Set(['has', 'size', 'int', 'double', 'string', 'timestamp', 'duration', 'type', 'dyn'])

const limits = { maxAstNodes: 100, maxDepth: 16, maxListElements: 50, maxMapEntries: 0, maxCallArguments: 3 }
const options = { unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false, limits }
const text = 'string'

/** Knows the fields of `event`, so that a misspelt one is refused; what `data` holds depends on the resource. */
const checked = new Environment(options)
  .registerVariable({
    name: 'event',
    schema: { id: text, source: text, type: text, subject: text, time: text, synthetic: text, data: 'map' },
  })
  .registerVariable('data', 'map')
  .registerVariable('old', 'map')

const evaluated = new Environment(options)
  .registerVariable('event', 'map')
  .registerVariable('data', 'map')
  .registerVariable('old', 'map')

/**
 * Compiles a CEL expression over `event`, its `data`, and `old`: what is known of the object before the change. An event at
 * which it fails, such as by a field that is not there, is not picked; `has(data.node)` asks first. In `data.changes` and `data.containers` an absent field is null.
 *
 * What it may cost is bounded here: length, depth, macros not inside one another, no regular expressions.
 * @see https://github.com/google/cel-spec/blob/master/doc/langdef.md
 * @throws RelayError `invalid` for what makes no sense, `unprocessable` for what is too costly.
 */
export function compileWhere(source: string, field = 'where'): Where {
  if (source.length > maxLength) {
    throw new RelayError('unprocessable', `${field}: at most ${maxLength} characters`, { field })
  }
  const parsed = refuseFaults(field, () => evaluated.parse(source))
  const cost = weigh(parsed.ast, field, false)
  if (cost > maxCost) {
    throw new RelayError('unprocessable', `${field}: too costly (${cost} of at most ${maxCost}); simplify it`, {
      field,
    })
  }
  const { valid, type, error } = checked.check(source)
  if (!valid) throw refuse(field, error)
  if (type !== 'bool' && type !== 'dyn') throw invalid(field, `must be true or false, not a value of type ${type}`)
  return (event) => evaluate(() => parsed(describe(event)))
}

interface Variables {
  event: RelayEvent
  data: object
  old: object
}

/** What expressions see of an event, made once for all of them. */
const described = new WeakMap<RelayEvent, Variables>()

function describe(event: RelayEvent): Variables {
  let variables = described.get(event)
  if (variables === undefined) {
    const { changes, containers } = event.data
    const data = {
      ...event.data,
      changes: changes.map((change) => ({ ...absent.changes, ...change })),
      ...(Array.isArray(containers)
        ? { containers: containers.map((container) => ({ ...absent.containers, ...container })) }
        : {}),
    }
    variables = { event, data, old: readPrevious(event) }
    described.set(event, variables)
  }
  return variables
}

/** How many parts may fail at one event. */
function weigh(node: ASTNode, field: string, isRepeated: boolean): number {
  const add = (nodes: readonly ASTNode[], inside = isRepeated) =>
    nodes.reduce((sum, child) => sum + weigh(child, field, inside), 0)
  const own = isRepeated ? 6 : 1
  switch (node.op) {
    case 'value':
    case 'id':
      return 0
    case '.':
    case '.?':
      return own + add([node.args[0]])
    case 'call':
      allow(functions, node.args[0], field, node)
      return own + add(node.args[1])
    case 'rcall': {
      const [name, receiver, given] = node.args
      allow(methods, name, field, node)
      const isMacro = macros.has(name)
      if (isMacro && isRepeated) {
        throw new RelayError(
          'unprocessable',
          `${field}: ${name}() at character ${node.start + 1} is inside another macro`,
          {
            field,
          },
        )
      }
      return own + add([receiver]) + add(given, isRepeated || isMacro)
    }
    case '!_':
    case '-_':
      return add([node.args])
    case 'map':
      return node.args.reduce((sum, [key, value]) => sum + add([key, value]), own)
    case 'list':
    case '||':
    case '&&':
    case '==':
    case '!=':
    case '?:':
    case 'in':
      return add(node.args)
    default:
      return own + add(node.args)
  }
}

function allow(names: ReadonlySet<string>, name: string, field: string, { start }: ASTNode): void {
  if (names.has(name)) return
  const hint = name === 'matches' ? '; use startsWith, endsWith or contains' : ''
  throw invalid(
    field,
    `${name}() at character ${start + 1} is not available${hint}; there are ${[...names].join(', ')}`,
  )
}

/** Errors are the rule where fields are optional: without a stack each costs a tenth. */
function evaluate(run: () => unknown): boolean {
  const errors = Error as { stackTraceLimit?: number }
  const before = errors.stackTraceLimit
  errors.stackTraceLimit = 0
  try {
    return run() === true
  } catch (error) {
    if (error instanceof Error && error.name === 'EvaluationError') return false
    throw error
  } finally {
    if (before !== undefined) errors.stackTraceLimit = before
  }
}

function refuseFaults<Result>(field: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw refuse(field, error)
  }
}

function refuse(field: string, error: unknown): unknown {
  if (!(error instanceof Error && 'summary' in error && 'code' in error)) return error
  const range = 'range' in error ? (error.range as { start: number } | undefined) : undefined
  const place = range === undefined ? '' : ` at character ${range.start + 1}`
  const isLimit = String(error.code).includes('limit')
  return new RelayError(isLimit ? 'unprocessable' : 'invalid', `${field}: ${error.summary}${place}`, { field })
}
