import { setTimeout } from 'node:timers/promises'
import type { KubeWriter } from '../../kube/client.ts'
import type { KubeStatus } from '../../kube/object.ts'

/** How long one answer may take, in ms. */
const patience = 15_000

/** An answer of the API server, read to its end. */
export interface Answer<Body> {
  status: number
  body: Body & KubeStatus
}

/** The API server cannot be asked at all: nobody answers, or what answers is no API server. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
}

/**
 * Sends one request and reads the answer.
 * @throws UnreachableError
 */
export async function sendRequest<Body = object>(
  client: KubeWriter,
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  query: Readonly<Record<string, string | undefined>> = {},
  body?: unknown,
): Promise<Answer<Body>> {
  const deadline = new AbortController()
  const timer = new AbortController()
  setTimeout(patience, undefined, { signal: timer.signal }).then(
    () => deadline.abort(new Error(`no answer within ${patience / 1000} s`)),
    () => undefined,
  )
  try {
    const answer = await client.send(method, path, query, body, { signal: deadline.signal })
    const text = Buffer.concat(await answer.body.toArray()).toString('utf8')
    return { status: answer.status, body: JSON.parse(text) }
  } catch (error) {
    const reason = error instanceof SyntaxError ? 'it does not speak JSON' : describeFailure(error)
    throw new UnreachableError(`${client.server} cannot be asked: ${reason}`, { cause: error })
  } finally {
    timer.abort()
  }
}

/** What went wrong, in a few words. */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' && 'code' in error ? String(error.code) : error.message
}
