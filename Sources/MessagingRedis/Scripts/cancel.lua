-- KEYS meta due held   ARGV dedupe-prefix id…   → 1 or 0 per id. The id may be published again afterwards.
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local result = {}
for i = 2, #ARGV do
  local at = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '')
  result[i - 1] = at and at < reserved_from and 1 or 0
  if result[i - 1] == 1 then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('DEL', ARGV[1] .. ARGV[i])
  end
end
return result
