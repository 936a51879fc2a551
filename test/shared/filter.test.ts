import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RelayError } from '../../shared/errors.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFieldSelector } from '../../shared/filter/field-selector.ts'
import { compileFilter, explainFilter, type Filter, filterNames, parseFilter } from '../../shared/filter/filter.ts'
import { compileLabelSelector } from '../../shared/filter/selector.ts'

function createEvent(over: Partial<RelayEvent> = {}, data: Partial<RelayEvent['data']> = {}): RelayEvent {
  return {
    specversion: '1.0',
    id: 'c/u/1',
    source: '/clusters/c/api/v1/namespaces/shop/pods',
    type: 'k8s.pod.modified',
    subject: 'shop/web-1',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    ...over,
    data: { namespace: 'shop', name: 'web-1', labels: { app: 'web' }, phase: 'Running', changes: [], ...data },
  }
}

function catchError(run: () => unknown): RelayError {
  try {
    run()
  } catch (error) {
    if (error instanceof RelayError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('a label selector', () => {
  const labels = { app: 'web', tier: 'front', 'example.com/zone': 'a', empty: '' }
  it.each([
    ['app=web', true],
    ['app==web', true],
    ['app = web , tier = front', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['app', true],
    ['!app', false],
    ['!missing', true],
    ['app in (web, api)', true],
    ['app notin (web)', false],
    ['missing notin (x)', true],
    ['missing in (x)', false],
    ['example.com/zone=a', true],
    ['empty=', true],
    ['empty in ()', true],
    ['app in (api,)', false],
    ['in=x', false],
    ['', true],
    ['toString', false],
  ])('%j picks: %j', (text, picked) => {
    expect(compileLabelSelector(text)(labels)).toBe(picked)
  })

  it.each([
    ['app=web,', 'a label key at the end'],
    ['app in web', '"(" at character 8'],
    ['app in (web', '"," or ")" at the end'],
    ['=web', 'a label key at character 1'],
    ['app web', '"," at character 5'],
    ['app=$x', '"$x" at character 5 is not a label value'],
    ['a,,b', 'a label key at character 3'],
  ])('%j is refused, saying where', (text, where) => {
    expect(() => compileLabelSelector(text)).toThrow(where)
  })

  it('never fails in any other way than a clear refusal', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          compileLabelSelector(text)(labels)
        } catch (error) {
          expect(error).toBeInstanceOf(RelayError)
        }
      }),
    )
  })
})

const started = { type: 'phase', from: 'Pending', to: 'Running' }
const oom = [
  { type: 'waiting', container: 'sidecar', to: 'CrashLoopBackOff' },
  { type: 'restarted', container: 'app', from: 1, to: 2, exitCode: 137, reason: 'OOMKilled' },
]

