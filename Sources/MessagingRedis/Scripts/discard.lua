-- Removes dead letters for good.   KEYS meta dlq   ARGV id…   → 1 or 0 per id
local result = {}
for i, id in ipairs(ARGV) do
  local e = redis.call('XRANGE', KEYS[2], id, id)
  result[i] = redis.call('XDEL', KEYS[2], id)
  local group = #e == 1 and get(e[1][2], 'mq-group')
  if group then redis.call('HINCRBY', KEYS[1], 'group:' .. group .. ':dead', -1) end
end
return result
