import { createScript } from '../redis.ts'

/**
 * Which server this is, for as long as it surely has all that it ever answered for: the replication id is made anew by a
 * start, by a promotion and by whatever else may bring older data back.
 * @see https://redis.io/docs/latest/operate/oss_and_stack/management/replication/#replication-id-explained
 */
const whichServer = `local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''`

/**
 * Takes or renews a feed's writer lease. Creates the log's epoch on first use, and begins a new one where the server is not
 * the one that was written to last: what may follow here is not what may have followed there. The epochs before it are
 * kept with the last entry that they share with the new one, newest first, as long as somebody may read on from there.
 * KEYS meta, feed, feeds. ARGV owner, lease in ms, candidate epoch, feed's id, resource, namespace (empty: all).
 * Answers `held owner ms-left`, or `mine fence epoch seq first` followed by the feed's fields.
 */
export const claimScript = /* @__PURE__ */ createScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
${whichServer}
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'first', 'server', 'past')
local epoch, seq, first = meta[1], meta[2] or '0', meta[3] or '1'
if not epoch or meta[4] ~= server then
  local past = {}
  local isMoved = epoch and meta[4]
  if isMoved then past[1] = epoch .. ' ' .. seq end
  for name, last in string.gmatch(meta[5] or '', '(%S+) (%S+)') do
    if #past < 50 and tonumber(last) >= first - 1 then past[#past + 1] = name .. ' ' .. last end
  end
  if isMoved or not epoch then epoch = ARGV[3] end
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'server', server, 'past', table.concat(past, ' '))
end

local held = redis.call('HMGET', KEYS[2], 'owner', 'until', 'fence')
local leased = tonumber(held[2] or '0')
if leased > now and held[1] ~= ARGV[1] then
  return {'held', held[1], tostring(leased - now)}
end
local fence = held[3]
if not (leased > now and held[1] == ARGV[1]) then
  fence = tostring(tonumber(fence or '0') + 1)
end
redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]), 'fence', fence,
  'resource', ARGV[5], 'namespace', ARGV[6])
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[4])
local answer = {'mine', fence, epoch, seq, first}
for _, field in ipairs(redis.call('HGETALL', KEYS[2])) do answer[#answer + 1] = field end
return answer
`)

/** Gives a feed's lease up, if it is still ours. KEYS feed. ARGV fence. */
export const releaseScript = /* @__PURE__ */ createScript(`
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[1] then return 0 end
return redis.call('HSET', KEYS[1], 'until', '0')
`)

/**
 * Appends one batch: entries, known set, Lease terms and the feed's cursor, or nothing at all. All checks come before the
 * first write, since a script that fails is not rolled back. Then the oldest entries go, until the log is within its bounds
 * or this call has done its share. An entry's `b` is the bytes of all before it: what is kept from any entry on is one
 * subtraction, and the first one to keep is found by halving.
 * KEYS meta, log, feed, objects, index, holds, term lists…
 * ARGV fence, epoch, batch number, resourceVersion, feed's note, newest entry seen, entries to keep, bytes to keep, oldest
 *   time to keep, then operations: E event | S key record | P key number-of-event bytes | D key | H hold |
 *   T number-of-two-lists term keep keep-ms oldest-end hold
 * Answers `ok|duplicate first-seq last-seq`, `fenced`, `epoch` or `conflict`.
 */
export const appendScript = /* @__PURE__ */ createScript(`
local feed = redis.call('HMGET', KEYS[3], 'fence', 'batch', 'from', 'to')
if feed[1] ~= ARGV[1] then return {'fenced'} end
${whichServer}
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'first', 'server', 'bytes')
if meta[1] ~= ARGV[2] or meta[4] ~= server then return {'epoch'} end
local batch = tonumber(feed[2] or '0')
if batch == tonumber(ARGV[3]) then return {'duplicate', feed[3], feed[4]} end
if batch + 1 ~= tonumber(ARGV[3]) then return {'conflict'} end

