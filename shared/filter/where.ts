import { type ASTNode, Environment } from '@marcbachmann/cel-js'
import { invalid, RelayError } from '../errors.ts'
import type { RelayEvent } from '../event.ts'
import { previousFields, readPrevious } from './previous.ts'
import { listChildren, macros, type Prepare, takeApart, type Variables } from './where-parts.ts'
import { writeCel } from './where-text.ts'

/** True for the events that an expression picks. */
export type Where = (event: RelayEvent) => boolean

/** The longest expression, in characters: the text of an error is made from all of it. */
const maxLength = 512
/** What an expression may cost at one event, in µs. */
const maxCost = 20

/** What elements of `changes` and `containers` may have: absent ones read as null. */
const absent = {
  changes: { from: null, to: null, container: null, count: null, exitCode: null, signal: null, reason: null },
  containers: { kind: null, reason: null, exitCode: null, signal: null, last: null },
}

const methods = new Set(['startsWith', 'endsWith', 'contains', 'lowerAscii', 'upperAscii', 'size', ...macros])
const functions = new Set(['has', 'size', 'int', 'double', 'string', 'timestamp', 'duration', 'type', 'dyn'])

const limits = { maxAstNodes: 100, maxDepth: 16, maxListElements: 50, maxMapEntries: 0, maxCallArguments: 3 }
const language = { unlistedVariablesAreDyn: false, homogeneousAggregateLiterals: false }
const options = { ...language, limits }
const text = 'string'
const eventFields = {
  id: text,
  source: text,
  type: text,
  subject: text,
  time: text,
  synthetic: text,
  data: 'map',
} as const

/** Knows the fields of `event`, so that a misspelt one is refused; what `data` holds depends on the resource. */
const checked = new Environment(options)
  .registerVariable({ name: 'event', schema: eventFields })
  .registerVariable('data', 'map')
  .registerVariable('old', 'map')

const evaluated = new Environment(options)
  .registerVariable('event', 'map')
  .registerVariable('data', 'map')
  .registerVariable('old', 'map')

/**
 * Compiles a CEL expression over `event`, its `data`, and `old`: what is known of the object before the change. An event at
 * which it fails, such as by a field that is not there, is not picked; `has(data.node)` asks first. In `data.changes` and
 * `data.containers` an absent field is null.
 *
 * What it may cost at one event is bounded here, to 20 µs: by length and depth, no macros inside one another, no regular
 * expressions, and by how often parts of it may fail for another reason than a field that is not there.
 * @see https://github.com/google/cel-spec/blob/master/doc/langdef.md
 * @throws RelayError `invalid` for what makes no sense, `unprocessable` for what is too costly.
 */
export function compileWhere(source: string, field = 'where'): Where {
  if (source.length > maxLength) {
    throw new RelayError('unprocessable', `${field}: at most ${maxLength} characters`, { field })
  }
  if (source.trim() === '') throw invalid(field, 'must not be empty; true lets everything through')
  const parsed = refuseFaults(field, source, () => evaluated.parse(source))
  vet(parsed.ast, field, false)
  const { valid, type, error } = checked.check(source)
  if (!valid) throw refuse(field, source, error)
  if (type !== 'bool' && type !== 'dyn') throw invalid(field, `must be true or false, not a value of type ${type}`)
  const { cost, test } = takeApart(parsed.ast, prepare)
  if (cost > maxCost) {
    const message = `${field}: too costly, up to ${Math.ceil(cost)} µs at one event and at most ${maxCost}; simplify it, or compare fields with values of their own type`
    throw new RelayError('unprocessable', message, { field })
  }
  return (event) => test(describe(event))
}

/** For parts of what was within the limits: with more parentheses, they may no longer be. */
const unbounded = new Environment(language)
  .registerVariable('event', 'map')
  .registerVariable('data', 'map')
  .registerVariable('old', 'map')

const prepare: Prepare = (node, locals) => {
  const environment = unbounded.clone()
  for (const name of locals) environment.registerVariable(name, 'dyn')
  const run = environment.parse(writeCel(node))
  return (variables, mayFail) => (mayFail ? evaluate(() => run(variables)) : run(variables))
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

/** Refuses what is not available, however deep. */
function vet(node: ASTNode, field: string, isRepeated: boolean): void {
  if (node.op === 'call') allow(functions, node.args[0], field, node)
  if (node.op === '.') vetPrevious(node, field)
  let inside = isRepeated
  if (node.op === 'rcall') {
    const [name, , [variable]] = node.args
    allow(methods, name, field, node)
    if (macros.has(name)) {
      vetMacro(node, variable, field, isRepeated)
      inside = true
    }
  }
  const receiver = node.op === 'rcall' ? node.args[1] : undefined
  for (const child of listChildren(node)) vet(child, field, child === receiver ? isRepeated : inside)
}

/** What is never known would never be true. */
function vetPrevious({ args: [of, name], start }: Extract<ASTNode, { op: '.' }>, field: string): void {
  const isKnown = of.op !== 'id' || of.args !== 'old' || (previousFields as readonly string[]).includes(name)
  if (isKnown) return
  throw invalid(field, `old.${name} at character ${start + 1} is not known; old has ${previousFields.join(', ')}`)
}

function vetMacro(
  { args: [name], start }: Extract<ASTNode, { op: 'rcall' }>,
  variable: ASTNode | undefined,
  field: string,
  isRepeated: boolean,
): void {
  const place = `${name}() at character ${start + 1}`
  if (isRepeated) throw new RelayError('unprocessable', `${field}: ${place} is inside another macro`, { field })
  if (variable?.op === 'id' && evaluated.hasVariable(variable.args)) {
    throw invalid(field, `the variable of ${place} hides "${variable.args}"; give it another name`)
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

/** What fails is neither true nor false. Nobody reads its error, whose stack would be most of what it costs. */
function evaluate(run: () => unknown): unknown {
  const errors = Error as { stackTraceLimit?: number }
  const before = errors.stackTraceLimit
  errors.stackTraceLimit = 0
  try {
    return run()
  } catch (error) {
    if (error instanceof Error && error.name === 'EvaluationError') return undefined
    throw error
  } finally {
    if (before !== undefined) errors.stackTraceLimit = before
  }
}

function refuseFaults<Result>(field: string, source: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw refuse(field, source, error)
  }
}

function refuse(field: string, source: string, error: unknown): unknown {
  if (!(error instanceof Error && 'summary' in error && 'code' in error)) return error
  const range = 'range' in error ? (error.range as { start: number } | undefined) : undefined
  const place = range === undefined ? '' : ` at character ${range.start + 1}`
  const isLimit = String(error.code).includes('limit')
  const message = `${field}: ${error.summary}${place}${hint(String(error.summary), source)}`
  return new RelayError(isLimit ? 'unprocessable' : 'invalid', message, { field })
}

/** What those meant who know other languages better. */
function hint(summary: string, source: string): string {
  if (summary.startsWith('has() invalid')) return '; write has(data.node), and "app" in data.labels for a key'
  if (summary.startsWith('No such key')) return `; event has ${Object.keys(eventFields).join(', ')}`
  if (summary.startsWith('Unknown variable')) return '; there are event, data and old, and texts stand in quotes'
  if (/^Unexpected character: =$/.test(summary)) return '; write == to compare'
  return /\b(and|or|not)\b/i.test(source.replace(/"[^"]*"|'[^']*'/g, '')) ? '; write &&, || and !' : ''
}
