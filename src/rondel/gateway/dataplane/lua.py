"""What the limits' Redis does in a step. An account is a hash of workers' `g:` (took), `s:` (spent) and `n:` (when)."""

TAKE = """
local capacity, missing, base, slices = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[11]), ARGV[1])
local members = redis.call('ZCARD', KEYS[2])
local last = tonumber(redis.call('HGET', KEYS[1], 'n:' .. ARGV[1]) or -1)
if last > tonumber(ARGV[10]) then return {'-1', '0', '0', members} end
redis.call('HSET', KEYS[1], 'g:' .. ARGV[1], ARGV[2], 's:' .. ARGV[1], ARGV[3], 'n:' .. ARGV[1], ARGV[10])
local taken, spent = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  local kind, who, amount = string.sub(all[at], 1, 1), string.sub(all[at], 3), tonumber(all[at + 1])
  if kind == 's' then
    spent = spent + amount
  elseif kind == 'g' and ARGV[8] == 'at once' and who ~= ARGV[1] and not redis.call('ZSCORE', KEYS[2], who) then
    redis.call('HDEL', KEYS[1], all[at], 's:' .. who, 'n:' .. who)
  elseif kind == 'g' then
    taken = taken + amount
  end
end
local left, got = capacity - math.max(taken, base), -1
if left >= missing then
  local small = math.min(math.floor(left / (2 * members)), math.floor(capacity / (slices * members)))
  got = math.min(left, math.max(missing, small))
  redis.call('HSET', KEYS[1], 'g:' .. ARGV[1], string.format('%.0f', tonumber(ARGV[2]) + got))
end
if tonumber(ARGV[9]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[9]) end
return {string.format('%.0f', got), string.format('%.0f', left), string.format('%.0f', math.max(spent, base)), members}
"""
"""Put what a worker took and spent into the account, and take `missing` or a lease out of what is left: what it got (or
-1), what was left, what all spent, the number of workers. A question that comes late changes nothing.
"""
LEAVE = """
local last = tonumber(redis.call('HGET', KEYS[1], 'n:' .. ARGV[1]) or -1)
if last > tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'g:' .. ARGV[1], ARGV[2], 's:' .. ARGV[1], ARGV[2], 'n:' .. ARGV[1], ARGV[3])
if tonumber(ARGV[4]) > 0 and redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return 1
"""
"""From a time on, who is no more holds nothing but what it spent, unless something later was heard of it."""
DRAW = """
local per_minute, kept, missing, slices = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now, minute = tonumber(time[1]) * 1000000 + tonumber(time[2]), 60000000
local members = math.max(1, redis.call('ZCARD', KEYS[2]))
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - kept * minute / per_minute, now)
local got, wait = 0, 0
local left = math.floor((minute - (full - now)) * per_minute / minute)
if missing > per_minute and full > now then
  wait = full - now
elseif missing <= per_minute and left < missing then
  wait = math.max(1, missing * minute / per_minute + full - now - minute)
else
  got = math.max(missing, math.min(math.floor(left / (2 * members)), math.floor(per_minute / (slices * members))))
end
full = full + got * minute / per_minute
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 120000)
return {string.format('%.0f', got), string.format('%.0f', wait), members}
"""
"""Give back `kept` of a rate and take at least `missing`: what it got, microseconds to wait, the number of workers."""
