import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import type { Transform } from 'node:stream'
import { type Asked, startScriptedServer } from './scripted-server.ts'

/** Passes the request on to the real server and answers with what that says, through a transform where one is given. */
export type Forward = (through?: Transform) => Promise<void>

/** Answers a request in a way of its own. */
export type Misbehaviour = (response: ServerResponse, forward: Forward, asked: Asked) => void | Promise<void>

/** An API server in front of a real one: it does as that does, except where a test says otherwise. */
export interface FaultyServer {
  readonly url: string
  /** All requests so far, oldest first. */
  readonly asked: Asked[]
  /** Misbehaves at the next so many requests that match; resolves when it has. */
  misbehave(match: (asked: Asked) => boolean, how: Misbehaviour, times?: number): Promise<void>
  /** From now on everything is asked of another server, or of the one that is chosen for each request. */
  retarget(choose: string | ((asked: Asked) => string)): void
  /** Breaks all connections. */
  cut(): void
  stop(): Promise<void>
}

export const isWatch = ({ query }: Asked) => query.has('watch')
/** A watch from a cursor, not a streaming list. */
export const isResume = (asked: Asked) => isWatch(asked) && !asked.query.has('sendInitialEvents')
/** A list page by page or at once; a probe asks for one item. */
export const isList = (asked: Asked) => !isWatch(asked) && asked.path.endsWith('s') && asked.query.get('limit') !== '1'

/** Starts a server in front of another. */
export async function startFaultyServer(target: string): Promise<FaultyServer> {
  let choose = (_: Asked) => target
  const plans: { match: (asked: Asked) => boolean; how: Misbehaviour; left: number; done: () => void }[] = []
  const responses = new Set<ServerResponse>()

  const server = await startScriptedServer(async (asked, response) => {
    responses.add(response)
    response.once('close', () => responses.delete(response))
    const forward: Forward = (through) => pass(choose(asked), asked, response, through)
    const plan = plans.find(({ match }) => match(asked))
    if (plan === undefined) return forward()
    plan.left--
    if (plan.left === 0) plans.splice(plans.indexOf(plan), 1)
    await plan.how(response, forward, asked)
    if (plan.left === 0) plan.done()
  })

  return {
    url: server.url,
    asked: server.asked,
    misbehave: (match, how, times = 1) =>
      new Promise((done) => {
        plans.push({ match, how, left: times, done })
      }),
    retarget(next) {
      choose = typeof next === 'string' ? () => next : next
    },
    cut() {
      for (const response of responses) response.destroy()
    },
    stop: server.stop,
  }
}

/** Resolves once the answer has begun. */
function pass(target: string, asked: Asked, response: ServerResponse, through?: Transform): Promise<void> {
  return new Promise((resolve) => {
    const { host: _, ...headers } = asked.headers
    const url = `${target}${asked.path}?${asked.query}`
    const request = http.get(url, { headers, agent: false }, (answer: IncomingMessage) => {
      const { 'content-length': __, ...kept } = answer.headers
      response.writeHead(answer.statusCode ?? 500, kept)
      response.flushHeaders()
      answer.on('error', () => response.destroy())
      through?.on('error', () => response.destroy())
      if (through === undefined) answer.pipe(response)
      else answer.pipe(through).pipe(response)
      resolve()
    })
    request.on('error', () => {
      response.destroy()
      resolve()
    })
    response.once('close', () => request.destroy())
  })
}
