import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEvent, parseObject } from '../../../workers/reflector/frame.ts'

type Value = { metadata?: { managedFields?: unknown } } | null

/** What the fast way must give: everything, and then the field thrown away. */
function parseSlowly(text: string, objectIn: (value: unknown) => unknown): unknown {
  const value: unknown = JSON.parse(text)
  const object = objectIn(value) as Value
  if (object?.metadata?.managedFields !== undefined) delete object.metadata.managedFields
  return value
}

const isSame = (text: string) => {
  const objectIn = (value: unknown) => (value as { object?: unknown } | null)?.object
  expect(parseEvent(Buffer.from(text))).toEqual(parseSlowly(text, objectIn))
  expect(parseObject(Buffer.from(text))).toEqual(parseSlowly(text, (value) => value))
}

const tricky = fc.constantFrom(
  'managedFields',
  '"managedFields":[',
  '}]},"spec":{',
  ']',
  '[',
  '}],"a":1',
  '\\',
  '"',
  'spec',
  'é',
  'a',
)
const word = fc.oneof(
  tricky,
  fc.array(tricky, { maxLength: 3 }).map((parts) => parts.join('')),
  fc.string({ maxLength: 5 }),
)
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    word,
    fc.integer(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(
      fc.oneof(fc.constantFrom('managedFields', 'metadata', 'object', 'spec', 'labels'), word),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
})).value

test('R95: managedFields are dropped, and nothing else is lost, wherever such bytes occur', () => {
  const entry = fc.record({
    manager: word,
    fieldsV1: fc.dictionary(word, fc.oneof(fc.constant({}), json), { maxKeys: 3 }),
  })
  const metadata = fc
    .record(
      { name: word, managedFields: fc.oneof(fc.array(entry, { maxLength: 3 }), json), labels: json },
      { requiredKeys: [] },
    )
    .chain((members) => fc.shuffledSubarray(Object.entries(members), { minLength: 0 }).map(Object.fromEntries))
  const object = fc.record(
    { kind: word, metadata: fc.oneof(metadata, json), spec: json, status: json },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(object, json), fc.boolean(), fc.boolean(), (value, isWrapped, isSpaced) => {
      isSame(JSON.stringify(isWrapped ? { type: 'ADDED', object: value } : value, null, isSpaced ? 1 : 0))
    }),
    { numRuns: 5000 },
  )
})

test('R95: recorded frames are read as a plain parser reads them', () => {
  for (const name of ['pods-lifecycle', 'leases-lifecycle', 'rolebindings-lifecycle']) {
    const body = readFileSync(new URL(`../../recordings/${name}.body`, import.meta.url), 'utf8')
    for (const line of body.trimEnd().split('\n')) isSame(line)
  }
})

test('R37: what is no JSON is refused', () => {
  for (const text of ['', '{"metadata":{"managedFields":[{}],"name":', '{"managedFields":[{}],"x"}']) {
    expect(() => parseObject(Buffer.from(text))).toThrow(SyntaxError)
  }
})
