import type { Filter } from '../filter/filter.ts'
import type { Keys } from '../keys.ts'
import { type RedisClient, toRecord } from '../redis.ts'
import type { AttemptError } from './delivery.ts'
import { createWebhookKeys } from './keys.ts'

/**
 * Something that the dispatcher does beside following the log: `replay` sends what the log holds between two places once
 * more, `recover` what has failed.
 */
export interface Task {
  /** Also the epoch in the ids of its deliveries, and so of the same characters. */
  id: string
  webhook: string
  kind: 'replay' | 'recover'
  /** RFC 3339. */
  createdAt: string
  /** RFC 3339: it is to be ended. */
  cancelledAt?: string
  /** Events after this one … */
  after: number
  /** … up to this one; absent: all of them. */
  upTo?: number
  /** Of a replay: instead of the webhook's own. */
  filter?: Filter
  /** Of a recovery: only what ended since, and until, ms since 1970, */
  since?: number
  until?: number
  /** and only what failed like this in its last attempt. */
  errors?: AttemptError[]
}

/** How far a task is. */
export interface TaskProgress {
  isDone: boolean
  /** It was ended before it was done. */
  isCancelled?: boolean
  /** Which of the lists that it goes through. */
  part: number
  /** The last place that was looked at. */
  at: number
  looked: number
  /** How many deliveries it added. */
  accepted: number
}

/** Keeps tasks for as long as people ask about them. */
export interface TaskStore {
  create(task: Task): Promise<void>
  /** Puts a task in place of the one with its id. */
  change(task: Task): Promise<void>
  /** All tasks with their progress, oldest first. */
  all(): Promise<{ task: Task; progress: TaskProgress; text: string | undefined }[]>
}

const keepMs = 7 * 24 * 3_600_000

/** The field of the dispatcher's hash that holds a task's progress. */
export function taskField(id: string): string {
  return `task:${id}`
}

/** Makes up a task's id, `r` and 12 characters of [0-9a-z]. */
export function createTaskId(): string {
  return `r${Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte % 36).toString(36)).join('')}`
}

export function formatProgress({ isDone, isCancelled, part, at, looked, accepted }: TaskProgress): string {
  return [isCancelled ? 'cancelled' : isDone ? 'done' : 'running', part, at, looked, accepted].join(' ')
}

export function parseProgress(text: string | undefined, task: Task): TaskProgress {
  if (text === undefined) return { isDone: false, part: 0, at: task.after, looked: 0, accepted: 0 }
  const [state, ...numbers] = text.split(' ')
  const [part = 0, at = 0, looked = 0, accepted = 0] = numbers.map(Number)
  const isCancelled = state === 'cancelled' ? { isCancelled: true } : {}
  return { isDone: state !== 'running', ...isCancelled, part, at, looked, accepted }
}

/** Creates the store of one cluster's tasks. */
export function createTaskStore(redis: RedisClient, clusterKeys: Keys): TaskStore {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async create(task) {
      const oldest = Date.parse(task.createdAt) - keepMs
      for (const { task: other, progress } of await this.all()) {
        if (!progress.isDone || Date.parse(other.createdAt) > oldest) continue
        await redis.call('HDEL', keys.tasks, other.id)
        await redis.call('HDEL', keys.dispatch, taskField(other.id))
      }
      await redis.call('HSET', keys.tasks, task.id, JSON.stringify(task))
      await redis.call('INCR', keys.version)
    },
    async change(task) {
      await redis.call('HSET', keys.tasks, task.id, JSON.stringify(task))
      await redis.call('INCR', keys.version)
    },
    async all() {
      const texts = Object.values(toRecord(await redis.call('HGETALL', keys.tasks)))
      if (texts.length === 0) return []
      const tasks = texts.map((text) => JSON.parse(text) as Task)
      const fields = tasks.map(({ id }) => taskField(id))
      const progress = (await redis.call('HMGET', keys.dispatch, ...fields)) as (string | null)[]
      return tasks
        .map((task, n) => {
          const text = progress[n] ?? undefined
          return { task, progress: parseProgress(text, task), text }
        })
        .sort((a, b) => (a.task.createdAt < b.task.createdAt ? -1 : 1))
    },
  }
}
