-- KEYS meta due held   ARGV dedupe-prefix id…   → 1 or 0 per id. The id may be published again afterwards.
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local result = {}
for i = 2, #ARGV do
  result[i - 1] = redis.call('ZREM', KEYS[2], ARGV[i])
  if result[i - 1] == 1 then
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('DEL', ARGV[1] .. ARGV[i])
  end
end
return result
