import type { RedisClient } from '../../../shared/redis.ts'

type Command = (string | number)[]

/**
 * Answers a request as Upstash's REST API documents it: a command to `/`, several to `/pipeline`.
 * @see https://upstash.com/docs/redis/features/restapi
 */
export async function answerCommands(request: Request, redis: RedisClient, token: string): Promise<Response> {
  if (request.headers.get('authorization') !== `Bearer ${token}`) {
    return Response.json({ error: 'WRONGPASS invalid or missing auth token' }, { status: 401 })
  }
  const run = async ([name = '', ...args]: Command) => {
    try {
      return { result: await redis.call(String(name), ...args) }
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
