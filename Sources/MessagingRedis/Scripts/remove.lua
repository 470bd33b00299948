-- Deletes a queue. What is left for a while tells clients that know the queue not to make it again, and tells the ids that
-- the old queue remembered from those of a new one.
-- KEYS log meta dlq due held   ARGV least_ms   → {1}, or {0} when there was none
local log, meta, dlq, due, held = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local s = redis.call('HMGET', meta, 'format', 'dedupe_ms', 'generation')
if not s[1] then return {0} end
local prefix = string.gsub(meta, ':meta$', '') .. ':g:'
for _, name in ipairs(declared(meta)) do
  for _, what in ipairs({':retry', ':due', ':held', ':seen'}) do redis.call('UNLINK', prefix .. name .. what) end
end
redis.call('UNLINK', log, meta, dlq, due, held)
redis.call('HSET', meta, 'deleted', string.format('%d', (tonumber(s[3]) or 0) + 1))
redis.call('PEXPIRE', meta, math.max(tonumber(s[2]), tonumber(ARGV[1])))
return {1}
