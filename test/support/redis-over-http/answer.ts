import type { RedisClient } from '../../../shared/redis.ts'

type Command = (string | number)[]

/**
 * Answers a request as Upstash's REST API documents it: a command to `/`, several to `/pipeline`; with
 * `Upstash-Encoding: base64`, texts in base64.
 * @see https://upstash.com/docs/redis/features/restapi
 */
export async function answerCommands(request: Request, redis: RedisClient, token: string): Promise<Response> {
  if (request.headers.get('authorization') !== `Bearer ${token}`) {
    return Response.json({ error: 'WRONGPASS invalid or missing auth token' }, { status: 401 })
  }
  const encode = request.headers.get('upstash-encoding') === 'base64' ? toBase64 : (value: unknown) => value
  const run = async ([name = '', ...args]: Command) => {
    try {
      return { result: encode(await redis.call(String(name), ...args)) }
    } catch (error) {
      return { error: error instanceof Error ? error.message : 'ERR failed' }
    }
  }
  const body = (await request.json()) as Command | Command[]
  if (new URL(request.url).pathname.endsWith('/pipeline')) {
    return Response.json(await Promise.all((body as Command[]).map(run)))
  }
  const answer = await run(body as Command)
  return Response.json(answer, { status: 'error' in answer ? 400 : 200 })
}

function toBase64(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toBase64)
  if (typeof value !== 'string') return value
  return btoa(String.fromCharCode(...new TextEncoder().encode(value)))
}
