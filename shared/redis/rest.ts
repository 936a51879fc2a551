import type { RedisClient } from '../redis.ts'
import { ReplyError } from './reply.ts'

/** Where Redis takes commands over HTTP. */
export interface RestOptions {
  /** The API may be below a path. */
  readonly url: string
  /** Sent as a bearer token. */
  readonly token: string
  /** After how long without an answer a request counts as failed, in ms. */
  readonly timeout?: number
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
 * Texts must be UTF-8, as all that the relay keeps is: such a server replaces what is not.
 * @throws Error for an address or a token that cannot be sent; says neither.
 * @see https://upstash.com/docs/redis/features/restapi
 */
export function createRestClient({ url, token, timeout = 5_000 }: RestOptions): RedisClient {
  const post = createPost(url, token, timeout)
  let waiting: Waiting[] = []
  const flush = () => {
    const sent = waiting
    waiting = []
    send(post, sent).catch((error: unknown) => {
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

type Post = (path: string, body: unknown) => Promise<{ status: number; text: string }>

/** What is wrong with an address or a token is said here: the runtimes' own errors would quote them. */
function createPost(url: string, token: string, timeout: number): Post {
  const { origin, pathname, username, password } = new URL(url)
  if (username !== '' || password !== '') {
    throw new Error('the address of a Redis server over HTTP takes no password; its token is set apart')
  }
  const secret = token.trim()
  if (!/^[!-~]*$/.test(secret)) throw new Error('the token for Redis has characters that no token has')
  const base = `${origin}${pathname.replace(/\/$/, '')}`
  return async (path, body) => {
    try {
      const response = await fetch(`${base}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(timeout),
        // Runtimes at the edge know no 'error'; an answer that leads elsewhere is none.
        redirect: 'manual',
      })
      return { status: response.status, text: await response.text() }
    } catch (error) {
      const isLate = error instanceof Error && error.name === 'TimeoutError'
      throw new Error(isLate ? 'Redis did not answer in time' : 'Redis cannot be reached over HTTP', { cause: error })
    }
  }
}

async function send(post: Post, commands: readonly Waiting[]): Promise<void> {
  const words = commands.map((command) => command.words)
  const { status, text } = await (words.length === 1 ? post('/', words[0]) : post('/pipeline', words))
  const answers = readAnswers(status, text, words.length)
  if (answers === undefined) throw new Error(`no answer of Redis, but HTTP ${status}`)
  for (const [index, { resolve, reject }] of commands.entries()) {
    const answer = answers[index]
    if (answer !== undefined && 'result' in answer) resolve(answer.result)
    else reject(new ReplyError(answer?.error))
  }
}

/** One answer for each command; undefined where it was not Redis that answered, or not to all. */
function readAnswers(status: number, text: string, count: number): Answer[] | undefined {
  if (status >= 500) return undefined
  const body = parse(text)
  // A refusal of the whole request, such as of its token, is one object.
  if (isAnswer(body)) return count === 1 || 'error' in body ? new Array<Answer>(count).fill(body) : undefined
  return count > 1 && Array.isArray(body) && body.length === count && body.every(isAnswer) ? body : undefined
}

function isAnswer(value: unknown): value is Answer {
  if (typeof value !== 'object' || value === null) return false
  return 'error' in value ? typeof value.error === 'string' : 'result' in value
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
