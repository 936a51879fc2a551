import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RelayError } from '../../shared/errors.ts'
import type { RelayEvent } from '../../shared/event.ts'
import { compileFilter, type Filter, parseFilter } from '../../shared/filter/filter.ts'
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
    ['app=$x', 'cannot read "$x" at character 5'],
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
    [{ namespace: ['x'], resource: ['leases'] }, createEvent({ type: 'k8s.relay.gap' }), 'in'],
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
  ])('%j is refused with the field in the message', (input, field) => {
    const error = (() => {
      try {
        parseFilter(input, 'filter.')
        return undefined
      } catch (thrown) {
        return thrown as RelayError
      }
    })()
    expect(error?.details.field).toBe(`filter.${field}`)
    expect(error?.status).toBe(400)
  })
})
