import { hashText } from '../../shared/api-key.ts'
import { RelayError } from '../../shared/errors.ts'
import { answerError } from '../problem.ts'
import { answerFromCache, isCacheable } from './cache.ts'
import type { EdgeEnvironment } from './environment.ts'
import { roomHeader } from './hub-server.ts'
import { type EdgeSettings, readSettings, refuseExposure } from './settings.ts'
import { createCrowd, describeSubscription, rankShards } from './shards.ts'

/**
 * Answers a request where it came in: refuses what no hub need hear of, gives current state from the cache, and hands
 * everything else to the hub that serves this subscription. Who the caller is and may see is for the hub to find out.
 */
export async function answerAtFront(
  request: Request,
  env: EdgeEnvironment,
  context: ExecutionContext,
): Promise<Response> {
  try {
    const settings = settingsOf(env)
    const url = new URL(request.url)
    refuseExposure(settings.auth, url.hostname)
    const address = request.headers.get('cf-connecting-ip') ?? ''
    const caller = await digestCredential(request)
    const limited = await env.RATE_LIMIT?.limit({ key: caller || address })
    if (limited?.success === false) throw new RelayError('too_many', 'Too many requests.', { retryAfter: 10 })
    const ranked = rankShards(describeSubscription(url, address, caller), env.HUB_SHARDS ?? 1)
    const ask = (asked: Request) => askHubs(asked, env, settings, ranked)
    if (!isCacheable(request, url)) return await ask(request)
    return await answerFromCache(request, { caller, ask, wait: (task) => context.waitUntil(task) })
  } catch (error) {
    if (error instanceof RelayError) return refuse(request, error)
    console.error(error)
    return refuse(request, new RelayError('unavailable', 'The relay cannot answer at the moment.', { retryAfter: 2 }))
  }
}

/** Pages of the origins that are named may read a refusal too, as they may read what a hub answers. */
function refuse({ headers }: Request, error: RelayError): Response {
  const response = answerError(error)
  response.headers.set('x-content-type-options', 'nosniff')
  const origin = headers.get('origin')
  if (origin === null || !known?.settings.origins.includes(origin)) return response
  response.headers.set('access-control-allow-origin', origin)
  response.headers.set('access-control-expose-headers', 'Retry-After')
  response.headers.set('vary', 'Origin')
  return response
}

let known: { env: EdgeEnvironment; settings: EdgeSettings } | undefined

function settingsOf(env: EdgeEnvironment): EdgeSettings {
  if (known?.env !== env) known = { env, settings: readSettings(env) }
  return known.settings
}

/** Whose answers these are; empty for a caller that shows nothing. */
async function digestCredential({ headers }: Request): Promise<string> {
  const shown = [headers.get('authorization'), headers.get('cookie')].filter((item) => item !== null)
  return shown.length === 0 ? '' : hashText(shown.join('\n'))
}

const crowd = createCrowd()

/** Asks the best hub, and the next one where that has no room. */
async function askHubs(
  request: Request,
  env: EdgeEnvironment,
  { cluster }: EdgeSettings,
  ranked: readonly number[],
): Promise<Response> {
  const options = env.HUB_LOCATION === undefined ? {} : { locationHint: env.HUB_LOCATION }
  let response: Response | undefined
  for (const shard of crowd.choose(ranked)) {
    response = await env.HUB.getByName(`${cluster}/${shard}`, options).fetch(request)
    const room = response.headers.get(roomHeader)
    if (room === null) return response
    crowd.note(shard)
    if (room !== 'full') break
  }
  if (response === undefined) throw new RelayError('unavailable', 'HUB_SHARDS: there must be at least one.')
  const answer = new Response(response.body, response)
  answer.headers.delete(roomHeader)
  return answer
}
