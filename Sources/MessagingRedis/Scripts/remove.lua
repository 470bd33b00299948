-- Deletes a queue. What is left for a while tells clients that know the queue not to make it again.
-- KEYS log meta dlq due held registry reserved reserved-ids restored ids:0 ids:1   ARGV mark_ms   → {1}, or {0} when there was none
local log, meta, registry = KEYS[1], KEYS[2], KEYS[6]
redis.call('SREM', registry, log)
if redis.call('HEXISTS', meta, 'format') == 0 then return {0} end
local prefix = string.gsub(meta, ':meta$', '') .. ':g:'
for _, name in ipairs(declared(meta)) do
  for _, what in ipairs({':retry', ':due', ':held', ':seen'}) do redis.call('UNLINK', prefix .. name .. what) end
end
for i, key in ipairs(KEYS) do if i ~= 6 then redis.call('UNLINK', key) end end
redis.call('HSET', meta, 'deleted', '1')
redis.call('PEXPIRE', meta, ARGV[1])
return {1}
