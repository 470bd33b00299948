-- KEYS stream   ARGV group consumer id…(ascending)   → 1 or 0 per id. JUSTID keeps the delivery count.
local ids = {unpack(ARGV, 3)}
local found, kept, result = owned(KEYS[1], ARGV[1], ARGV[2], ids), {}, {}
for i, id in ipairs(ids) do
  result[i] = found[id] and 1 or 0
  if found[id] then kept[#kept + 1] = id end
end
if #kept > 0 then
  table.insert(kept, 'JUSTID')
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(kept))
end
return result