describe('a filter', () => {
  const cases: [Filter, RelayEvent, string | undefined][] = [
    [{}, createEvent(), 'in'],
    [{ resource: ['pods'] }, createEvent(), 'in'],
    [{ resource: ['leases'] }, createEvent(), undefined],
    [{ resource: ['nodes'] }, createEvent({ source: '/clusters/c/api/v1/nodes' }), 'in'],
    [{ namespace: ['shop', 'x'] }, createEvent(), 'in'],
    [{ namespace: ['x'] }, createEvent(), undefined],
    [{ name: ['web-1'] }, createEvent(), 'in'],
    [{ phase: ['Failed', 'Running'] }, createEvent(), 'in'],
    [{ phase: ['Failed'] }, createEvent(), undefined],
    [{ type: ['k8s.pod.modified'] }, createEvent(), 'in'],
    [{ type: ['k8s.pod.*'] }, createEvent(), 'in'],
    [{ type: ['k8s.lease.*'] }, createEvent(), undefined],
    [{ change: ['restarted'] }, createEvent(), undefined],
    [{ change: ['restarted'] }, createEvent({}, { changes: [{ type: 'restarted' }] }), 'in'],
    [{ 'phase.to': ['Running'] }, createEvent(), undefined],
    [
      { 'phase.to': ['Running'] },
      createEvent({}, { changes: [{ type: 'phase', from: 'Pending', to: 'Running' }] }),
      'in',
    ],
    [{ 'phase.from': ['Failed'] }, createEvent({}, { changes: [{ type: 'phase', from: 'Pending' }] }), undefined],
    [{ labelSelector: 'app=web' }, createEvent(), 'in'],
    [{ labelSelector: 'app=api' }, createEvent(), undefined],
    [
      { labelSelector: 'app=api' },
      createEvent({}, { changes: [{ type: 'labels', from: { app: 'api' }, to: { app: 'web' } }] }),
      'left',
    ],
    [
      { labelSelector: 'app=web' },
      createEvent({}, { changes: [{ type: 'labels', from: { app: 'api' }, to: { app: 'web' } }] }),
      'entered',
    ],
    [
      { namespace: ['x'], resource: ['leases'], phase: ['Failed'], labelSelector: 'app=api' },
      createEvent({ type: 'k8s.relay.gap' }, { namespace: '' }),
      'in',
    ],
    [{ namespace: ['shop'], phase: ['Failed'] }, createEvent({ type: 'k8s.relay.gap' }, { namespace: 'shop' }), 'in'],
    [{ namespace: ['x'] }, createEvent({ type: 'k8s.relay.gap' }, { namespace: 'shop' }), undefined],
    [{}, createEvent({ type: 'k8s.relay.gap' }, { namespace: 'shop' }), 'in'],
    [{ namespace: ['!kube-*', '!shop'] }, createEvent(), undefined],
    [{ namespace: ['!kube-*'] }, createEvent(), 'in'],
    [{ name: ['web-*', '!web-1'] }, createEvent(), undefined],
    [{ name: ['web-*', '!web-2'] }, createEvent(), 'in'],
    [{ resource: ['!leases'] }, createEvent(), 'in'],
    [{ type: ['!*.deleted', 'k8s.*'] }, createEvent(), 'in'],
    [{ status: ['CrashLoop*'] }, createEvent({}, { status: 'CrashLoopBackOff' }), 'in'],
    [{ status: ['CrashLoop*'] }, createEvent(), undefined],
    [{ node: ['node-7'] }, createEvent({}, { node: 'node-7' }), 'in'],
    [{ node: ['!node-7'] }, createEvent({}, { node: 'node-7' }), undefined],
    [{ change: ['restarted'], container: ['app'], reason: ['OOMKilled'] }, createEvent({}, { changes: oom }), 'in'],
    [{ change: ['waiting'], reason: ['OOMKilled'] }, createEvent({}, { changes: oom }), undefined],
    [{ container: ['sidecar'], reason: ['OOMKilled'] }, createEvent({}, { changes: oom }), undefined],
    [{ reason: ['CrashLoopBackOff'] }, createEvent({}, { changes: oom }), 'in'],
    [{ reason: ['Evicted'] }, createEvent({}, { changes: [{ type: 'evicted' }] }), 'in'],
    [{ holder: ['a'] }, createEvent({}, { holder: 'b', changes: [{ type: 'transferred', from: 'a', to: 'b' }] }), 'in'],
    [{ holder: ['!a'] }, createEvent({}, { holder: 'b', changes: [{ type: 'released', from: 'a' }] }), undefined],
    [{ holder: ['c'] }, createEvent({}, { holder: 'b' }), undefined],
    [{ fieldSelector: 'status.phase=Running,metadata.namespace!=x' }, createEvent(), 'in'],
    [{ fieldSelector: 'spec.nodeName=' }, createEvent(), 'in'],
    [{ fieldSelector: 'status.phase=Running' }, createEvent({}, { changes: [started] }), 'entered'],
    [{ fieldSelector: 'status.phase=Pending' }, createEvent({}, { changes: [started] }), 'left'],
    [{ fieldSelector: 'status.phase=Running' }, createEvent({ type: 'k8s.pod.added' }, { changes: [started] }), 'in'],
    [
      { fieldSelector: 'spec.nodeName=n' },
      createEvent({}, { node: 'n', changes: [{ type: 'bound', to: 'n' }] }),
      'entered',
    ],
    [
      { fieldSelector: 'status.phase=Pending', labelSelector: 'app=db' },
      createEvent({}, { changes: [started] }),
      undefined,
    ],
    [{ where: 'data.phase == "Running" && old.phase == "Pending"' }, createEvent({}, { changes: [started] }), 'in'],
    [{ where: 'old.phase == "Pending"' }, createEvent(), undefined],
    [{ where: 'data.nothing == 1' }, createEvent(), undefined],
    [{ where: '!has(data.nothing)' }, createEvent(), 'in'],
    [{ where: 'data.changes.exists(c, c.exitCode == 137)' }, createEvent({}, { changes: oom }), 'in'],
    [{ where: 'event.type.endsWith(".modified") && data.labels.app == "web"' }, createEvent(), 'in'],
  ]
  it.each(cases)('%j on an event answers as it should (case %#)', (filter, event, scope) => {
    expect(compileFilter(filter)(event)).toBe(scope)
  })

  it('reads lists from commas and from arrays alike', () => {
    expect(parseFilter({ phase: 'Running,Failed' })).toEqual(parseFilter({ phase: ['Running', 'Failed'] }))
  })

  it.each([
    [{ phase: 'Runing' }, 'phase'],
    [{ colour: 'red' }, 'colour'],
    [{ namespace: '' }, 'namespace'],
    [{ namespace: 7 }, 'namespace'],
    [{ labelSelector: ['a'] }, 'labelSelector'],
    [{ labelSelector: 'a in b' }, 'labelSelector'],
    [{ fieldSelector: 'spec.image=x' }, 'fieldSelector'],
    [{ name: 'a\nb' }, 'name'],
    [{ name: '!' }, 'name'],
    [{ where: '1 + 1' }, 'where'],
  ])('%j is refused with the field in the message', (input, field) => {
    const error = catchError(() => parseFilter(input, 'filter.'))
    expect(error.details.field).toBe(`filter.${field}`)
    expect(error.status).toBe(400)
  })
})

