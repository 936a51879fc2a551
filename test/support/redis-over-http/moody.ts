import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Redis } from 'ioredis'
import { answerCommands } from './answer.ts'

type Answer = (response: ServerResponse, request: IncomingMessage) => void

const json = { 'content-type': 'application/json' }
const html = { 'content-type': 'text/html' }
const page = '<!doctype html><title>Just a moment…</title>'

/** What may stand where Redis is expected over HTTP, or between. */
export const moods = {
  'wants another token': (response) => response.writeHead(401, json).end('{"error":"WRONGPASS invalid token"}'),
  'has had enough': (response) => response.writeHead(429, json).end('{"error":"ERR max requests limit exceeded"}'),
  'is a gateway that has had enough': (response) => response.writeHead(429, html).end(page),
  'is a gateway that refuses': (response) => response.writeHead(403, json).end('{"message":"Forbidden"}'),
  'is broken': (response) => response.writeHead(500, json).end('{"error":"internal"}'),
  'is a gateway before nothing': (response) => response.writeHead(502, html).end(page),
  'is a web page': (response) => response.writeHead(200, html).end(page),
  'answers half of its JSON': (response) => response.writeHead(200, json).end('{"result":"a'),
  'answers other JSON': (response) => response.writeHead(200, json).end('[1,null]'),
  'answers nothing to some': (response) => response.writeHead(200, json).end('[{"result":"a"}]'),
  'answers one for all': (response) => response.writeHead(200, json).end('{"result":"a","error":null}'),
  'leads elsewhere': (response, { url }) => response.writeHead(307, { location: `/elsewhere${url}` }).end(),
  'breaks off': (response) => response.destroy(),
  'breaks off in the middle': (response) => {
    response.writeHead(200, { ...json, 'content-length': 1_000 })
    response.write('{"result":"a', () => response.destroy())
  },
  'never answers': () => undefined,
  'never ends its answer': (response) => response.writeHead(200, json).write('{"result":"a'),
} satisfies Record<string, Answer>

/** One of them, or well. */
export type Mood = keyof typeof moods | 'well'

/** Redis over HTTP, as long as it is well. */
export interface MoodyRedis {
  readonly url: string
  readonly token: string
  mood: Mood
  /** The paths that were asked for. */
  readonly asked: string[]
  stop(): Promise<void>
}

export async function startMoodyRedis(redisUrl: string): Promise<MoodyRedis> {
  const token = 'AXXX-secret-of-nobody-else'
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: 0 })
  redis.on('error', () => undefined)
  const answerWell = getRequestListener((request) => answerCommands(request, redis, token))
  const server = createServer((request, response) => {
    moody.asked.push(request.url ?? '')
    if (moody.mood === 'well') void answerWell(request, response)
    else moods[moody.mood](response, request)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const moody: MoodyRedis = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    mood: 'well',
    asked: [],
    async stop() {
      server.close()
      server.closeAllConnections()
      redis.disconnect()
    },
  }
  return moody
}
