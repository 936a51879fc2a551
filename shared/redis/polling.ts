import type { RedisClient } from '../redis.ts'

/** How soon after news the next read comes, and how long it waits at most when there is none, in ms. */
const shortest = 25
const longest = 1_000

/**
 * Gives a client that cannot block the `XREAD BLOCK` of one that can: asks again and again, at first soon, then ever more
 * rarely, until there is news or the time is over. Commands are sent one after the other, as on a connection of their own.
 * @param signal ends the waiting.
 */
export function createPollingClient(redis: RedisClient, signal: AbortSignal): RedisClient {
  let pause = shortest
  let last: Promise<unknown> = Promise.resolve()

  const poll = async (block: number, words: readonly (string | number)[]) => {
    const end = performance.now() + block
    for (;;) {
      const answer = await redis.call('XREAD', ...words)
      if (answer !== null) {
        pause = shortest
        return answer
      }
      const rest = end - performance.now()
      if (rest <= 0 || signal.aborted) return null
      await wait(Math.min(pause, rest), signal)
      pause = Math.min(pause * 1.5, longest)
    }
  }

  return {
    call(command, ...args) {
      const at = command === 'XREAD' ? args.indexOf('BLOCK') : -1
      const run = () => {
        if (signal.aborted) throw new Error('the connection was closed')
        return at === -1 ? redis.call(command, ...args) : poll(Number(args[at + 1]), args.toSpliced(at, 2))
      }
      const answer = last.then(run)
      last = answer.catch(() => undefined)
      return answer
    },
  }
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const finish = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const timer = setTimeout(finish, ms)
    signal.addEventListener('abort', finish, { once: true })
  })
}
