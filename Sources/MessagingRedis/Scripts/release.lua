-- KEYS stream retry dlq meta   ARGV group consumer private counted id…(ascending)   → 1 done, 0 lease lost, -1 gone, per id
-- counted: the deliveries were handed over, so they count as an attempt.
local group, consumer, private = ARGV[1], ARGV[2], ARGV[3] == '1'
local ids = {unpack(ARGV, 5)}
local found, result = owned(KEYS[1], group, consumer, ids), {}
for i, id in ipairs(ids) do
  if not found[id] then result[i] = 0
  else
    local fields = carry(KEYS[1], id)
    if fields then
      local counted, t, attempt = ARGV[4] == '1', now(), attempt_of(fields)
      local err = 'the consumer was closed before the message was settled'
      if counted then note(fields, attempt, consumer, err, t) end
      if counted and attempt >= max_attempts(KEYS[4], group) then
        bury(KEYS[3], KEYS[4], group, fields, attempt, 'attempts-exhausted', err, t)
      else
        add(KEYS[2], fields)
      end
      finish(KEYS[1], group, {id}, private)
      result[i] = 1
    else
      finish(KEYS[1], group, {id}, false)
      result[i] = -1
    end
  end
end
return result
