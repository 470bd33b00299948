-- KEYS meta due held   ARGV offset limit   → {{due ms, field, value…}…}
if redis.call('HEXISTS', KEYS[1], 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local result = {}
local page = redis.call('ZRANGE', KEYS[2], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
for i = 1, #page, 2 do
  local packed = tonumber(page[i + 1]) < reserved_from and redis.call('HGET', KEYS[3], page[i])
  if packed then
    local row = cmsgpack.unpack(packed)
    table.insert(row, 1, string.format('%d', tonumber(page[i + 1])))
    result[#result + 1] = row
  end
end
return result
