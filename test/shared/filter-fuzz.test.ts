import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RelayError } from '../../shared/errors.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter, explainFilter, parseFilter } from '../../shared/filter/filter.ts'

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
    labels: { app: 'web', 'example.com/zone': 'a' },
    phase: 'Running',
    restarts: 3,
    containers: Array.from({ length: 20 }, (_, i) => ({ name: `c-${i}`, restarts: i })),
    changes: Array.from({ length: 20 }, (_, i) => ({
      type: i % 2 ? 'phase' : 'labels',
      from: { app: 'x' },
      to: 'Running',
    })),
  },
}

const space = fc.constantFrom('', '', ' ', '\t', '\n')
const joined = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((all) => all.join(''))
const many = (part: fc.Arbitrary<string>, separator: string, most: number) =>
  fc.array(part, { minLength: 1, maxLength: most }).map((all) => all.join(separator))

const key = fc.constantFrom('app', 'example.com/zone', 'in', 'notin', 'in-x', 'ключ', '/', 'a'.repeat(64))
const value = fc.constantFrom('web', '', 'x-', '7', '9'.repeat(30), '😀', 'a.b_c')
const labelTerm = fc.oneof(
  joined(space, fc.constantFrom('', '!'), space, key, space),
  joined(key, space, fc.constantFrom('=', '==', '!=', '>', '<'), space, value),
  joined(
    key,
    fc.constant(' '),
    fc.constantFrom('in', 'notin'),
    space,
    fc.constant('('),
    many(value, ',', 300),
    fc.constant(')'),
  ),
)
const field = fc.constantFrom('metadata.name', 'status.phase', 'spec.nodeName', 'spec.image', '')
const fieldTerm = joined(
  field,
  fc.constantFrom('=', '==', '!=', '\\='),
  many(fc.constantFrom('a', '\\,', '\\=', '\\\\', '\\', '=', '😀'), '', 50),
)

const literal = fc.oneof(
  fc.constantFrom('1', '2.5', 'true', 'null', '-1', '1u', '9223372036854775807', '0x1f', '1e300', "b'a'", "r'\\d'"),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => JSON.stringify(text)),
)
const path = fc.constantFrom(
  'data.phase',
  'data.changes',
  'data.labels',
  'data.containers',
  'data.labels["app"]',
  'old.phase',
  'event.type',
  'event.data.name',
  'data.a.b.c.d',
  'c',
  'c.type',
  'c.restarts',
)
const { condition } = fc.letrec<{ term: string; condition: string }>((tie) => ({
  term: fc.oneof(
    { maxDepth: 4 },
    path,
    literal,
    joined(
      fc.constantFrom('size', 'int', 'string', 'timestamp', 'duration', 'double', 'type', 'dyn', 'matches'),
      fc.constant('('),
      tie('term'),
      fc.constant(')'),
    ),
    joined(tie('term'), fc.constantFrom(' + ', ' - ', ' * ', ' / ', ' % '), tie('term')),
    joined(fc.constant('['), many(literal, ', ', 60), fc.constant(']')),
    joined(tie('condition'), fc.constant(' ? '), tie('term'), fc.constant(' : '), tie('term')),
  ),
  condition: fc.oneof(
    { maxDepth: 5 },
    joined(tie('term'), fc.constantFrom(' == ', ' != ', ' < ', ' >= ', ' in '), tie('term')),
    joined(
      path,
      fc.constantFrom('.startsWith(', '.contains(', '.matches(', '.endsWith('),
      tie('term'),
      fc.constant(')'),
    ),
    joined(fc.constant('has('), path, fc.constant(')')),
    joined(fc.constantFrom('!', '!!', '!!!!!!'), fc.constant('('), tie('condition'), fc.constant(')')),
    joined(fc.constant('('), tie('condition'), fc.constantFrom(' && ', ' || '), tie('condition'), fc.constant(')')),
    joined(
      path,
      fc.constantFrom('.exists(c, ', '.all(c, ', '.exists_one(c, ', '.filter(c, ', '.map(c, '),
      tie('condition'),
      fc.constant(')'),
    ),
  ),
}))
const repeated = fc.tuple(condition, fc.constantFrom('&&', '||'), fc.nat(60)).map(([one, by, times]) =>
  Array(times + 1)
    .fill(one)
    .join(by),
)
const nested = fc
  .tuple(
    condition,
    fc.constantFrom(['(', ')'], ['!', ''], ['[', '][0]'], ['true ? ', ' : false'], ['size([', '])']),
    fc.nat(80),
  )
  .map(([one, [open, close], times]) => `${open?.repeat(times)}${one}${close?.repeat(times)}`)

