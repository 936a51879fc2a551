import type { Keys } from '../../shared/keys.ts'
import { type RedisClient, toRecord } from '../../shared/redis.ts'
import { jobId } from '../../shared/webhook/job.ts'
import { createWebhookKeys } from '../../shared/webhook/keys.ts'
import { joinLines } from '../ledger/lines.ts'
import type { PlannedJob } from './match.ts'
import { acceptScript, leaseScript, yieldScript } from './scripts.ts'

/** The dispatcher's lease, and what its predecessors left. */
export interface Lead {
  held: false
  fence: string
  /** Cursor of the last entry that was dispatched; undefined before the first. */
  position: string | undefined
  /** Per webhook: `live`, or the cursor that it has caught up to. */
  followers: ReadonlyMap<string, string>
  /** All that the dispatcher's hash holds. */
  fields: ReadonlyMap<string, string>
}

export type LeadAnswer = Lead | { held: true; owner: string; msLeft: number }

/** One atomic step of a position. */
export interface Step {
  fence: string
  /** The position that moves: the dispatcher's, or that of a webhook that catches up. */
  of: 'main' | { webhook: string } | { field: string }
  /** As it was read; undefined before the first. */
  from: string | undefined
  /** A cursor, or `live` for a webhook that has caught up. */
  to: string
  jobs: readonly PlannedJob[]
  /** Webhooks that follow the main position from here on. */
  admitted: readonly string[]
  /** History that was lost, for the record. */
  lost?: string
  /** Fields of the dispatcher's hash that change with it. */
  notes?: readonly { field: string; value: string }[]
  /** Of a webhook: objects whose state was told, with the log entry that it included. */
  told?: readonly (readonly [object: string, seq: number])[]
  /** Of a webhook: what was told need not be remembered any more. */
  isTold?: boolean
  /** Of a webhook: its record, which must still be this one. */
  record?: string
}

/** `ok` and `duplicate` mean that it is done; else nothing was written, because another dispatcher leads, or Redis is not where it was. */
export type StepAnswer = 'ok' | 'duplicate' | 'fenced' | 'conflict'

/** What the dispatcher keeps in Redis. */
export interface Progress {
  claim(owner: string, leaseMs: number): Promise<LeadAnswer>
  release(fence: string): Promise<void>
  accept(step: Step): Promise<StepAnswer>
  /** Jobs that were accepted and perhaps never reached the queue, by id. */
  outbox(): Promise<Record<string, string>>
  /** Takes jobs out of the outbox. */
  sent(ids: readonly string[]): Promise<void>
}

/** Creates the dispatcher's memory. */
export function createProgress(redis: RedisClient, clusterKeys: Keys): Progress {
  const keys = createWebhookKeys(clusterKeys)
  return {
    async claim(owner, leaseMs) {
      const [kind, ...rest] = (await leaseScript.run(redis, [keys.dispatch], [owner, leaseMs])) as string[]
      if (kind === 'held') return { held: true, owner: rest[0] ?? '', msLeft: Number(rest[1]) }
      const fields = toRecord(rest)
      const followers = new Map<string, string>()
      for (const [name, value] of Object.entries(fields)) {
        if (name.startsWith('at:')) followers.set(name.slice(3), value)
      }
      return {
        held: false,
        fence: fields.fence ?? '',
        position: fields.position,
        followers,
        fields: new Map(Object.entries(fields)),
      }
    },
    async release(fence) {
      await yieldScript.run(redis, [keys.dispatch], [fence])
    },
    async accept(step) {
      const touched = [keys.dispatch, keys.outbox, keys.webhooks]
      const places = new Map<string, number>()
      const { of } = step
      const field = of === 'main' ? 'position' : 'field' in of ? of.field : `at:${of.webhook}`
      const args: (string | number)[] = [step.fence, field, step.from ?? '', step.to]
      if (step.record !== undefined) args.push('W', step.record)
      for (const id of step.admitted) args.push('L', id)
      if (step.lost !== undefined) args.push('R', step.lost)
      for (const { field, value } of step.notes ?? []) args.push('F', field, value)
      const placeOf = (webhook: string) => {
        let place = places.get(webhook)
        if (place === undefined) {
          const { records, states, counts, lines, told } = keys.ledger(webhook)
          place = touched.push(records, states.pending, counts, lines, told) - 4
          places.set(webhook, place)
        }
        return place
      }
      if (typeof of === 'object' && 'webhook' in of) {
        const place = placeOf(of.webhook) + 4
        for (const [object, seq] of step.told ?? []) args.push('T', place, object, seq)
        if (step.isTold) args.push('U', place)
      }
      for (const { job, deliveries } of step.jobs) {
        const lines = deliveries.flatMap(({ seq, id, record, place = '' }) => [seq, id, record, place])
        args.push('J', placeOf(job.webhook), job.webhook, jobId(job), JSON.stringify(job), joinLines(lines))
      }
      return (await acceptScript.run(redis, touched, args)) as StepAnswer
    },
    async outbox() {
      return toRecord(await redis.call('HGETALL', keys.outbox))
    },
    async sent(ids) {
      if (ids.length > 0) await redis.call('HDEL', keys.outbox, ...ids)
    },
  }
}
