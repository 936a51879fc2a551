import { Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { readBody } from '../../../workers/reflector/read-body.ts'

/** A body in whose buffer these chunks are, each by itself. */
function bodyOf(...chunks: string[]): Readable {
  const body = new Readable({ read: () => undefined, objectMode: true })
  for (const chunk of chunks) body.push(Buffer.from(chunk))
  return body
}

test('every chunk is handed on, and then the end told', async () => {
  const seen: string[] = []
  const body = bodyOf('a', 'b', 'c')
  body.push(null)
  const end = await readBody(body, (chunk) => {
    seen.push(String(chunk))
    return undefined
  })
  expect([seen.join(''), end]).toEqual(['abc', undefined])
})

test('nothing is handed on after an answer, though it is in the buffer already', async () => {
  const body = bodyOf('a', 'b', 'c')
  const seen: string[] = []
  const end = await readBody(body, (chunk) => {
    seen.push(String(chunk))
    return seen.length === 2 ? 'enough' : undefined
  })
  await turn()
  expect([seen, end, body.destroyed]).toEqual([['a', 'b'], 'enough', true])
})

test('nothing is handed on after an error, which is told', async () => {
  const body = bodyOf('a', 'b', 'c')
  const seen: string[] = []
  const reading = readBody(body, (chunk) => {
    seen.push(String(chunk))
    throw new Error('no')
  })
  await expect(reading).rejects.toThrow('no')
  await turn()
  expect(seen).toEqual(['a'])
})

test('nothing is read while the answer is awaited', async () => {
  const body = bodyOf('a', 'b')
  body.push(null)
  const seen: string[] = []
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const reading = readBody(body, (chunk) => {
    seen.push(String(chunk))
    return promise
  })
  await turn()
  expect(seen).toEqual(['a'])
  resolve(undefined)
  expect(await reading).toBeUndefined()
  expect(seen).toEqual(['a', 'b'])
})

test('a body that breaks off is an error, also while an answer is awaited', async () => {
  const body = bodyOf('a')
  const reading = readBody(body, () => new Promise<undefined>(() => undefined))
  await turn()
  body.destroy(new Error('reset'))
  await expect(reading).rejects.toThrow('reset')
  const early = bodyOf()
  const closing = readBody(early, () => undefined)
  early.destroy()
  await expect(closing).rejects.toThrow('Premature close')
})
