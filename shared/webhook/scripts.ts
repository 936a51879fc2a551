import { createScript } from '../redis.ts'

/**
 * Puts a webhook's record in place of the one that the caller read, or answers 0. A change that was sent twice is done once.
 * Where it changes what the webhook gets, the place from which that holds is kept with the dispatcher's.
 * KEYS webhooks, version, meta, dispatch. ARGV id, record as read (empty: there must be none), new record, 1 if so.
 */
export const putScript = /* @__PURE__ */ createScript(`
local current = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if current == ARGV[3] then return 1 end
if current ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('INCR', KEYS[2])
if ARGV[4] == '1' then
  redis.call('HSET', KEYS[4], 'changed:' .. ARGV[1], redis.call('HGET', KEYS[3], 'seq') or '0')
end
return 1
`)

/**
 * Removes a webhook with its ledger. What still waited ends as skipped, in counts that stay for a week.
 * KEYS webhooks, version, dispatch, health, counts, pending, records, other states… ARGV id, seconds to keep the counts.
 */
export const removeScript = /* @__PURE__ */ createScript(`
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('INCR', KEYS[2])
redis.call('HDEL', KEYS[3], 'at:' .. ARGV[1], 'changed:' .. ARGV[1], 'said:' .. ARGV[1], 'told:' .. ARGV[1], 'lost:' .. ARGV[1])
redis.call('HDEL', KEYS[4], 'since:' .. ARGV[1], 'until:' .. ARGV[1], 'pauses:' .. ARGV[1])
local waiting = redis.call('ZCARD', KEYS[6])
if waiting > 0 then redis.call('HINCRBY', KEYS[5], 'skipped', waiting) end
redis.call('EXPIRE', KEYS[5], ARGV[2])
redis.call('UNLINK', unpack(KEYS, 6))
return 1
`)

/**
 * Adds one delivery beside the dispatcher's own: to the ledger, and its job to the outbox, which the dispatcher empties as
 * soon as it sees the new version. KEYS webhooks, version, outbox, records, pending, counts, lines.
 * ARGV webhook, job id, job, seq, delivery id, record, place-in-line. Answers 0 where there is no such webhook.
 */
export const addScript = /* @__PURE__ */ createScript(`
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
if redis.call('HSETNX', KEYS[4], ARGV[5], ARGV[6]) == 0 then return 1 end
redis.call('ZADD', KEYS[5], ARGV[4], ARGV[5])
redis.call('HINCRBY', KEYS[6], 'accepted', 1)
if ARGV[7] ~= '' then redis.call('ZADD', KEYS[7], 0, ARGV[7]) end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
redis.call('INCR', KEYS[2])
return 1
`)

/** Counts of one moment. KEYS counts, pending. Answers how many are pending, and the fields of the hash. */
export const countScript = /* @__PURE__ */ createScript(`
local answer = {tostring(redis.call('ZCARD', KEYS[2]))}
for _, field in ipairs(redis.call('HGETALL', KEYS[1])) do answer[#answer + 1] = field end
return answer
`)

/**
 * Notes that an attempt failed. KEYS health. ARGV webhook, when it began and now in ms, for how long to pause the endpoint in ms (0: it need not
 * be; \`auto\`: longer with each pause in a row), the first and the longest such pause.
 * Answers since when it has failed, and until when it is paused.
 */
export const failScript = /* @__PURE__ */ createScript(`
local since, pauses, pausedUntil = 'since:' .. ARGV[1], 'pauses:' .. ARGV[1], 'until:' .. ARGV[1]
redis.call('HSETNX', KEYS[1], since, ARGV[2])
local now, before = tonumber(ARGV[3]), tonumber(redis.call('HGET', KEYS[1], pausedUntil) or '0')
local pause = tonumber(ARGV[4])
if not pause then
  pause = 0
  -- Requests that were under way together count as one.
  if before <= now then
    local count = redis.call('HINCRBY', KEYS[1], pauses, 1)
    pause = math.min(ARGV[5] * 2 ^ math.min(count - 1, 30), ARGV[6])
  end
end
if pause > 0 and now + pause > before then
  before = now + pause
  redis.call('HSET', KEYS[1], pausedUntil, string.format('%.0f', before))
end
return {redis.call('HGET', KEYS[1], since), string.format('%.0f', before)}
`)

/** Notes that an endpoint works, or starts anew. KEYS health. ARGV webhook. */
export const recoverScript = /* @__PURE__ */ createScript(`
return redis.call('HDEL', KEYS[1], 'since:' .. ARGV[1], 'until:' .. ARGV[1], 'pauses:' .. ARGV[1])
`)
