import type { RedisClient } from '../redis.ts'
import { ReplyError } from './reply.ts'

/** Where Redis takes commands over HTTP. */
export interface RestOptions {
  readonly url: string
  /** Sent as a bearer token. */
  readonly token: string
  /** After how long without an answer a request counts as failed, in ms. */
  readonly timeout?: number
  /** Where below the address the API is; `/` where absent. */
  readonly path?: string
}

interface Waiting {
  readonly words: readonly (string | number)[]
  resolve(result: unknown): void
  reject(error: Error): void
}

type Answer = { result: unknown } | { error: string }

/**
 * Creates a client of a server that takes Redis commands as JSON over HTTP, as Upstash does: one command as an array to `/`,
 * several to `/pipeline`. Commands of the same moment go as one pipeline, and so are executed in the order of the calls.
 * @see https://upstash.com/docs/redis/features/restapi
 */
export function createRestClient(options: RestOptions): RedisClient {
  let waiting: Waiting[] = []
  const flush = () => {
    const sent = waiting
    waiting = []
    send(options, sent).catch((error: unknown) => {
      const failure = error instanceof Error ? error : new Error('the request failed', { cause: error })
      for (const { reject } of sent) reject(failure)
    })
  }
  return {
    call(...words) {
      return new Promise((resolve, reject) => {
        if (waiting.length === 0) queueMicrotask(flush)
        waiting.push({ words, resolve, reject })
      })
    },
  }
}

async function send(options: RestOptions, commands: readonly Waiting[]): Promise<void> {
  const { url, token, timeout = 5_000, path = '' } = options
  const [first] = commands
  const isOne = commands.length === 1
  const response = await fetch(new URL(`${path}${isOne ? '/' : '/pipeline'}`, url), {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(isOne ? first?.words : commands.map(({ words }) => words)),
    signal: AbortSignal.timeout(timeout),
    // Runtimes at the edge know no 'error'; an answer that leads elsewhere is none.
    redirect: 'manual',
  })
  const answer = await readAnswer(response)
  // A refusal of the whole request, such as of its token, is one object.
  const answers = Array.isArray(answer) ? answer : commands.map(() => answer)
  for (const [index, { resolve, reject }] of commands.entries()) {
    const own = answers[index]
    if (own !== undefined && 'result' in own) resolve(own.result)
    else reject(new ReplyError(own?.error ?? 'no answer'))
  }
}

async function readAnswer(response: Response): Promise<Answer | Answer[]> {
  const text = await response.text()
  const isJson = /^\s*[[{]/.test(text)
  if (response.status >= 500 || !isJson) throw new Error(`Redis answers HTTP ${response.status}`)
  return JSON.parse(text) as Answer | Answer[]
}
