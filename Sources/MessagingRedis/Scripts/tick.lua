-- Promotes what is due, takes over what its consumer no longer holds, removes dead registrations, trims.
-- KEYS log meta dlq retry due held qdue qheld seen ids:0 ids:1   ARGV group limit stale_ms consumer…(alive in this process)
-- → {now, next due or -1, ms until the next lease can run out, promoted, recovered, buried, lost, whether more waits}
local log, meta, dlq, retry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, limit = ARGV[1], tonumber(ARGV[2])
local s = redis.call('HMGET', meta, 'group:' .. group .. ':lease_ms', 'group:' .. group .. ':max_attempts', 'dedupe_ms')
if not s[1] then return redis.error_reply('NOTFOUND the group is not declared') end
local lease, max_attempts, t = tonumber(s[1]), tonumber(s[2]), now()
-- First, because a full server lets a script go on that has begun by giving memory back.
trim(log, meta)
if s[3] and tonumber(s[3]) > 0 then remembered_in(KEYS[10], KEYS[11], tonumber(s[3]), t) end
local promoted, recovered, buried, lost, more = 0, 0, 0, 0, 0

local function promote(due, held, target)
  local members = redis.call('ZRANGEBYSCORE', due, '-inf', t, 'LIMIT', 0, limit)
  for _, m in ipairs(members) do
    local packed = redis.call('HGET', held, m)
    if packed then add(target, cmsgpack.unpack(packed)) promoted = promoted + 1 end
    redis.call('ZREM', due, m)
    redis.call('HDEL', held, m)
  end
  if #members == limit then more = 1 end
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  return #head > 0 and tonumber(head[2]) < reserved_from and tonumber(head[2]) or nil
end
local next_due = promote(KEYS[7], KEYS[8], log)
local group_due = promote(KEYS[5], KEYS[6], retry)
if group_due and (not next_due or group_due < next_due) then next_due = group_due end

local next_expiry = lease
local function reap(stream, private)
  local expired = redis.call('XPENDING', stream, group, 'IDLE', lease, '-', '+', limit)
  for _, p in ipairs(expired) do
    local fields = carry(stream, p[1])
    if not fields then
      lost = lost + 1
      finish(stream, group, {p[1]}, false)
    else
      local attempt = attempt_of(fields)
      local err = 'the lease ran out: the consumer stopped, or took longer than ' .. s[1] .. ' ms'
      -- One entry that cannot be handled must not keep those behind it waiting.
      local ok, failure = pcall(function()
        note(fields, attempt, p[2], err, t)
        if attempt >= max_attempts then
          bury(dlq, meta, group, fields, attempt, 'attempts-exhausted', err, t)
          buried = buried + 1
        else
          add(retry, fields)
          recovered = recovered + 1
        end
      end)
      if not ok then
        local why = type(failure) == 'table' and failure.err or tostring(failure)
        local rest = {'payload', get(fields, 'payload') or '', 'mq-id', get(fields, 'mq-id')}
        bury(dlq, meta, group, rest, 1, 'undecodable', why, t)
        buried = buried + 1
      end
      finish(stream, group, {p[1]}, private)
    end
  end
  if #expired == limit then more = 1 end
  -- What is delivered from now on cannot run out before a whole lease.
  local page = redis.call('XPENDING', stream, group, '-', '+', 1000)
  for _, p in ipairs(page) do next_expiry = math.min(next_expiry, math.max(1, lease - p[3])) end
  if #page == 1000 then next_expiry = math.min(next_expiry, math.max(1, math.floor(lease / 4))) end
end
reap(log, false)
reap(retry, true)

for i = 4, #ARGV do
  redis.call('ZADD', KEYS[9], t, ARGV[i])
  -- Redis registers a consumer only when it reads something; a group that was created anew has none.
  redis.call('XGROUP', 'CREATECONSUMER', log, group, ARGV[i])
  redis.call('XGROUP', 'CREATECONSUMER', retry, group, ARGV[i])
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', t - tonumber(ARGV[3]), 'LIMIT', 0, 100)) do
  -- Redis drops the pending entries of a consumer it deletes, so one that holds anything stays.
  if #redis.call('XPENDING', log, group, '-', '+', 1, name) == 0
    and #redis.call('XPENDING', retry, group, '-', '+', 1, name) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', log, group, name)
    redis.call('XGROUP', 'DELCONSUMER', retry, group, name)
    redis.call('ZREM', KEYS[9], name)
  end
end
if lost > 0 then redis.call('HINCRBY', meta, 'lost', lost) end
return {t, next_due or -1, next_expiry, promoted, recovered, buried, lost, more}
