import { createRoute, type OpenAPIHono, type z } from '@hono/zod-openapi'
import { isCovered } from '../../shared/access.ts'
import { readCursor } from '../../shared/cursor.ts'
import { invalid, RelayError } from '../../shared/errors.ts'
import { completeEvent, type RelayEvent, resourceOf } from '../../shared/event.ts'
import { compileFilter, explainFilter, type Filter, parseFilter } from '../../shared/filter/filter.ts'
import type { Caller } from '../auth/authenticator.ts'
import { requireAction } from '../auth/guard.ts'
import type { AppEnv } from '../deps.ts'
import { readHistory } from '../history.ts'
import { requireWatched } from '../resources.ts'
import { describeProblems } from '../schemas/common.ts'
import { checkInput, checkResult } from '../schemas/filters.ts'
import type { Services } from '../services.ts'
import type { BatchEvent } from '../streams/batch.ts'

type Result = z.infer<typeof checkResult>

/** How many of the events that match are shown. */
const shown = 10

const route = createRoute({
  method: 'post',
  path: '/v1/filters/check',
  operationId: 'checkFilter',
  summary: 'Try a filter on what really happened',
  description: 'Says whether a filter is valid and why not, and what it would have let through in the last minutes.',
  tags: ['events'],
  request: { body: { content: { 'application/json': { schema: checkInput } }, required: true } },
  responses: {
    200: { description: 'What the filter does.', content: { 'application/json': { schema: checkResult } } },
    ...describeProblems(400, 401, 403, 404, 413, 415, 429, 503),
  },
})

/** `POST /v1/filters/check`: before a filter goes into a webhook, and when it does not do what was meant. */
export function mountFilters(app: OpenAPIHono<AppEnv>, services: Services): void {
  app.openapi(route, async (c) => {
    const caller = c.get('caller')
    requireAction(caller, 'read')
    const { filter: input, minutes, event } = c.req.valid('json')
    const { filter, problem } = readFilter(input, services)
    if (filter === undefined) return c.json({ valid: false, problem }, 200)
    const start = await services.reader.seek(services.now().getTime() - minutes * 60_000)
    const result: Result = { valid: true, history: await tryFilter(services, caller, filter, start, minutes) }
    if (event !== undefined) result.event = await explain(services, caller, filter, event, start)
    return c.json(result, 200)
  })
}

function readFilter(input: Record<string, unknown>, { resources }: Services) {
  try {
    const filter = parseFilter(input, 'filter.')
    requireWatched(filter, resources, 'filter.')
    return { filter }
  } catch (error) {
    if (!(error instanceof RelayError)) throw error
    return { problem: { field: error.details.field ?? 'filter', detail: error.message } }
  }
}

type Place = Parameters<typeof readHistory>[1]

async function tryFilter(services: Services, caller: Caller, filter: Filter, start: Place, minutes: number) {
  const narrowed = await services.narrow(caller, filter)
  const match = compileFilter(narrowed)
  // How much there is of what one may not see is not told either.
  const isOwn = narrowed === filter ? () => 'in' : compileFilter(scopeOf(narrowed))
  const latest: RelayEvent[] = []
  let looked = 0
  let matched = 0
  const isComplete = await readHistory(services.hub.pages, start, ({ event, json, cursor }) => {
    if (isOwn(event) === undefined) return false
    looked++
    const scope = match(event)
    if (scope === undefined) return false
    matched++
    latest.push(JSON.parse(completeEvent(json, cursor, scope === 'in' ? undefined : scope)) as RelayEvent)
    if (latest.length > shown) latest.shift()
    return false
  })
  const since = new Date(services.now().getTime() - minutes * 60_000).toISOString()
  // Events of the log are what the schema of events describes.
  return { since, looked, matched, isComplete, latest } as NonNullable<Result['history']>
}

function scopeOf({ resource, namespace }: Filter): Filter {
  return { ...(resource === undefined ? {} : { resource }), ...(namespace === undefined ? {} : { namespace }) }
}

async function explain(services: Services, caller: Caller, filter: Filter, wanted: string, start: Place) {
  const item = await findEvent(services, wanted, start)
  if (item === undefined || !(await isSeen(services, caller, item.event))) {
    const advice = 'Look further back with "minutes", or give its cursor.'
    throw new RelayError('not_found', `There is no event ${wanted} in the time that was looked at. ${advice}`, {
      field: 'event',
    })
  }
  const scope = compileFilter(filter)(item.event)
  return {
    id: item.event.id,
    cursor: item.cursor,
    passes: scope !== undefined,
    ...(scope === undefined || scope === 'in' ? {} : { scope }),
    clauses: explainFilter(filter, item.event),
  }
}

async function isSeen({ authenticator }: Services, caller: Caller, event: RelayEvent): Promise<boolean> {
  const [resource, namespace] = [resourceOf(event), event.data.namespace ?? '']
  const grants = await authenticator.grant(caller, { resource: [resource], namespace: [namespace] })
  return isCovered(grants, resource, namespace)
}

/** By its cursor at once, by its id among those of the time. */
async function findEvent({ hub, reader }: Services, wanted: string, start: Place): Promise<BatchEvent | undefined> {
  let found: BatchEvent | undefined
  if (!wanted.includes('/')) {
    if (!/^\w+-\w+-\w+$/.test(wanted)) {
      throw invalid('event', 'neither the id of an event, as in <cluster>/<uid>/<resourceVersion>, nor its cursor')
    }
    const { epoch, seq } = readCursor(wanted, await reader.bounds(), 'event')
    // The place before the first event is a cursor, too.
    if (seq === 0) return undefined
    await readHistory(hub.pages, { epoch, seq: seq - 1 }, (item) => {
      found = item.seq === seq ? item : undefined
      return true
    })
    return found
  }
  await readHistory(hub.pages, start, (item) => {
    if (item.event.id === wanted) found = item
    return found !== undefined
  })
  return found
}
