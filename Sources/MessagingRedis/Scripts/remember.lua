-- Makes publishing recognise ids of elsewhere.   KEYS meta   ARGV dedupe-prefix {id, until ms}…   → how many are new
local s = redis.call('HMGET', KEYS[1], 'format', 'dedupe_ms', 'generation')
if not s[1] then return redis.error_reply('NOTFOUND the queue is not declared') end
local generation, t, count = s[3] and '@' .. s[3] or '', now(), 0
if tonumber(s[2]) == 0 then return 0 end
for i = 2, #ARGV, 2 do
  local left = tonumber(ARGV[i + 1]) - t
  if left > 0 and redis.call('SET', ARGV[1] .. ARGV[i], 'carried:*' .. generation, 'PX', left, 'NX') then
    count = count + 1
  end
end
return count
