-- Makes publishing recognise ids of elsewhere.   KEYS meta ids:0 ids:1   ARGV {id, until ms}…   → how many are new
local s = redis.call('HMGET', KEYS[1], 'format', 'dedupe_ms')
if not s[1] then return redis.error_reply('NOTFOUND the queue is not declared') end
local window, t, count, marks = tonumber(s[2]), now(), 0, {}
if window == 0 then return 0 end
local current, before = remembered_in(KEYS[2], KEYS[3], window, t)
-- What is kept here ends with the hash at the latest.
local last = (math.floor(t / window) + 2) * window
local ids = {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
if #ids == 0 then return 0 end
local known = redis.call('HMGET', current, unpack(ids))
local earlier = before and redis.call('HMGET', before, unpack(ids)) or {}
for k, id in ipairs(ids) do
  local upto = math.min(tonumber(ARGV[2 * k]), last)
  local seen = known[k] or earlier[k]
  if upto > t and not (seen and tonumber(string.match(seen, '^(%d+):')) > t) then
    marks[#marks + 1] = id
    marks[#marks + 1] = string.format('%d:*', upto)
    count = count + 1
  end
end
if count > 0 then remember_in(current, window, t, marks) end
return count
