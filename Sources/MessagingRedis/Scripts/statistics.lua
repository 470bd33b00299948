-- KEYS log meta dlq qdue reserved   ARGV prefix-of-group-keys
-- → {now, stored, scheduled, dead letters in all, arrived or -1, {group, ready, in flight, delayed, dead, consumers, oldest ms or -1}…}
local log, meta, dlq = KEYS[1], KEYS[2], KEYS[3]
if redis.call('HEXISTS', meta, 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local scheduled, dead = redis.call('ZCARD', KEYS[4]), redis.call('XLEN', dlq) + redis.call('HLEN', KEYS[5])
local arrived = redis.call('EXISTS', log) == 1 and info_of(log)['entries-added'] or -1
local result = {now(), redis.call('XLEN', log), scheduled, dead, arrived}
local groups, names = groups_of(log), declared(meta)
for _, name in ipairs(names) do
  local g, retry = groups[name], ARGV[1] .. name .. ':retry'
  local r = groups_of(retry)[name]
  local own = redis.call('XLEN', retry)
  local in_flight = (g and g.pending or 0) + (r and r.pending or 0)
  -- -1: Redis does not know the lag (the group was moved, or entries were deleted, by another program).
  local ready = -1
  if g and g.lag then ready = g.lag + own - (r and r.pending or 0) end
  local oldest
  if g then
    if g.pending > 0 then oldest = tonumber(string.match(redis.call('XPENDING', log, name)[2], '^(%d+)'))
    else
      local e = redis.call('XRANGE', log, '(' .. g.last, '+', 'COUNT', 1)
      if #e == 1 then oldest = tonumber(string.match(e[1][1], '^(%d+)')) end
    end
  end
  if own > 0 then
    local e = redis.call('XRANGE', retry, '-', '+', 'COUNT', 1)
    if #e == 1 then
      local p = tonumber(get(e[1][2], 'mq-published') or '') or tonumber(string.match(e[1][1], '^(%d+)'))
      if not oldest or p < oldest then oldest = p end
    end
  end
  local died = #names == 1 and dead or tonumber(redis.call('HGET', meta, 'group:' .. name .. ':dead') or '0')
  result[#result + 1] = {
    name, ready, in_flight, redis.call('ZCARD', ARGV[1] .. name .. ':due') + scheduled, died,
    g and g.consumers or 0, oldest or -1
  }
end
return result
