import { createScript } from '../../shared/redis.ts'
import { splitLines } from '../ledger/lines.ts'

/**
 * Takes or renews the dispatcher's lease. KEYS dispatch. ARGV owner, lease in ms.
 * Answers \`held owner ms-left\`, or \`mine\` followed by the fields of the hash.
 */
export const leaseScript = /* @__PURE__ */ createScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'owner', 'until', 'fence')
local leased = tonumber(held[2] or '0') > now
if leased and held[1] ~= ARGV[1] then
  return {'held', held[1], tostring(tonumber(held[2]) - now)}
end
local fence = held[3]
if not leased then fence = tostring(tonumber(fence or '0') + 1) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]), 'fence', fence)
local answer = {'mine'}
for _, field in ipairs(redis.call('HGETALL', KEYS[1])) do answer[#answer + 1] = field end
return answer
`)

/** Gives the dispatcher's lease up, if it is still ours. KEYS dispatch. ARGV fence. */
export const yieldScript = /* @__PURE__ */ createScript(`
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'until', '0')
`)

/**
 * Accepts deliveries and moves the position past the events that they are for: both or neither. Since the position moves
 * with them, no event is accepted twice, and a call sent again changes nothing.
 * A webhook that was removed meanwhile is left alone.
 * KEYS dispatch, outbox, webhooks, then records, pending, counts, lines, told of each webhook.
 * ARGV fence, field of the position, position as read (empty: none), new position, then operations:
 *   W record (first of all: the webhook's must be this one) |
 *   L webhook (it follows the main position from here on) | R note (history was lost) | F field value |
 *   T told-key object seq (its state was told) | U told-key (what was told is no longer needed) |
 *   J first-key webhook job-id job deliveries, in lines: seq, delivery-id, record, place-in-line (empty: none) of each
 * Answers \`ok\`, \`duplicate\`, \`fenced\` or \`conflict\`.
 */
export const acceptScript = /* @__PURE__ */ createScript(`${splitLines}
local state = redis.call('HMGET', KEYS[1], 'fence', ARGV[2])
if state[1] ~= ARGV[1] then return 'fenced' end
local follower = string.match(ARGV[2], '^at:(.+)$')
if follower and redis.call('HEXISTS', KEYS[3], follower) == 0 then return 'ok' end
local position = state[2] or ''
if position ~= ARGV[3] then
  return position == ARGV[4] and 'duplicate' or 'conflict'
end
local i = 5
while ARGV[i] do
  local op = ARGV[i]
  if op == 'W' then
    if redis.call('HGET', KEYS[3], follower) ~= ARGV[i + 1] then return 'conflict' end
    i = i + 2
  elseif op == 'L' then
    if redis.call('HEXISTS', KEYS[3], ARGV[i + 1]) == 1 then
      redis.call('HSET', KEYS[1], 'at:' .. ARGV[i + 1], 'live')
    end
    i = i + 2
  elseif op == 'R' then
    redis.call('HINCRBY', KEYS[1], 'resets', 1)
    redis.call('HSET', KEYS[1], 'reset', ARGV[i + 1])
    i = i + 2
  elseif op == 'F' then
    redis.call('HSET', KEYS[1], ARGV[i + 1], ARGV[i + 2])
    i = i + 3
  elseif op == 'T' then
    redis.call('HSET', KEYS[tonumber(ARGV[i + 1])], ARGV[i + 2], ARGV[i + 3])
    i = i + 4
  elseif op == 'U' then
    redis.call('UNLINK', KEYS[tonumber(ARGV[i + 1])])
    i = i + 2
  else
    if redis.call('HEXISTS', KEYS[3], ARGV[i + 2]) == 1 then
      local first, fields, ids = tonumber(ARGV[i + 1]), splitLines(ARGV[i + 5]), {}
      for n = 2, #fields, 4 do ids[#ids + 1] = fields[n] end
      local stored = redis.call('HMGET', KEYS[first], unpack(ids))
      local records, scored, places, accepted = {}, {}, {}, 0
      for n, id in ipairs(ids) do
        if not stored[n] then
          records[#records + 1] = id
          records[#records + 1] = fields[n * 4 - 1]
          scored[#scored + 1] = fields[n * 4 - 3]
          scored[#scored + 1] = id
          if fields[n * 4] ~= '' then
            places[#places + 1] = 0
            places[#places + 1] = fields[n * 4]
          end
        end
      end
      if #records > 0 then
        accepted = redis.call('HSET', KEYS[first], unpack(records))
        redis.call('ZADD', KEYS[first + 1], unpack(scored))
        if #places > 0 then redis.call('ZADD', KEYS[first + 3], unpack(places)) end
      end
      redis.call('HINCRBY', KEYS[first + 2], 'accepted', accepted)
      redis.call('HSET', KEYS[2], ARGV[i + 3], ARGV[i + 4])
    end
    i = i + 6
  end
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
return 'ok'
`)
