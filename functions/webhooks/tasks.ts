import { createRoute, type OpenAPIHono } from '@hono/zod-openapi'
import { invalid, RelayError } from '../../shared/errors.ts'
import { createTaskId, parseProgress, type Task } from '../../shared/webhook/task.ts'
import { findStart, requireKept } from '../start.ts'
import { refuseFuture, type WebhookContext } from './context.ts'
import { recoverQuery, replayInput, taskList, taskParams, task as taskSchema } from './delivery-schemas.ts'
import { refusals, refusalsOfBody } from './problems.ts'
import { webhookParams } from './schemas.ts'
import { viewTask } from './view.ts'

const tags = ['webhooks']
const json = <Schema>(schema: Schema) => ({ content: { 'application/json': { schema } } })
/** Of one webhook at a time. */
const mostRunning = 5

const begun = {
  202: { description: 'The task; read it again to see how far it is.', ...json(taskSchema) },
  ...refusalsOfBody(404, 409, 410, 422),
}

const replayRoute = createRoute({
  method: 'post',
  path: '/{id}/replay',
  operationId: 'replay',
  summary: 'Send a part of the log once more, or what of it failed',
  tags,
  request: { params: webhookParams, body: { ...json(replayInput), required: true } },
  responses: begun,
})

const recoverRoute = createRoute({
  method: 'post',
  path: '/{id}/recover',
  operationId: 'recover',
  summary: 'Send everything once more that ended without being delivered',
  tags,
  request: { params: webhookParams, query: recoverQuery },
  responses: begun,
})

const listRoute = createRoute({
  method: 'get',
  path: '/{id}/tasks',
  operationId: 'listTasks',
  summary: 'Replays and recoveries of the last days, oldest first',
  tags,
  request: { params: webhookParams },
  responses: { 200: { description: 'Tasks.', ...json(taskList) }, ...refusals(404) },
})

const getRoute = createRoute({
  method: 'get',
  path: '/{id}/tasks/{task}',
  operationId: 'getTask',
  summary: 'How far a replay or a recovery is',
  tags,
  request: { params: taskParams },
  responses: { 200: { description: 'The task.', ...json(taskSchema) }, ...refusals(404) },
})

const cancelRoute = createRoute({
  method: 'post',
  path: '/{id}/tasks/{task}/cancel',
  operationId: 'cancelTask',
  summary: 'End a replay or a recovery; what it has added is still sent',
  tags,
  request: { params: taskParams },
  responses: { 200: { description: 'The task.', ...json(taskSchema) }, ...refusals(404, 409) },
})

/** Begins replays, which the dispatcher carries out, and tells how far they are. */
export function mountTasks(app: OpenAPIHono, context: WebhookContext): void {
  const { reader, tasks, now } = context
  const tasksOf = async (id: string) => {
    await context.find(id)
    return (await tasks.all()).filter(({ task }) => task.webhook === id)
  }
  const begin = async (webhook: string, given: Omit<Task, 'id' | 'webhook' | 'createdAt'>) => {
    const { enabled } = await context.find(webhook)
    if (!enabled) throw new RelayError('conflict', `Webhook ${webhook} is turned off; enable it first.`)
    const running = (await tasksOf(webhook)).filter(({ progress }) => !progress.isDone)
    if (running.length >= mostRunning) {
      throw new RelayError('conflict', `${running.length} tasks of this webhook are under way; wait for them.`)
    }
    const time = now()
    // What ends while it is carried out is not to be sent again by it.
    const until = given.kind === 'recover' ? { until: time.getTime() } : {}
    const task: Task = { id: createTaskId(), webhook, createdAt: time.toISOString(), ...until, ...given }
    await tasks.create(task)
    return viewTask(task, parseProgress(undefined, task))
  }
  const placeOf = async (text: string) => requireKept(await findStart(reader, text)).seq

  app.openapi(replayRoute, async (c) => {
    const { id } = c.req.valid('param')
    const { from, to, filter, errors } = c.req.valid('json')
    if (from === 'state' || from === 'now') throw invalid('from', 'start, a cursor or a time')
    if (to === 'state') throw invalid('to', 'now, a cursor or a time')
    if (filter !== undefined && errors !== undefined) throw invalid('errors', 'not together with filter')
    refuseFuture('from', from, now())
    const after = await placeOf(from)
    const upTo = to === undefined ? (await reader.bounds()).last : await placeOf(to)
    if (upTo < after) throw invalid('to', 'must not be before from')
    if (errors !== undefined) {
      // From the start on, what is in no log is meant as well, such as current objects.
      const range = { ...(from === 'start' ? { after: -1 } : { after }), ...(to === undefined ? {} : { upTo }) }
      return c.json(await begin(id, { kind: 'recover', ...range, errors }), 202)
    }
    const own = filter === undefined ? {} : { filter: context.readFilter(filter) }
    return c.json(await begin(id, { kind: 'replay', after, upTo, ...own }), 202)
  })

  app.openapi(recoverRoute, async (c) => {
    const since = Date.parse(c.req.valid('query').since)
    if (since > now().getTime()) throw invalid('since', 'is in the future')
    return c.json(await begin(c.req.valid('param').id, { kind: 'recover', after: -1, since }), 202)
  })

  app.openapi(listRoute, async (c) => {
    const items = await tasksOf(c.req.valid('param').id)
    return c.json({ items: items.map(({ task, progress }) => viewTask(task, progress)) }, 200)
  })

  const findTask = async ({ id, task: wanted }: { id: string; task: string }) => {
    const found = (await tasksOf(id)).find(({ task }) => task.id === wanted)
    if (found === undefined) throw new RelayError('not_found', `There is no task ${wanted}.`)
    return found
  }

  app.openapi(getRoute, async (c) => {
    const { task, progress } = await findTask(c.req.valid('param'))
    return c.json(viewTask(task, progress), 200)
  })

  app.openapi(cancelRoute, async (c) => {
    const { task, progress } = await findTask(c.req.valid('param'))
    if (progress.isDone && !progress.isCancelled) {
      throw new RelayError('conflict', `Task ${task.id} has come to its end already.`)
    }
    const cancelled = { ...task, cancelledAt: task.cancelledAt ?? now().toISOString() }
    await tasks.change(cancelled)
    return c.json(viewTask(cancelled, progress), 200)
  })
}
