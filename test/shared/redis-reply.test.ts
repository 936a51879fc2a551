import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createReplyReader, encodeCommand, ReplyError } from '../../shared/redis/reply.ts'

const encoder = new TextEncoder()

type Reply = string | number | null | Reply[]

const reply = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { maxDepth: 3 },
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.constant(null),
    fc.array(tie('reply'), { maxLength: 5 }),
  ),
})).reply

function write(value: Reply): string {
  if (value === null) return '$-1\r\n'
  if (typeof value === 'number') return `:${value}\r\n`
  if (typeof value === 'string') return `$${encoder.encode(value).length}\r\n${value}\r\n`
  return `*${value.length}\r\n${value.map(write).join('')}`
}

test('reads whatever Redis answers, wherever it is cut on the way', () => {
  fc.assert(
    fc.property(fc.array(reply, { minLength: 1 }), fc.array(fc.nat(40), { minLength: 1 }), (replies, cuts) => {
      const bytes = encoder.encode(replies.map(write).join(''))
      const told: unknown[] = []
      const read = createReplyReader((one) => told.push(one))
      for (let at = 0, n = 0; at < bytes.length; n++) {
        const end = at + 1 + (cuts[n % cuts.length] ?? 0)
        read(bytes.subarray(at, end))
        at = end
      }
      expect(told).toEqual(replies)
    }),
  )
})

test('tells a refusal from a text, alone and in a list, and the end of a blocked read', () => {
  const told: unknown[] = []
  const read = createReplyReader((one) => told.push(one))
  read(encoder.encode('+OK\r\n-WRONGTYPE no\r\n*2\r\n-ERR x\r\n$2\r\n-a\r\n*-1\r\n*0\r\n'))
  expect(told[0]).toBe('OK')
  expect(told[1]).toEqual(new ReplyError('WRONGTYPE no'))
  expect(told[2]).toEqual([new ReplyError('ERR x'), '-a'])
  expect(told.slice(3)).toEqual([null, []])
})

test('takes nothing else for an answer', () => {
  expect(() => createReplyReader(() => undefined)(encoder.encode('HTTP/1.1 400 Bad Request\r\n'))).toThrow(
    'as Redis does',
  )
})

test('counts a command in bytes', () => {
  expect(new TextDecoder().decode(encodeCommand(['SET', 'ä', 12]))).toBe('*3\r\n$3\r\nSET\r\n$2\r\nä\r\n$2\r\n12\r\n')
})
