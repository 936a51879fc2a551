import { Environment } from '@marcbachmann/cel-js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter, parseFilter } from '../../shared/filter/filter.ts'
import { compileWhere } from '../../shared/filter/where.ts'
import { takeApart, type Variables } from '../../shared/filter/where-parts.ts'
import { writeCel } from '../../shared/filter/where-text.ts'

const language = new Environment({ unlistedVariablesAreDyn: true, homogeneousAggregateLiterals: false })

/** An expression taken apart, and how often its parts were evaluated and failed. */
function takeText(text: string) {
  const count = { runs: 0, failures: 0 }
  const parts = takeApart(language.parse(text).ast, (node) => {
    const run = language.parse(writeCel(node))
    return (variables, mayFail) => {
      count.runs++
      try {
        return run(variables)
      } catch (error) {
        if (!mayFail) throw error
        count.failures++
        return undefined
      }
    }
  })
  return { ...parts, count }
}

/** What the library itself makes of the whole. */
function evaluateWhole(text: string, variables: Variables): boolean {
  try {
    return language.parse(text)(variables) === true
  } catch {
    return false
  }
}

const value = fc.constantFrom('"a"', '"Running"', '1', '2.5', 'true', 'null', '-3')
const path = fc.constantFrom(
  ...['data.phase', 'data.restarts', 'data.ok', 'data.nothing', 'data.none', 'data.labels', 'data.labels.app'],
  ...[
    'data.changes',
    'data.names',
    'data.phase.deeper',
    'data.changes.type',
    'old.phase',
    'old',
    'c',
    'c.type',
    'c.to',
  ],
)
const { condition } = fc.letrec<{ term: string; condition: string }>((tie) => ({
  term: fc.oneof(
    { withCrossShrink: true, maxDepth: 3 },
    path,
    value,
    path.map((at) => `size(${at})`),
    path.map((at) => `${at}.size()`),
    path.map((at) => `${at}.lowerAscii()`),
    path.map((at) => `int(${at})`),
    fc.tuple(path, fc.constantFrom('0', '7', '"app"')).map(([at, key]) => `${at}[${key}]`),
    fc
      .tuple(tie('term'), fc.constantFrom('+', '-', '*', '/', '%'), tie('term'))
      .map(([a, op, b]) => `(${a} ${op} ${b})`),
    fc.tuple(tie('condition'), tie('term'), tie('term')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
  ),
  condition: fc.oneof(
    { withCrossShrink: true, maxDepth: 4 },
    path,
    fc
      .tuple(tie('term'), fc.constantFrom('==', '!=', '<', '<=', '>', '>=', 'in'), tie('term'))
      .map(([a, op, b]) => `${a} ${op} ${b}`),
    fc.tuple(path, fc.array(value, { maxLength: 3 })).map(([at, items]) => `${at} in [${items.join(', ')}]`),
    path.filter((at) => at.includes('.')).map((at) => `has(${at})`),
    fc
      .tuple(path, fc.constantFrom('startsWith', 'endsWith', 'contains'), tie('term'))
      .map(([at, name, given]) => `${at}.${name}(${given})`),
    fc.tuple(tie('condition'), fc.constantFrom('&&', '||'), tie('condition')).map(([a, op, b]) => `(${a} ${op} ${b})`),
    tie('condition').map((inner) => `!(${inner})`),
    fc
      .tuple(path, fc.constantFrom('exists', 'all', 'exists_one'), tie('condition'))
      .map(([at, name, inner]) => `${at}.${name}(c, ${inner})`),
    fc.tuple(path, tie('condition')).map(([at, inner]) => `${at}.filter(c, ${inner}).size() > 0`),
  ),
}))

const change = fc.record(
  { type: fc.constantFrom('phase', 'a'), to: fc.constantFrom<unknown>('Running', 3, null, false) },
  { requiredKeys: [] },
)
const data = fc.record(
  {
    phase: fc.constantFrom<unknown>('Running', 'a', 3),
    restarts: fc.constantFrom<unknown>(1, 2.5, '1'),
    ok: fc.boolean(),
    none: fc.constant(null),
    labels: fc.dictionary(fc.constantFrom('app', 'a'), fc.constantFrom('a', 'Running'), { maxKeys: 2 }),
    names: fc.array(fc.constantFrom<unknown>('a', 1, true), { maxLength: 4 }),
    changes: fc.array(change, { maxLength: 6 }),
  },
  { requiredKeys: [] },
)
const variables = fc.record({ data, old: data }).map((of): Variables => ({ ...of, event: {}, c: 'outside' }))

describe('an expression taken apart', () => {
  test('picks what the whole picks, and does no more than it said', () => {
    fc.assert(
      fc.property(condition, fc.array(variables, { minLength: 1, maxLength: 5 }), (text, events) => {
        // What cannot be right for any event is refused when it is given.
        fc.pre(language.check(text).valid)
        const { test: picks, cost, count } = takeText(text)
        for (const event of events) {
          Object.assign(count, { runs: 0, failures: 0 })
          expect(picks(event), text).toBe(evaluateWhole(text, event))
          expect(count.runs * 0.3 + count.failures * 4, text).toBeLessThanOrEqual(cost)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test.each([
    'data.nothing == 1',
    'data.nothing.deeper > 1',
    'data.labels.nothing.startsWith("a") || has(data.nothing.deeper)',
    'data.phase > 1 || data.restarts < "x" || data.restarts.startsWith("x") || "x" in data.phase',
    '!(data.nothing == 1)',
    'data.changes.exists(c, c.to > 1 || c.nothing == 2)',
    'data.nothing.all(c, c == 1)',
  ])('%s asks before it evaluates what is bound to fail', (text) => {
    const { test: picks, count } = takeText(text)
    const event = { data: { phase: 'Running', restarts: 2, labels: {}, changes: [{ to: null }, { to: 'x' }] }, old: {} }
    expect(picks(event)).toBe(false)
    expect(count).toEqual({ runs: 0, failures: 0 })
  })
})

const repeat = (times: number, part: (i: number) => string) =>
  Array.from({ length: times }, (_, i) => part(i)).join('||')

test.each([
  ['data.phase == "Running" && old.phase == "Pending" || data.status == "CrashLoopBackOff" && data.restarts > 5', true],
  [repeat(14, (i) => `data.absent${i}.x > ${i}`), true],
  ['data.changes.exists(c, c.type == "restarted" && c.exitCode == 137 && c.container == "web")', true],
  ['int(data.labels.shard) % 2 == 0', true],
  ['data.changes.filter(c, c.type == "phase").size() > 1', true],
  ['data.restarts > 1 && old.phase != data.phase', true],
  [repeat(3, (i) => `int(data.a${i})>0`), false],
  [repeat(6, (i) => `data.a${i}>data.b`), false],
  ['data.changes.exists(c, c.count > c.from)', false],
  [repeat(4, (i) => `data.changes.exists(c,c.to=="${i}"||c.to=="x")`), false],
])('%s may be subscribed to: %s', (where, isAllowed) => {
  const attempt = () => parseFilter({ where })
  if (isAllowed) expect(attempt).not.toThrow()
  else expect(attempt).toThrow(/where: too costly, up to \d+ µs at one event and at most 20; simplify/)
})

test('refuses a variable that hides one of its own', () => {
  expect(() => compileWhere('data.changes.exists(data, data.type == "x")')).toThrow(
    'hides "data"; give it another name',
  )
})

const event: RelayEvent = {
  specversion: '1.0',
  id: 'test/u/1',
  source: '/clusters/test/api/v1/namespaces/shop/pods',
  type: 'k8s.pod.modified',
  subject: 'shop/web',
  time: '2026-11-21T00:00:00.000Z',
  datacontenttype: 'application/json',
  data: {
    namespace: 'shop',
    name: 'web',
    changes: Array.from({ length: 6 }, () => ({ type: 'phase', to: 'Running' })),
  },
}

test.each([
  ['', 'must not be empty'],
  ['data.restarts > old.restarts', 'old.restarts at character 17 is not known; old has namespace, name'],
  ['has(old.node.x) || has(old.nodes)', 'old.nodes at character'],
  ['data.phase = "Running"', 'write == to compare'],
  ['data.ok and data.phase == "x"', 'write &&, || and !'],
  ['phase == "Running"', 'there are event, data and old'],
  ['has(data.labels["app"])', '"app" in data.labels'],
  ['event.nope == 1', 'event has id, source, type'],
])('says what to write instead of %j', (where, words) => {
  expect(() => compileWhere(where)).toThrow(words)
})

test.each<[string, object]>([
  ['data.name == "😀"', { name: '😀' }],
  ['data.name == "\\U0001F600"', { name: '😀' }],
  ['data.name == "\ud800"', { name: '\ud800' }],
  ['data.name == "a\\\\ud83d"', { name: 'a\\ud83d' }],
  ['data.name == "日本é\\n\\"x\'"', { name: '日本é\n"x\'' }],
  ['data["😀"] == "x"', { '😀': 'x' }],
  ['data.x < 1e300', { x: 1 }],
  ['data.x == 1e21', { x: 1e21 }],
  ['data.x > 1e-12 && !(data.y > 1e-12)', { x: 1e-11, y: 1e-13 }],
  ['data.x == 0.1234567890123', { x: 0.1234567890123 }],
  ['data.x == -1.5', { x: -1.5 }],
  ['data.x - (data.y - data.z) == 4.0', { x: 3, y: 1, z: 2 }],
  ['data.x - (data.y + data.z) == 0.0', { x: 3, y: 1, z: 2 }],
  ['-(data.x - 1.0) == -2.0', { x: 3 }],
  ['data.x == (data.y == data.z)', { x: false, y: 1, z: 2 }],
  ['(data.x == 1.0 ? "a" : "b") == "a"', { x: 1 }],
  ['("a" + data.name).startsWith("aa")', { name: 'a' }],
])('%s means what it says', (where, data) => {
  const given = { ...event, data: { ...event.data, ...data } } as RelayEvent
  expect(compileFilter(parseFilter({ where }))(given)).toBe('in')
})
