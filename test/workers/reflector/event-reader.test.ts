import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createEventReader } from '../../../workers/reflector/event-reader.ts'
import { parseEvent } from '../../../workers/reflector/frame.ts'

/** What both ways make of the same frames; errors too. */
function check(frames: readonly string[]): void {
  const read = createEventReader()
  for (const text of frames) {
    const attempt = (parse: (bytes: Buffer) => unknown) => {
      try {
        return { value: parse(Buffer.from(text)) }
      } catch (error) {
        return { failed: (error as Error).name }
      }
    }
    expect(attempt(read)).toEqual(attempt(parseEvent))
  }
}

const text = fc.constantFrom('a', 'b', '2026-11-20T23:59:00Z', '"', '\\', 'é', '","renewTime":"x', '\\"uid\\":\\"', '')
const version = fc.constantFrom('10', '11', '12', '9', 'x"', '\\')

/** Leases that differ from one another in little, so that one is often nearly a renewal of another. */
const lease = fc
  .record({
    type: fc.constantFrom('MODIFIED', 'MODIFIED', 'DELETED'),
    uid: fc.constantFrom('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002', ''),
    version,
    name: fc.constantFrom('a', 'a', 'b'),
    label: fc.option(text, { freq: 1, nil: undefined }),
    time: text,
    manager: text,
    holder: fc.constantFrom('me', 'me', 'you'),
    renewTime: fc.oneof(text, version),
    extra: fc.option(fc.constantFrom('renewTime', 'resourceVersion', 'time', 'uid'), { freq: 6, nil: undefined }),
    isManaged: fc.boolean(),
  })
  .map((l) => ({
    type: l.type,
    object: {
      kind: 'Lease',
      metadata: {
        name: l.name,
        uid: l.uid,
        resourceVersion: l.version,
        ...(l.label === undefined ? {} : { labels: { l: l.label } }),
        ...(l.isManaged
          ? { managedFields: [{ manager: l.manager, time: l.time, fieldsV1: { 'k:{"uid":"x"}': {} } }] }
          : {}),
      },
      spec: {
        holderIdentity: l.holder,
        renewTime: l.renewTime,
        ...(l.extra === undefined ? {} : { nested: { [l.extra]: '10' } }),
      },
    },
  }))

test('a renewal read from the frame before it is what a parser makes of it', () => {
  fc.assert(
    fc.property(fc.array(lease, { minLength: 2, maxLength: 12 }), (leases) =>
      check(leases.map((l) => JSON.stringify(l))),
    ),
    { numRuns: 2000 },
  )
})

const filler = 'x'.repeat(1500)

/** Objects with a status that are told again and again, some with the spec of before, and some that try to look like it. */
const reported = fc
  .record({
    type: fc.constantFrom('MODIFIED', 'MODIFIED', 'MODIFIED', 'ADDED', 'DELETED'),
    uid: fc.constantFrom('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'),
    version,
    isManaged: fc.boolean(),
    spec: fc.constantFrom<unknown>(
      { node: 'a', text: filler },
      { node: 'b', text: filler },
      { node: 'é', text: filler, env: '},"status":{' },
      { text: filler, template: { spec: { a: 1 }, status: { b: 2 } } },
      0,
      'none',
      null,
    ),
    status: fc.constantFrom<unknown>(
      { phase: 'Running' },
      { phase: 'Pending', spec: { node: 'a' } },
      {},
      'odd',
      undefined,
    ),
    order: fc.constantFrom('spec', 'spec', 'status', 'twice', 'nested'),
    note: text,
  })
  .map(({ type, uid, version: resourceVersion, isManaged, spec, status, order, note }) => {
    const managed = isManaged ? { managedFields: [{ manager: note, fieldsV1: { 'f:spec': {} } }] } : {}
    const metadata = { name: 'web', uid, resourceVersion, annotations: { note, filler }, ...managed }
    const parts = JSON.stringify({ spec, status }).slice(1, -1)
    const turned = JSON.stringify({ status, spec }).slice(1, -1)
    const members = {
      spec: parts,
      status: turned,
      twice: `${parts},"spec":{"node":"second"}`,
      nested: `"inner":{${parts}},"spec":{"node":"outer"}`,
    }
    return `{"type":"${type}","object":{"kind":"Pod","metadata":${JSON.stringify(metadata)},${members[order as 'spec']}}}`
  })

test('an object with the spec of the frame before it is what a parser makes of it', () => {
  fc.assert(fc.property(fc.array(reported, { minLength: 2, maxLength: 12 }), check), { numRuns: 2000 })
})

test('a byte changed anywhere in an object that is told again is seen', () => {
  const frame = fc.sample(
    reported.filter((f) => f.startsWith('{"type":"MODIFIED"') && f.includes('"node":"a"')),
    { numRuns: 1, seed: 4 },
  )[0] as string
  fc.assert(
    fc.property(fc.nat(frame.length - 1), fc.constantFrom('"', '\\', '}', '0', 'a', ' ', '\n', 'é'), (at, byte) =>
      check([frame, frame, frame.slice(0, at) + byte + frame.slice(at + 1), frame]),
    ),
    { numRuns: 1000 },
  )
})

test('a byte changed anywhere in a renewal is seen', () => {
  const frame = JSON.stringify(fc.sample(lease, { numRuns: 1, seed: 4 })[0])
  fc.assert(
    fc.property(fc.nat(frame.length - 1), fc.constantFrom('"', '\\', '}', '0', 'a', ' ', '\n', 'é'), (at, byte) =>
      check([frame, frame, frame.slice(0, at) + byte + frame.slice(at + 1)]),
    ),
    { numRuns: 3000 },
  )
})

test('recorded frames are read as a parser reads them, and an object handed out is not changed by what follows', () => {
  for (const name of ['leases-lifecycle', 'pods-lifecycle']) {
    const body = readFileSync(new URL(`../../recordings/${name}.body`, import.meta.url), 'utf8')
    check(body.trimEnd().split('\n'))
  }
  const read = createEventReader()
  const frames = ['10', '11', '12'].map((v) =>
    Buffer.from(
      `{"type":"MODIFIED","object":{"metadata":{"uid":"${'u'.repeat(36)}","resourceVersion":"${v}"},"spec":{"renewTime":"t${v}"}}}`,
    ),
  )
  const events = frames.map(read)
  expect(events).toEqual(frames.map(parseEvent))
})