local seq = tonumber(meta[2] or '0')
if seq < tonumber(ARGV[6]) then return {'conflict'} end
local from = seq + 1
local bytes = tonumber(meta[5] or '0')
local function put(key, record)
  if redis.call('HSET', KEYS[4], key, string.format('%.0f ', seq) .. record) == 1 then
    redis.call('ZADD', KEYS[5], 0, key)
  end
end
local i = 10
while ARGV[i] do
  local op = ARGV[i]
  if op == 'E' then
    seq = seq + 1
    redis.call('XADD', KEYS[2], string.format('%.0f-0', seq), 'e', ARGV[i + 1], 'b', string.format('%.0f', bytes))
    bytes = bytes + #ARGV[i + 1]
    i = i + 2
  elseif op == 'S' then
    put(ARGV[i + 1], ARGV[i + 2])
    i = i + 3
  elseif op == 'P' then
    local json = ARGV[tonumber(ARGV[i + 2])]
    local _, at = string.find(json, '"data":', 1, true)
    put(ARGV[i + 1], string.sub(json, at + 1, at + ARGV[i + 3] - 1) .. '}')
    i = i + 4
  elseif op == 'D' then
    redis.call('HDEL', KEYS[4], ARGV[i + 1])
    redis.call('ZREM', KEYS[5], ARGV[i + 1])
    i = i + 2
  elseif op == 'H' then
    redis.call('ZADD', KEYS[6], 0, ARGV[i + 1])
    i = i + 2
  else
    for n = 0, 1 do
      local list = KEYS[ARGV[i + 1] + n]
      redis.call('LPUSH', list, string.format('%.0f ', seq) .. ARGV[i + 2])
      redis.call('LTRIM', list, 0, ARGV[i + 3] - 1)
      redis.call('PEXPIRE', list, ARGV[i + 4])
      local ended
      repeat
        ended = string.match(redis.call('LINDEX', list, -1) or '', '"to":"([^"]+)"')
        if ended and ended < ARGV[i + 5] then redis.call('RPOP', list) else ended = nil end
      until not ended
    end
    redis.call('ZREM', KEYS[6], ARGV[i + 6])
    i = i + 7
  end
end

local oldest = tonumber(meta[3] or '1')
local most = math.max(oldest, math.min(seq, oldest + 1000 + 2 * (seq - from + 1)))
local first = math.min(most, math.max(oldest, seq - tonumber(ARGV[7]) + 1))
local function isKept(n)
  local id = string.format('%.0f-0', n)
  local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
  if not entry or bytes - tonumber(entry[2][4] or '0') > tonumber(ARGV[8]) then return false end
  return (string.match(entry[2][2], '"time":"([^"]+)"') or '') >= ARGV[9]
end
if first < most and not isKept(first) then
  local step = 1
  while first + step < most and not isKept(first + step) do
    first = first + step
    step = step * 2
  end
  local high = math.min(most, first + step)
  while high - first > 1 do
    local middle = math.floor((first + high) / 2)
    if isKept(middle) then high = middle else first = middle end
  end
  first = high
end
if first > oldest then redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f-0', first)) end

local last = string.format('%.0f', seq)
redis.call('HSET', KEYS[1], 'seq', last, 'first', string.format('%.0f', first), 'bytes', string.format('%.0f', bytes))
redis.call('HSET', KEYS[3], 'batch', ARGV[3], 'rv', ARGV[4], 'note', ARGV[5], 'from', string.format('%.0f', from), 'to', last)
return {'ok', string.format('%.0f', from), last}
`)

/**
 * Starts an epoch that shares nothing with any before it. KEYS meta, feed. ARGV fence, the epoch that is to end, the new
 * one: of several feeds that ask for it, the first is enough.
 */
export const renewEpochScript = /* @__PURE__ */ createScript(`
if redis.call('HGET', KEYS[2], 'fence') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'past', '')
return 1
`)