/** What was right, with a few characters taken out, doubled or put in. */
function damage(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const blow = fc.tuple(
    fc.nat(600),
    fc.constantFrom('', '"', "'", '\\', '(', ')', ',', '=', '!', '\ud83d', '\u0000', '.', '*'),
    fc.nat(2),
  )
  return fc.tuple(text, fc.array(blow, { maxLength: 3 })).map(([whole, blows]) =>
    blows.reduce((left, [at, put, cut]) => {
      const place = at % (left.length + 1)
      return left.slice(0, place) + put + left.slice(place + cut)
    }, whole),
  )
}

const list = many(
  fc.constantFrom(
    'pods',
    'k8s.pod.*',
    'restarted',
    'Failed',
    '!kube-*',
    '*',
    '!',
    '!!a',
    'a*b',
    'x'.repeat(600),
    '',
    ' ',
    '😀',
  ),
  ',',
  120,
)
const good = many(fc.constantFrom('shop', '!kube-*', 'web', '*'), ',', 100)
const clauses = {
  where: fc.oneof({ weight: 3, arbitrary: condition }, damage(fc.oneof(condition, repeated, nested))),
  labelSelector: fc.oneof(labelTerm, damage(many(labelTerm, ',', 40))),
  fieldSelector: fc.oneof(fieldTerm, damage(many(fieldTerm, ',', 40))),
  namespace: fc.oneof(good, list, fc.array(list)),
  type: fc.oneof(fc.constantFrom('k8s.*', '!k8s.lease.*'), list),
  change: fc.oneof(fc.constantFrom('labels', '!ph*'), list),
  phase: fc.oneof(fc.constantFrom('Running', 'Failed,Running'), list),
}
const filter = fc.oneof(
  ...Object.entries(clauses).map(([name, text]) => fc.record({ [name]: text as fc.Arbitrary<string | string[]> })),
  fc.record(clauses, { requiredKeys: [] }),
)

/** Of this thread alone, in ms: what else runs on the machine does not count. */
const spent = () => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}

test('no filter made of what is nearly right crashes anything or holds up the process for 50 ms', () => {
  const count = { taken: 0, refused: 0 }
  let slowest = { ms: 0, filter: {} }
  fc.assert(
    fc.property(filter, (input) => {
      const begin = spent()
      try {
        const parsed = parseFilter(input)
        const scope = compileFilter(parsed)(event)
        expect(explainFilter(parsed, event).every(({ passes }) => passes)).toBe(scope !== undefined)
        count.taken++
      } catch (error) {
        if (!(error instanceof RelayError)) throw error
        expect([400, 422]).toContain(error.status)
        expect(error.details.field).toMatch(/^[a-zA-Z.]+$/)
        count.refused++
      }
      const ms = spent() - begin
      if (ms > slowest.ms) slowest = { ms, filter: input }
    }),
    { numRuns: 4_000 },
  )
  expect(slowest.ms, JSON.stringify(slowest.filter)).toBeLessThan(50)
  // Grammar that is always refused, or never, would prove nothing.
  expect(count.taken).toBeGreaterThan(200)
  expect(count.refused).toBeGreaterThan(200)
})
