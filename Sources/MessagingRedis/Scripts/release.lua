-- KEYS stream retry   ARGV group consumer private counted id…(ascending)   → 1 done, 0 lease lost, -1 gone, per id
-- counted: the deliveries were handed over, so they count as an attempt.
local group, consumer, private = ARGV[1], ARGV[2], ARGV[3] == '1'
local ids = {unpack(ARGV, 5)}
local found, result = owned(KEYS[1], group, consumer, ids), {}
for i, id in ipairs(ids) do
  if not found[id] then result[i] = 0
  else
    local fields = carry(KEYS[1], id)
    if fields then
      if ARGV[4] == '1' then note(fields, attempt_of(fields), consumer, 'the consumer was closed', now()) end
      add(KEYS[2], fields)
      finish(KEYS[1], group, {id}, private)
      result[i] = 1
    else
      finish(KEYS[1], group, {id}, false)
      result[i] = -1
    end
  end
end
return result