describe('a field selector', () => {
  const data = { name: 'a,b=c', namespace: 'shop', phase: 'Running', changes: [] }
  it.each([
    ['', true],
    ['metadata.name=a\\,b\\=c', true],
    [' metadata.namespace == shop , status.phase!=Failed', true],
    ['status.reason=', true],
    ['status.reason!=', false],
  ])('%j picks: %j', (text, picked) => {
    expect(compileFieldSelector(text)(data)).toBe(picked)
  })

  it.each([
    ['metadata.name', 'at character 14'],
    ['metadata.name=a,status.fase=x', '"status.fase" at character 17'],
    ['metadata.name=a=b', 'character 16'],
    ['metadata.name=a\\b', 'backslash at character 16'],
  ])('%j is refused, saying where', (text, where) => {
    expect(() => compileFieldSelector(text)).toThrow(where)
  })
})

describe('a CEL expression', () => {
  const macro = 'data.changes.exists(c, data.containers.exists(d, d.name == c.container))'
  it.each([
    ['data.name.startsWith(', 'at character 22', 400],
    ['event.tpye == "x"', 'tpye at character 7', 400],
    ['nothing.at.all', 'Unknown variable: nothing', 400],
    ['size(data.changes)', 'must be true or false', 400],
    ['data.name.matches("(a+)+$")', 'use startsWith', 400],
    ['cel.bind(x, 1, x == 1)', 'bind() at character 1', 400],
    [macro, 'inside another macro', 422],
    ['x'.repeat(513), 'at most 512', 422],
    ['('.repeat(30), 'maxDepth', 422],
    [Array(40).fill('data.x>1').join('||'), '', 422],
    ['data.changes.exists(c, c.count > c.from)', 'too costly', 422],
  ])('%j is refused when it is given', (text, message, status) => {
    const refusal = catchError(() => parseFilter({ where: text }))
    expect(refusal.message).toContain(message)
    expect(refusal).toMatchObject({ status, details: { field: 'where' } })
  })
})

it('refuses or compiles whatever it is given, and what it compiled never fails', () => {
  const word = fc.constantFrom(
    'data',
    'old',
    'event',
    '.',
    'exists(c, c.type',
    'has(',
    ')',
    '==',
    '"x"',
    '&&',
    '[',
    ']',
    '!',
    '1',
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 30 }).map((words) => words.join(' ')),
  )
  const value = fc.oneof(text, fc.array(text, { maxLength: 4 }), fc.jsonValue())
  const event = createEvent({}, { changes: [...oom, started] })
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...filterNames, 'other'), value, { maxKeys: 3 }), (input) => {
      let filter: Filter
      try {
        filter = parseFilter(input)
      } catch (error) {
        expect(error).toBeInstanceOf(RelayError)
        return
      }
      expect(['in', 'entered', 'left', undefined]).toContain(compileFilter(filter)(event))
      const passes = explainFilter(filter, event).every((clause) => clause.passes)
      expect(passes).toBe(compileFilter(filter)(event) !== undefined)
    }),
    { numRuns: 500 },
  )
})
