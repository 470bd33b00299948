-- KEYS stream dlq meta   ARGV group consumer private id reason error   → 1 done, 0 lease lost, -1 gone
local group, consumer, id = ARGV[1], ARGV[2], ARGV[4]
if not mine(KEYS[1], group, id, consumer) then return 0 end
local fields = carry(KEYS[1], id)
if not fields then finish(KEYS[1], group, {id}, false) return -1 end
local t, attempt = now(), attempt_of(fields)
note(fields, attempt, consumer, ARGV[6], t)
bury(KEYS[2], KEYS[3], group, fields, attempt, ARGV[5], ARGV[6], t)
finish(KEYS[1], group, {id}, ARGV[3] == '1')
return 1
