-- The ids that publishing recognises.   KEYS meta ids   ARGV cursor limit   → {next cursor, now, id, ms left…}
if redis.call('HEXISTS', KEYS[1], 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local t = now()
local result = {page[1], t}
for i = 1, #page[2], 2 do
  local last = string.match(page[2][i + 1], '^(%d+):')
  if page[2][i] ~= '' and last and tonumber(last) > t then
    result[#result + 1] = page[2][i]
    result[#result + 1] = tonumber(last) - t
  end
end
return result
