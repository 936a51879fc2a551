import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { mutations } from './mutations.ts'

const root = new URL('../../', import.meta.url)

it.each(mutations)('a bug can be planted: $name', ({ file, from, to }) => {
  expect(readFileSync(new URL(file, root), 'utf8').split(from).length - 1).toBe(1)
  expect(to).not.toBe(from)
})
