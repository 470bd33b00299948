-- KEYS stream   ARGV group consumer private id…(ascending)   → how many there are when all were the consumer's, else 1 or 0 per id
local stream, group, consumer, n = KEYS[1], ARGV[1], ARGV[2], #ARGV - 3
-- The fence. Nearly always the consumer holds just these of the range, and what is found is what was asked for.
local page, all = redis.call('XPENDING', stream, group, ARGV[4], ARGV[n + 3], n + 64, consumer), true
if #page == n then
  for i = 1, n do if page[i][1] ~= ARGV[i + 3] then all = false break end end
else all = false end
if all then
  if n <= 1000 then
    redis.call('XACK', stream, group, unpack(ARGV, 4))
    if ARGV[3] == '1' then redis.call('XDEL', stream, unpack(ARGV, 4)) end
  else finish(stream, group, {unpack(ARGV, 4)}, ARGV[3] == '1') end
  return n
end
local ids = {unpack(ARGV, 4)}
local found, done, result = owned(stream, group, consumer, ids), {}, {}
for i, id in ipairs(ids) do
  result[i] = found[id] and 1 or 0
  if found[id] then done[#done + 1] = id end
end
if #done > 0 then finish(stream, group, done, ARGV[3] == '1') end
return result
