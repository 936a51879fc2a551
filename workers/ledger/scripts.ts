import { createScript } from '../../shared/redis.ts'
import { splitLines } from './lines.ts'

/**
 * Reads all that some jobs need in one go, each event once. KEYS webhooks, health, log, then the records of each job's webhook.
 * ARGV how many jobs, per job: webhook, its deliveries' ids in lines; then the numbers of the log entries that are wanted.
 * Answers per job the webhook's record, since when it fails, until when it is paused, and the records in lines (empty: none);
 * then the events' JSON.
 */
export const loadScript = /* @__PURE__ */ createScript(`${splitLines}
local answer, count = {}, tonumber(ARGV[1])
for n = 1, count do
  local webhook, ids = ARGV[n * 2], splitLines(ARGV[n * 2 + 1])
  local health = redis.call('HMGET', KEYS[2], 'since:' .. webhook, 'until:' .. webhook)
  local records = redis.call('HMGET', KEYS[3 + n], unpack(ids))
  for m = 1, #ids do records[m] = records[m] or '' end
  answer[n] = {redis.call('HGET', KEYS[1], webhook), health[1], health[2], table.concat(records, '\\n')}
end
local events = {}
for at = count * 2 + 2, #ARGV do
  local place = ARGV[at] .. '-0'
  local entry = redis.call('XRANGE', KEYS[3], place, place)[1]
  events[#events + 1] = entry and entry[2][2] or false
end
answer[#answer + 1] = events
return answer
`)

/**
 * Records what became of deliveries, each only if it is still as its reader found it: an end is never followed by another.
 * Of each end state, the newest are kept. What is to be counted is, unless nothing was recorded.
 * KEYS metrics, then records, counts, pending, end state, lines, in fives.
 * ARGV how many to keep, how many counts, field and increment of each, then in groups of one webhook and state:
 *   first-key new-state deliveries, in lines: id, seq, header-as-read, new-record, place-in-line (empty: none) of each
 * Answers 1 or 0 for each, in one text; 1 also for what was recorded before by this very call.
 */
export const settleScript = /* @__PURE__ */ createScript(`${splitLines}
local keep, answer, changed = tonumber(ARGV[1]), {}, false
for i = 3 + ARGV[2] * 2, #ARGV, 3 do
  local first, state, fields = tonumber(ARGV[i]), ARGV[i + 1], splitLines(ARGV[i + 2])
  local ids = {}
  for at = 1, #fields, 5 do ids[#ids + 1] = fields[at] end
  local stored = redis.call('HMGET', KEYS[first], unpack(ids))
  local records, ended, scored, places, now = {}, {}, {}, {}, {}
  for n, id in ipairs(ids) do
    local seq, header, record, place = unpack(fields, n * 5 - 3, n * 5)
    local current = now[id] or stored[n]
    local done = '0'
    if current == record then
      done = '1'
    elseif current and string.sub(current, 1, #header) == header then
      done = '1'
      now[id] = record
      records[#records + 1] = id
      records[#records + 1] = record
      ended[#ended + 1] = id
      scored[#scored + 1] = seq
      scored[#scored + 1] = id
      if place ~= '' then places[#places + 1] = place end
    end
    answer[#answer + 1] = done
  end
  if #records > 0 then
    changed = true
    redis.call('HSET', KEYS[first], unpack(records))
    if state ~= 'pending' then
      redis.call('ZREM', KEYS[first + 2], unpack(ended))
      if #places > 0 then redis.call('ZREM', KEYS[first + 4], unpack(places)) end
      redis.call('ZADD', KEYS[first + 3], unpack(scored))
      redis.call('HINCRBY', KEYS[first + 1], state, #ended)
      local excess = math.min(redis.call('ZCARD', KEYS[first + 3]) - keep, 1000)
      if excess > 0 then
        local old = redis.call('ZRANGE', KEYS[first + 3], 0, excess - 1)
        redis.call('HDEL', KEYS[first], unpack(old))
        redis.call('ZREM', KEYS[first + 3], unpack(old))
      end
    end
  end
end
if changed then
  for n = 3, 1 + ARGV[2] * 2, 2 do redis.call('HINCRBY', KEYS[1], ARGV[n], ARGV[n + 1]) end
end
return table.concat(answer)
`)

/**
 * Takes the line of one object for a job, and reads its front. A job that finds it taken leaves a note, so that the other one
 * looks again before it leaves. KEYS lines, locks, records, log. ARGV object, job id, lease in ms, how many.
 * Answers \`held\`, \`empty\`, or \`mine\`, the last place in line, and per delivery: its place, its record, its event's JSON.
 */
export const takeLineScript = /* @__PURE__ */ createScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[2], ARGV[1])
if held then
  local holder, leased = string.match(held, '^(%S+) (%S+)')
  if holder ~= ARGV[2] and tonumber(leased) > now then
    redis.call('HSET', KEYS[2], ARGV[1], holder .. ' ' .. leased .. ' again')
    return {'held'}
  end
end
local from, to = '[' .. ARGV[1] .. ' ', '(' .. ARGV[1] .. '!'
local places = redis.call('ZRANGEBYLEX', KEYS[1], from, to, 'LIMIT', 0, ARGV[4])
if #places == 0 then
  redis.call('HDEL', KEYS[2], ARGV[1])
  return {'empty'}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', now + ARGV[3]))
local answer = {'mine', redis.call('ZREVRANGEBYLEX', KEYS[1], to, from, 'LIMIT', 0, 1)[1]}
for _, place in ipairs(places) do
  local seq, id = string.match(place, ' (%S+) (%S+)$')
  local record = redis.call('HGET', KEYS[3], id) or ''
  if string.sub(record, 1, 8) == 'pending ' then
    local at = string.format('%.0f-0', tonumber(seq, 36))
    local entry = redis.call('XRANGE', KEYS[4], at, at)[1]
    answer[#answer + 1] = place
    answer[#answer + 1] = record
    answer[#answer + 1] = entry and entry[2][2] or ''
  else
    redis.call('ZREM', KEYS[1], place)
  end
end
return answer
`)

/** Leaves a line. KEYS locks. ARGV object, job id. Answers 0 when somebody asked to look again. */
export const leaveLineScript = /* @__PURE__ */ createScript(`
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or string.match(held, '^(%S+)') ~= ARGV[2] then return 1 end
redis.call('HDEL', KEYS[1], ARGV[1])
return string.sub(held, -6) == ' again' and 0 or 1
`)
