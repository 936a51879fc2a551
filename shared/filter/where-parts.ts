import type { ASTNode } from '@marcbachmann/cel-js'

/** What an expression sees, by name. */
export type Variables = Readonly<Record<string, unknown>>

/** An expression taken apart, and what it costs at worst at one event, in µs. */
export interface Parts {
  readonly cost: number
  /** True when the expression comes to what was wanted; neither that nor the opposite where it fails. */
  test(variables: Variables): boolean
}

/**
 * What evaluating costs at worst, in µs, measured on two cores of a Xeon. A failure builds an error, which is a hundred times
 * as dear as asking first; that of a conversion is built of another one.
 */
const costs = { part: 0.3, node: 0.05, failure: 4, conversion: 8 }

/** How many elements a list is taken to have: a Pod's changes, or its containers. */
const elements = 6

/** Prepares the evaluation of one node, in which names beside the standard variables may occur. */
export type Prepare = (node: ASTNode, locals: readonly string[]) => (variables: Variables, mayFail: boolean) => unknown

/**
 * Takes an expression apart at its and, or, not, exists and all. In CEL these outlive a failure of one side where the other
 * decides, and so every part may be asked for itself whether it comes to what is wanted. A part that is bound to fail, since a
 * field is not there or has another type, is not evaluated: that would be right, and slow.
 */
export function takeApart(node: ASTNode, prepare: Prepare, wanted = true, locals: readonly string[] = []): Parts {
  const inner = (child: ASTNode, target = wanted) => takeApart(child, prepare, target, locals)
  if (node.op === '!_') return inner(node.args, !wanted)
  if (node.op === '&&' || node.op === '||') {
    const [left, right] = node.args.map((child) => inner(child)) as [Parts, Parts]
    const isEach = (node.op === '&&') === wanted
    const test: Parts['test'] = isEach
      ? (variables) => left.test(variables) && right.test(variables)
      : (variables) => left.test(variables) || right.test(variables)
    return { cost: left.cost + right.cost, test }
  }
  return takeLoop(node, prepare, wanted, locals) ?? takePart(node, prepare, wanted, locals)
}

/** `data.changes.exists(c, …)` and `all`, one element at a time. */
function takeLoop(node: ASTNode, prepare: Prepare, wanted: boolean, locals: readonly string[]): Parts | undefined {
  if (node.op !== 'rcall') return undefined
  const [name, receiver, [variable, condition]] = node.args
  const path = readPath(receiver)
  const isLoop = (name === 'exists' || name === 'all') && variable?.op === 'id' && condition !== undefined
  if (!isLoop || path === undefined) return undefined
  const local = variable.args
  const { cost, test } = takeApart(condition, prepare, wanted, [...locals, local])
  const isEach = (name === 'all') === wanted
  return {
    cost: costs.part + elements * cost,
    test(variables) {
      const items = listItems(follow(variables, path))
      if (items === undefined) return false
      const inside = { ...variables, [local]: undefined as unknown }
      const holds = (item: unknown) => {
        inside[local] = item
        return test(inside)
      }
      return isEach ? items.every(holds) : items.some(holds)
    },
  }
}

function takePart(node: ASTNode, prepare: Prepare, wanted: boolean, locals: readonly string[]): Parts {
  const needs: Needs = { fields: [], mayFail: false, absorbed: 0 }
  inspect(node, needs)
  const { fields, mayFail, absorbed } = needs
  const run = prepare(node, locals)
  const failure = converts(node) ? costs.conversion : costs.failure
  return {
    cost: costs.part + costs.node * countSteps(node) + failure * (absorbed + (mayFail ? 1 : 0)),
    test: (variables) =>
      fields.every(({ path, is }) => is(follow(variables, path))) && run(variables, mayFail) === wanted,
  }
}

/** What has to hold of an event for a part not to fail, and how often it may fail all the same. */
interface Needs {
  fields: { path: readonly string[]; is(value: unknown): boolean }[]
  mayFail: boolean
  /** Failures inside that need not be the part's own. */
  absorbed: number
}

const isThere = (value: unknown) => value !== undefined
const kinds = {
  string: (value: unknown) => typeof value === 'string',
  number: (value: unknown) => typeof value === 'number',
  collection: (value: unknown) => typeof value === 'object' && value !== null,
  sized: (value: unknown) => typeof value === 'string' || (typeof value === 'object' && value !== null),
}

const orders = new Set(['<', '<=', '>', '>='])
const textTests = new Set(['startsWith', 'endsWith', 'contains'])
/** What goes through a list or a map. */
export const macros = new Set(['exists', 'exists_one', 'all', 'filter', 'map'])

