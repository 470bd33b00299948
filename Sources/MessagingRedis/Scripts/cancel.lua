-- KEYS meta due held ids:0 ids:1   ARGV id…   → 1 or 0 per id. The id may be published again afterwards.
if redis.call('HEXISTS', KEYS[1], 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local result = {}
for i = 1, #ARGV do
  local at = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '')
  result[i] = at and at < reserved_from and 1 or 0
  if result[i] == 1 then
    redis.call('ZREM', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('HDEL', KEYS[4], ARGV[i])
    redis.call('HDEL', KEYS[5], ARGV[i])
  end
end
return result
