import { expect, test } from 'vitest'
import { createKeys } from '../../shared/keys.ts'
import { followLog, type LogStep } from '../../shared/log/reader.ts'
import type { RedisClient } from '../../shared/redis.ts'

/** A server at one moment: what it answers to a read and to a question for the bounds. */
interface Server {
  epoch: string
  first?: number
  last: number
  past?: string
}

/**
 * A client that answers each round from two servers: the read from one, the bounds from another, as one does that loses its
 * connection between the two answers and sends again what was not answered.
 */
function createScriptedClient(rounds: { read: Server; bounds: Server }[]): RedisClient {
  let [reads, asked] = [0, 0]
  return {
    async call(command, ...args) {
      if (command === 'HMGET') {
        const server = rounds[Math.min(asked++, rounds.length - 1)]?.bounds
        const meta: Record<string, unknown> = { ...server, seq: server?.last, key: '00' }
        return args.slice(1).map((field) => (meta[field] === undefined ? null : String(meta[field])))
      }
      const server = rounds[Math.min(reads++, rounds.length - 1)]?.read
      const after = Number.parseInt(String(args.at(-1)), 10)
      const entries: [string, string[]][] = []
      for (let seq = Math.max(after + 1, server?.first ?? 1); seq <= (server?.last ?? 0); seq++) {
        entries.push([`${seq}-0`, ['e', `{"server":"${server?.epoch}"}`]])
      }
      return entries.length === 0 ? null : [['log', entries]]
    },
  }
}

async function follow(from: { epoch: string; seq: number }, rounds: Parameters<typeof createScriptedClient>[0]) {
  const steps: LogStep[] = []
  const options = { signal: new AbortController().signal, block: 1 }
  for await (const step of followLog(createScriptedClient(rounds), createKeys('test'), from, options)) {
    steps.push(step)
    if (step.type !== 'entries' && steps.length > 4) throw new Error('the entries never came')
    if (step.type === 'entries') break
  }
  return steps
}

const old: Server = { epoch: 'old', last: 100 }
/** Promoted when it had 90 of them; it has begun a life of its own since. */
const promoted: Server = { epoch: 'new', last: 95, past: 'old 90' }
/** Promoted just now, before anybody wrote. */
const lagging: Server = { epoch: 'old', last: 90 }

test('entries that the server lost are not told as entries of the life that came after', async () => {
  const steps = await follow({ epoch: 'old', seq: 88 }, [
    { read: old, bounds: promoted },
    { read: promoted, bounds: promoted },
  ])
  const told = steps.at(-1)
  expect(told).toMatchObject({ type: 'entries', epoch: 'new' })
  if (told?.type !== 'entries') throw new Error('no entries')
  expect(told.entries.map(({ seq }) => seq)).toEqual([89, 90, 91, 92, 93, 94, 95])
  expect(told.entries.every(({ json }) => json === '{"server":"new"}')).toBe(true)
})

test('entries beyond the end of the log are read again from the server that tells of the end', async () => {
  const steps = await follow({ epoch: 'old', seq: 88 }, [
    { read: old, bounds: lagging },
    { read: lagging, bounds: lagging },
  ])
  const told = steps.at(-1)
  if (told?.type !== 'entries') throw new Error('no entries')
  expect(told.entries.map(({ seq }) => seq)).toEqual([89, 90])
})

test('a reader of what was lost is told, though the read that was answered still had it', async () => {
  const steps = await follow({ epoch: 'old', seq: 96 }, [
    { read: old, bounds: promoted },
    { read: promoted, bounds: promoted },
  ])
  expect(steps[0]).toEqual({ type: 'reset', oldest: { epoch: 'new', seq: 0 } })
})