/** Collects what a node needs that is evaluated whenever its part is. */
function inspect(node: ASTNode, needs: Needs): void {
  const path = readPath(node)
  if (path !== undefined) {
    needs.fields.push({ path, is: isThere })
    return
  }
  switch (node.op) {
    case 'value':
    case 'id':
      return
    case '==':
    case '!=':
    case 'list':
      for (const child of node.args) inspect(child, needs)
      return
    case 'call': {
      const [name, [argument]] = node.args
      const asked = name === 'has' && argument !== undefined ? readPath(argument) : undefined
      if (asked === undefined) break
      // Whether the last field is there is the question; those before it have to be.
      if (asked.length > 2) needs.fields.push({ path: asked.slice(0, -1), is: isThere })
      return
    }
    case '?:':
      inspect(node.args[0], needs)
      needs.absorbed += countAbsorbed(node.args[1]) + countAbsorbed(node.args[2])
      needs.mayFail = true
      return
    case '&&':
    case '||':
      needs.absorbed += countAbsorbed(node)
      needs.mayFail = true
      return
  }
  if (node.op === 'rcall' && macros.has(node.args[0])) {
    inspect(node.args[1], needs)
    needs.absorbed += countAbsorbed(node) - countAbsorbed(node.args[1])
    needs.mayFail = true
    return
  }
  const children = listChildren(node)
  for (const child of children) inspect(child, needs)
  if (!isSafe(node, needs)) needs.mayFail = true
}

/** True for what cannot fail once the fields are there, and of the types that are noted here. */
function isSafe(node: ASTNode, needs: Needs): boolean {
  if (node.op === 'in') {
    const [, set] = node.args
    return set.op === 'list' || requireKind(set, 'collection', needs)
  }
  if (orders.has(node.op)) {
    const [left, right] = node.args as [ASTNode, ASTNode]
    const kind = kindOf(right) ?? kindOf(left)
    return kind !== undefined && requireKind(left, kind, needs) && requireKind(right, kind, needs)
  }
  if (node.op !== 'rcall') return false
  const [name, receiver, [argument]] = node.args
  if (textTests.has(name)) {
    return argument !== undefined && kindOf(argument) === 'string' && requireKind(receiver, 'string', needs)
  }
  return kindOf(node) !== undefined && requireKind(receiver, name === 'size' ? 'sized' : 'string', needs)
}

/** What a node is, whatever the event. */
function kindOf(node: ASTNode): 'string' | 'number' | undefined {
  if (node.op === 'value') {
    if (typeof node.args === 'string') return 'string'
    return typeof node.args === 'bigint' || typeof node.args === 'number' ? 'number' : undefined
  }
  if (node.op !== 'rcall') return undefined
  const [name, , given] = node.args
  if (given.length > 0) return undefined
  if (name === 'lowerAscii' || name === 'upperAscii') return 'string'
  return name === 'size' ? 'number' : undefined
}

function requireKind(node: ASTNode, kind: keyof typeof kinds, needs: Needs): boolean {
  const path = readPath(node)
  if (path !== undefined) needs.fields.push({ path, is: kinds[kind] })
  return path !== undefined || kindOf(node) === kind
}

/** `data.labels.app` as a list of names; undefined for everything else. */
function readPath(node: ASTNode): readonly string[] | undefined {
  const names: string[] = []
  let at = node
  while (at.op === '.') {
    names.unshift(at.args[1])
    at = at.args[0]
  }
  return at.op === 'id' && names.length > 0 ? [at.args, ...names] : undefined
}

/** The value at a path, as CEL finds it. */
function follow(variables: Variables, path: readonly string[]): unknown {
  let value: unknown = variables
  for (const name of path) {
    const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
    if (!isMap || !Object.hasOwn(value as object, name)) return undefined
    value = (value as Variables)[name]
  }
  return value
}

/** What a macro goes through: elements of a list, keys of a map. */
function listItems(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value
  return kinds.collection(value) ? Object.keys(value as object) : undefined
}

/** The nodes right under one. */
export function listChildren(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return node.args
  }
}

/** How many nodes are evaluated. */
function countSteps(node: ASTNode): number {
  const isMacro = node.op === 'rcall' && macros.has(node.args[0])
  return listChildren(node).reduce((sum, child, i) => sum + countSteps(child) * (isMacro && i > 0 ? elements : 1), 1)
}

/** How many failures may happen inside a node without its own. */
function countAbsorbed(node: ASTNode): number {
  const isMacro = node.op === 'rcall' && macros.has(node.args[0])
  const isQuantifier = node.op === 'rcall' && (node.args[0] === 'exists' || node.args[0] === 'all')
  const isLogical = node.op === '&&' || node.op === '||'
  return listChildren(node).reduce((sum, child, i) => {
    const isLooped = isMacro && i > 0
    const own = isLogical || (isQuantifier && i === 2) ? 1 : 0
    return sum + (own + countAbsorbed(child)) * (isLooped ? elements : 1)
  }, 0)
}

/** True where texts are read as something else. */
function converts(node: ASTNode): boolean {
  const isConversion = node.op === 'call' && node.args[0] !== 'has' && node.args[0] !== 'size'
  return isConversion || listChildren(node).some(converts)
}
