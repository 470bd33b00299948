-- KEYS stream retry due held dlq meta   ARGV group consumer private id delay_ms error wake
-- → 1 done, 0 lease lost, -1 gone
local group, consumer, id = ARGV[1], ARGV[2], ARGV[4]
if not mine(KEYS[1], group, id, consumer) then return 0 end
local fields = carry(KEYS[1], id)
if not fields then finish(KEYS[1], group, {id}, false) return -1 end
local t, delay, attempt = now(), tonumber(ARGV[5]), attempt_of(fields)
note(fields, attempt, consumer, ARGV[6], t)
if attempt >= max_attempts(KEYS[6], group) then
  bury(KEYS[5], KEYS[6], group, fields, attempt, 'attempts-exhausted', ARGV[6], t)
elseif delay <= 0 then add(KEYS[2], fields)
else hold(KEYS[3], KEYS[4], ARGV[7], id .. (ARGV[3] == '1' and 'r' or 'l'), t + delay, fields) end
finish(KEYS[1], group, {id}, ARGV[3] == '1')
return 1
