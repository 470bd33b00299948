-- Messages on their way elsewhere: what waits gets a time that never comes, dead letters a place of their own. Both count
-- as before.
-- KEYS meta dlq due held reserved reserved-ids   ARGV prefix-of-group-keys wake step id…   → 1 or 0 per id; steps: reserve, put-back, remove
local meta, dlq, reserved, step = KEYS[1], KEYS[2], KEYS[5], ARGV[3]
if redis.call('HEXISTS', meta, 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end

local function timed(due, held, member)
  local at = tonumber(redis.call('ZSCORE', due, member) or '')
  if not at then return 0 end
  local is_reserved = at >= reserved_from
  if step == 'reserve' then
    if not is_reserved then redis.call('ZADD', due, string.format('%d', at + reserved_from), member) end
    return 1
  end
  if not is_reserved then return 0 end
  if step == 'put-back' then
    redis.call('ZADD', due, string.format('%d', at - reserved_from), member)
    redis.pcall('PUBLISH', ARGV[2], string.format('%d', at - reserved_from))
  else
    redis.call('ZREM', due, member)
    redis.call('HDEL', held, member)
  end
  return 1
end

local function dead(id, entry)
  local packed = redis.call('HGET', reserved, id)
  if step == 'reserve' then
    if packed then return 1 end
    local e = redis.call('XRANGE', dlq, entry, entry)
    if #e == 0 then return 0 end
    local fields = e[1][2]
    -- A letter of another program goes by its entry's id, which it would lose here.
    if not get(fields, 'mq-id') then put(fields, 'mq-id', get(fields, 'original_message_id') or entry) end
    redis.call('HSET', reserved, id, cmsgpack.pack(fields))
    redis.call('ZADD', KEYS[6], 0, id)
    redis.call('XDEL', dlq, entry)
    return 1
  end
  if not packed then return 0 end
  local fields = cmsgpack.unpack(packed)
  if step == 'put-back' then
    add(dlq, fields)
  else
    local group = get(fields, 'mq-group')
    if group then redis.call('HINCRBY', meta, 'group:' .. group .. ':dead', -1) end
  end
  redis.call('HDEL', reserved, id)
  redis.call('ZREM', KEYS[6], id)
  return 1
end

local result = {}
for i = 4, #ARGV do
  local kind, rest = string.match(ARGV[i], '^(%a):(.*)$')
  local done = 0
  if kind == 'w' then
    local size, names = string.match(rest, '^(%d+):(.*)$')
    size = tonumber(size or '0')
    if names and #names > size then
      local group = ARGV[1] .. string.sub(names, 1, size)
      done = timed(group .. ':due', group .. ':held', string.sub(names, size + 2))
    end
  elseif kind == 's' then done = timed(KEYS[3], KEYS[4], rest)
  elseif kind == 'd' and string.match(rest, '^%d+%-%d+$') then done = dead(ARGV[i], rest) end
  result[i - 3] = done
end
return result
