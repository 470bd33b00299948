-- KEYS stream   ARGV group consumer private id…(ascending)   → 1 or 0 per id
local ids = {unpack(ARGV, 4)}
local found, done, result = owned(KEYS[1], ARGV[1], ARGV[2], ids), {}, {}
for i, id in ipairs(ids) do
  result[i] = found[id] and 1 or 0
  if found[id] then done[#done + 1] = id end
end
if #done > 0 then finish(KEYS[1], ARGV[1], done, ARGV[3] == '1') end
return result
