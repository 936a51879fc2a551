import { createScript } from '../redis.ts'

/**
 * Finds the last entry older than a moment by halving; entries are in the order of their `time` but for clock steps.
 * KEYS meta, log. ARGV the moment, RFC 3339 in UTC with milliseconds. Answers its sequence number.
 */
export const seekScript = /* @__PURE__ */ createScript(`
local meta = redis.call('HMGET', KEYS[1], 'seq', 'first')
local low = tonumber(meta[2] or '1') - 1
local high = tonumber(meta[1] or '0')
while low < high do
  local middle = math.ceil((low + high) / 2)
  local id = string.format('%.0f-0', middle)
  local entry = redis.call('XRANGE', KEYS[2], id, id)[1]
  local time = entry and string.match(entry[2][2], '"time":"([^"]+)"')
  if time and time >= ARGV[1] then high = middle - 1 else low = middle end
end
return string.format('%.0f', low)
`)

/** The head of the log and a page of the known set, of one moment. KEYS meta, objects, index. ARGV after, up to, limit. */
export const pageScript = /* @__PURE__ */ createScript(`
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local keys = redis.call('ZRANGEBYLEX', KEYS[3], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local answer = {meta[1] or '', meta[2] or '0'}
if #keys > 0 then
  local records = redis.call('HMGET', KEYS[2], unpack(keys))
  for n, key in ipairs(keys) do
    answer[#answer + 1] = key
    answer[#answer + 1] = records[n]
  end
end
return answer
`)

/** The namespaces that a resource has objects in, by leaps over all of one. KEYS index. ARGV limit. */
export const namespacesScript = /* @__PURE__ */ createScript(`
local found, from = {}, '-'
while #found < tonumber(ARGV[1]) do
  local key = redis.call('ZRANGEBYLEX', KEYS[1], from, '+', 'LIMIT', 0, 1)[1]
  if not key then break end
  local namespace = string.match(key, '^[^/]*')
  found[#found + 1] = namespace
  from = '[' .. namespace .. '0'
end
return found
`)
