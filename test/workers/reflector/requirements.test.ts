import { globSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

const spec = readFileSync('workers/reflector/SPEC.md', 'utf8')

/** Numbers that SPEC.md lists as not applicable, each with the reason. */
const exempt = new Set(spec.slice(spec.indexOf('## Not applicable')).match(/\bR\d+\b/g))
/** What follows `it(` or `it.each(…)(`, or stands in a table of cases: the texts that become test titles. */
const titles = globSync('test/**/*.test.ts')
  .map((file) => readFileSync(file, 'utf8'))
  .flatMap((source) => source.match(/(['"`])(?:R\d+ )+.*?\1/g) ?? [])
const named = new Set(titles.flatMap((title) => title.match(/\bR\d+\b/g) ?? []))

it('every requirement from R1 to R95 is named by a test, or listed in SPEC.md as not applicable', () => {
  const all = Array.from({ length: 95 }, (_, n) => `R${n + 1}`)
  expect(all.filter((number) => !named.has(number) && !exempt.has(number))).toEqual([])
  expect([...exempt].filter((number) => named.has(number))).toEqual([])
})

it('every test that SPEC.md names is there', () => {
  const sources = globSync('test/**/*.test.ts').map((file) => readFileSync(file, 'utf8'))
  const quoted = [...spec.matchAll(/"(R\d+ [^"]+?)…"/g)].map(([, start]) => start ?? '')
  expect(quoted.length).toBeGreaterThan(5)
  expect(quoted.filter((start) => !sources.some((source) => source.includes(start)))).toEqual([])
})
