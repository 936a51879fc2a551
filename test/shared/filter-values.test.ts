import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseFilter } from '../../shared/filter/filter.ts'
import { changeTypes } from '../../shared/filter/values.ts'

test.each([
  [{ name: 'a,,b' }, 'name: one of the values is empty'],
  [{ name: '' }, 'name: one of the values is empty'],
  [{ name: [] }, 'name: must be a value'],
  [{ name: { a: 1 } }, 'name: must be a value'],
  [{ name: ['a', 7] }, 'name: must be a text'],
  [{ name: 'x'.repeat(513) }, 'name: a value may have at most 512 characters'],
  [{ name: Array(101).fill('x') }, 'name: at most 100 values'],
  [{ name: 'a\nb' }, 'name: a value may not have line breaks'],
  [{ namespace: '!!a' }, 'namespace: "!!a" excludes nothing'],
  [{ namespace: 'a*b' }, 'namespace: "a*b" would match nothing; a * may only be the last character'],
  [{ namespace: '**' }, 'a * may only be the last'],
  [{ type: '*.deleted' }, 'a * may only be the last'],
  [{ type: 'ADDED' }, 'type: "ADDED" is no type of event; they are such as k8s.pod.added'],
  [{ type: 'k8s.pod.created' }, 'is no type of event'],
  [{ type: '!pod.*' }, 'is no type of event'],
  [{ change: 'Restarted' }, 'change: "Restarted" is no type of change; there are phase, status'],
  [{ change: 'oom*' }, 'is no type of change'],
  [{ phase: 'Run*' }, 'phase: "Run*" is no phase; name those that you want of Pending'],
])('%j is refused, since it could never match', (filter, words) => {
  expect(() => parseFilter(filter)).toThrow(words)
})

test.each([
  { type: 'k8s.pod.deleted,k8s.lease.expired,k8s.relay.gap,!k8s.rolebinding.*' },
  { type: ['*', 'k*', 'k8s.*', 'relay.*', 'relay.endpoint.disabled'] },
  { change: 'restarted,!labels,re*,*' },
  { namespace: [' shop ', '!kube-*', '*', '!*'] },
])('%j is taken', (filter) => {
  expect(() => parseFilter(filter)).not.toThrow()
})

test('every type of change that is told can be asked for, and no other', () => {
  const folder = new URL('../../workers/normalize/', import.meta.url)
  const text = readdirSync(folder)
    .map((name) => readFileSync(new URL(name, folder), 'utf8'))
    .join('\n')
  const told = [
    ...text.matchAll(/(?:changes\.push\(\{\s*type: |moved\(|appeared\(|\[\{ type: |Change = \{ type: )'(\w+)'/g),
  ]
  // What a Lease's change is called depends on who held it before.
  const kinds = [...(/const kind = old\.holder(.*)/.exec(text)?.[1] ?? '').matchAll(/'(\w+)'/g)]
  expect(new Set([...told, ...kinds].map(([, type]) => type))).toEqual(new Set(changeTypes))
})
