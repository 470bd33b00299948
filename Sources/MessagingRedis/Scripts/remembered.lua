-- The ids that publishing recognises.   KEYS meta   ARGV dedupe-prefix cursor limit   → {next cursor, now, id, ms left…}
if redis.call('EXISTS', KEYS[1]) == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local generation = redis.call('HGET', KEYS[1], 'generation')
generation = generation and '@' .. generation or ''
local page = redis.call('SCAN', ARGV[2], 'MATCH', ARGV[1] .. '*', 'COUNT', math.max(100, tonumber(ARGV[3])))
local result = {page[1], now()}
for _, key in ipairs(page[2]) do
  local left, seen = redis.call('PTTL', key), redis.call('GET', key)
  if left > 0 and seen and (string.match(seen, '@%d+$') or '') == generation then
    result[#result + 1] = string.sub(key, #ARGV[1] + 1)
    result[#result + 1] = left
  end
end
return result
