import type { MiddlewareHandler } from 'hono'
import { RelayError } from '../shared/errors.ts'
import type { AppEnv } from './deps.ts'
import type { Limits } from './limits.ts'

/** Refuses a caller that asks faster than `limits.rate`, after a burst of five seconds' worth. */
export function createRateLimit({ rate }: Limits): MiddlewareHandler<AppEnv> {
  const buckets = new Map<string, { left: number; at: number }>()
  return async (c, next) => {
    const { tenant } = c.get('caller')
    const now = performance.now()
    const bucket = buckets.get(tenant) ?? { left: rate * 5, at: now }
    bucket.left = Math.min(rate * 5, bucket.left + ((now - bucket.at) / 1000) * rate)
    bucket.at = now
    buckets.delete(tenant)
    buckets.set(tenant, bucket)
    if (buckets.size > 10_000) buckets.delete(buckets.keys().next().value ?? '')
    if (bucket.left < 1) throw new RelayError('too_many', `At most ${rate} requests a second.`, { retryAfter: 1 })
    bucket.left--
    await next()
  }
}
