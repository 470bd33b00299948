-- Makes publishing recognise ids of elsewhere.   KEYS meta   ARGV dedupe-prefix {id, until ms}…   → how many are new
local s = redis.call('HMGET', KEYS[1], 'format', 'dedupe_ms', 'generation')
if not s[1] then return redis.error_reply('NOTFOUND the queue is not declared') end
local generation, t, count = s[3] and '@' .. s[3] or '', now(), 0
if tonumber(s[2]) == 0 then return 0 end
for i = 2, #ARGV, 2 do
  local key, left = ARGV[1] .. ARGV[i], tonumber(ARGV[i + 1]) - t
  if left > 0 then
    local seen = redis.call('GET', key)
    -- What a deleted queue of this name has left behind says nothing.
    if not seen or (string.match(seen, '@%d+$') or '') ~= generation then
      redis.call('SET', key, 'carried:*' .. generation, 'PX', string.format('%d', math.min(left, 1000000000000000)))
      count = count + 1
    end
  end
end
return count
