import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLineSplitter, OversizedFrame } from '../../../workers/reflector/lines.ts'
import { createListSplitter } from '../../../workers/reflector/list-splitter.ts'

/** Cuts bytes at the given places. */
function cut(bytes: Uint8Array, places: number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8')

describe('a line splitter', () => {
  it('R44 R45 R46 gives the same lines wherever the stream was cut, bare CRs and split characters included', () => {
    const line = fc.string({ unit: 'binary' }).map((s) => `${s.replaceAll('\n', '\r')}é🙂`)
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat()), (lines, places) => {
        const splitter = createLineSplitter()
        const bytes = Buffer.from(lines.map((one) => `${one}\n`).join(''), 'utf8')
        const found = cut(bytes, places).flatMap((chunk) => splitter.push(chunk).map(text))
        expect(found).toEqual(lines.map((one) => Buffer.from(one, 'utf8').toString('utf8')))
        expect(splitter.pending).toBe(0)
      }),
    )
  })

  it('R47 keeps the tail of a frame that was cut to itself', () => {
    const splitter = createLineSplitter()
    expect(splitter.push(Buffer.from('{"a":1}\n{"b"')).map(text)).toEqual(['{"a":1}'])
    expect(splitter.pending).toBe(4)
  })

  it('R48 refuses a frame above the cap, in one chunk or in many', () => {
    expect(() => createLineSplitter(10).push(Buffer.from('12345678901\n'))).toThrow(OversizedFrame)
    const splitter = createLineSplitter(10)
    splitter.push(Buffer.from('1234567890'))
    expect(() => splitter.push(Buffer.from('1'))).toThrow(OversizedFrame)
  })
})

describe('a list splitter', () => {
  it('R9 gives the same items and the same list around them as the JSON parser, wherever the response was cut', () => {
    const item = fc.object({ maxDepth: 3 })
    fc.assert(
      fc.property(fc.array(item), fc.jsonValue(), fc.nat(4), fc.array(fc.nat()), (items, extra, indent, places) => {
        const list = JSON.parse(
          JSON.stringify({ kind: 'PodList', odd: { items: [extra] }, metadata: { a: '"items":[' }, items, z: extra }),
        )
        const splitter = createListSplitter()
        const bytes = Buffer.from(JSON.stringify(list, null, indent), 'utf8')
        const found = cut(bytes, places).flatMap((chunk) => splitter.push(chunk).map((one) => JSON.parse(text(one))))
        expect(found).toEqual(list.items)
        expect(JSON.parse(text(splitter.finish()))).toEqual({ ...list, items: [] })
      }),
    )
  })

  it('takes a list whose items are null', () => {
    const splitter = createListSplitter()
    expect(splitter.push(Buffer.from('{"items":null,"metadata":{"resourceVersion":"7"}}'))).toEqual([])
    expect(JSON.parse(text(splitter.finish())).metadata.resourceVersion).toBe('7')
  })

  it('takes a recorded page apart', () => {
    const bytes = readFileSync('test/recordings/leases-list-page1.body')
    const splitter = createListSplitter()
    const items = splitter.push(bytes).map((one) => JSON.parse(text(one)))
    expect(items).toEqual(JSON.parse(text(bytes)).items)
  })
})
