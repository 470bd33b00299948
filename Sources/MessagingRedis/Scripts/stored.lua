-- What a queue holds in one state; changes nothing. A page ends at its limit, and after some megabytes.
-- KEYS log meta dlq due held reserved reserved-ids   ARGV prefix-of-group-keys state group after limit
-- after: 'l' or 'r' and an entry's id; '<score>:<member>'; an entry's id; of what is reserved, '<set>:' before that
-- → {next or '', {id, state, group or '', due or -1, deliveries, field, value…}…}
local log, meta, dlq, state, group = KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[3]
local after, limit, most = ARGV[4], tonumber(ARGV[5]), 4194304
if redis.call('HEXISTS', meta, 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
if group ~= '' and redis.call('HEXISTS', meta, 'group:' .. group .. ':lease_ms') == 0 then
  return redis.error_reply('NOTFOUND the group is not declared')
end
local rows, last, bytes = {}, '', 0

local function full() return #rows >= limit or bytes >= most end
-- Twice as many at each step, so that a few large ones are not read by the thousand.
local function step() return math.min(limit - #rows, #rows + 1) end

local function row(id, what, name, due, deliveries, fields, cursor)
  local r = {id, what, name, due, deliveries}
  for _, f in ipairs(fields) do
    r[#r + 1] = f
    bytes = bytes + #f
  end
  rows[#rows + 1] = r
  last = cursor
end

-- What a stream has for the group: undelivered entries, or those that are pending.
local function of_stream(stream, mark)
  local g = groups_of(stream)[group]
  local from = string.match(after, '^' .. mark .. '(.*)$')
  if not g or (after ~= '' and not from) then return end
  if state == 'ready' and (not from or less(from, g.last)) then from = g.last end
  while not full() do
    local size, page = step(), nil
    local start = from and '(' .. from or '-'
    if state == 'ready' then page = redis.call('XRANGE', stream, start, '+', 'COUNT', size)
    else page = redis.call('XPENDING', stream, group, start, '+', size) end
    for _, e in ipairs(page) do
      if full() then return end
      from = e[1]
      local fields
      if state == 'ready' then fields = named(e[2], e[1]) else fields = carry(stream, e[1]) end
      if fields then
        row(mark .. e[1], state, group, -1, attempt_of(fields) - (state == 'ready' and 1 or 0), fields, mark .. e[1])
      end
    end
    if #page < size then return end
  end
end

-- Redis orders members by their bytes, Lua compares text as the server's locale does.
local function precedes(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The first place behind a score and a member, which may be gone.
local function rank_behind(due, score, member)
  local low, high = redis.call('ZCOUNT', due, '-inf', '(' .. score), redis.call('ZCOUNT', due, '-inf', score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZRANGE', due, middle, middle)[1]
    if found and precedes(member, found) then high = middle else low = middle + 1 end
  end
  return low
end

-- What a sorted set holds behind a cursor: what waits, or what is reserved.
local function of_set(due, held, what, name, head, cursor, is_reserved)
  local score, member = string.match(cursor, '^(%-?%d+):(.*)$')
  local rank = 0
  if score then rank = rank_behind(due, score, member)
  elseif is_reserved then rank = redis.call('ZCOUNT', due, '-inf', '(' .. string.format('%d', reserved_from)) end
  while not full() do
    local size = step()
    local page = redis.call('ZRANGE', due, rank, rank + size - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
      local at = tonumber(page[i + 1])
      if full() or (at >= reserved_from and not is_reserved) then return end
      local packed = redis.call('HGET', held, page[i])
      if packed then
        local fields = cmsgpack.unpack(packed)
        local n = name == '' and 0 or attempt_of(fields) - 1
        local place = (is_reserved and head or '') .. string.format('%d', at) .. ':' .. page[i]
        row(head .. page[i], what, name, at % reserved_from, n, fields, place)
      end
    end
    if #page < 2 * size then return end
    rank = rank + size
  end
end

local function of_group(name) return ARGV[1] .. name .. ':due', ARGV[1] .. name .. ':held', 'w:' .. #name .. ':' .. name .. ':' end

-- Another program's dead letter may be a body alone: its id is the entry's then.
local function letter(id, fields)
  if not get(fields, 'mq-id') then put(fields, 'mq-id', get(fields, 'original_message_id') or string.sub(id, 3)) end
  local n = tonumber(get(fields, 'mq-attempts') or '')
  if not n or n ~= n or n < 0 or n > 2^53 then n = attempt_of(fields) - 1 end
  row(id, 'dead', get(fields, 'mq-group') or '', -1, math.floor(n), fields, state == 'dead' and string.sub(id, 3) or id)
end

if state == 'ready' or state == 'in-flight' then
  of_stream(log, 'l')
  if string.sub(after, 1, 1) == 'l' and not full() then after = '' end
  if not full() then of_stream(ARGV[1] .. group .. ':retry', 'r') end
elseif state == 'scheduled' then of_set(KEYS[4], KEYS[5], state, '', 's:', after, false)
elseif state == 'waiting' then
  local due, held, head = of_group(group)
  of_set(due, held, state, group, head, after, false)
elseif state == 'dead' then
  local from = after
  while not full() do
    local size = step()
    local page = redis.call('XRANGE', dlq, from == '' and '-' or '(' .. from, '+', 'COUNT', size)
    for _, e in ipairs(page) do
      if full() then break end
      letter('d:' .. e[1], e[2])
      from = e[1]
    end
    if #page < size then break end
  end
else
  -- One set after the other: those of the groups by name, the schedules, the dead letters.
  local kind, sought = string.sub(after, 1, 1), nil
  if kind == 'w' then
    local size = tonumber(string.match(after, '^w:(%d+):') or '0')
    sought = string.sub(string.match(after, '^w:%d+:(.*)$') or '', 1, size)
  end
  if kind == '' or kind == 'w' then
    for _, name in ipairs(declared(meta)) do
      local due, held, head = of_group(name)
      if name == sought then of_set(due, held, 'waiting', name, head, string.sub(after, #head + 1), true) sought = nil
      elseif not sought and not full() then of_set(due, held, 'waiting', name, head, '', true) end
    end
  end
  if kind ~= 'd' and not full() then
    of_set(KEYS[4], KEYS[5], 'scheduled', '', 's:', kind == 's' and string.sub(after, 3) or '', true)
  end
  local from = kind == 'd' and '(' .. after or '-'
  while not full() do
    local size = step()
    local page = redis.call('ZRANGEBYLEX', KEYS[7], from, '+', 'LIMIT', 0, size)
    for _, id in ipairs(page) do
      if full() then break end
      local packed = redis.call('HGET', KEYS[6], id)
      if packed then letter(id, cmsgpack.unpack(packed)) end
      from = '(' .. id
    end
    if #page < size then break end
  end
end
-- A full page may be the last one; the next is empty then.
table.insert(rows, 1, full() and last or '')
return rows
