-- Shared by every script. An entry's fields are a flat list: name, value, name, value, …
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function get(fields, name)
  for i = 1, #fields, 2 do if fields[i] == name then return fields[i + 1] end end
  return nil
end

local function put(fields, name, value)
  for i = 1, #fields, 2 do if fields[i] == name then fields[i + 1] = value return end end
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- Lua can pass on some thousand values. A foreign entry with more fields keeps what the contract reads; the rest stands
-- packed in one field.
local function shrunk(fields)
  local kept, rest, own = {}, {}, {}
  for _, name in ipairs({
    'payload', 'retry_count', 'original_message_id', 'error', 'failed_at', 'mq-id', 'mq-key', 'mq-content-type', 'mq-due',
    'mq-published', 'mq-redrives', 'mq-history', 'mq-group', 'mq-reason', 'mq-attempts'
  }) do own[name] = true end
  for i = 1, #fields, 2 do
    local name = fields[i]
    local into = own[name] and kept or rest
    -- A name that comes again counts once.
    own[name] = nil
    into[#into + 1] = name
    into[#into + 1] = fields[i + 1]
  end
  kept[#kept + 1] = 'mq-h-packed'
  kept[#kept + 1] = cmsgpack.pack(rest)
  return kept
end

local function add(key, fields)
  if #fields > 6000 then fields = shrunk(fields) end
  return redis.call('XADD', key, '*', unpack(fields))
end

-- Ids are compared as text of equal meaning: Lua's numbers would lose the low bits.
local function less(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if #am ~= #bm then return #am < #bm end
  if am ~= bm then return am < bm end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end

-- The fence: an entry may be settled by the consumer it is pending for, and by nobody else.
local function mine(stream, group, id, consumer)
  local p = redis.call('XPENDING', stream, group, id, id, 1)
  return #p == 1 and p[1][2] == consumer
end

-- The fence for many ids in ascending order: id → true where they are mine.
local function owned(stream, group, consumer, ids)
  local found, start, last, size = {}, ids[1], ids[#ids], #ids + 64
  while true do
    local page = redis.call('XPENDING', stream, group, start, last, size, consumer)
    for _, p in ipairs(page) do found[p[1]] = true end
    if #page < size then return found end
    start = '(' .. page[#page][1]
  end
end

-- Takes entries out of a group. A private stream has one group, so its entries go for good.
local function finish(stream, group, ids, private)
  for i = 1, #ids, 1000 do
    local part = {unpack(ids, i, math.min(i + 999, #ids))}
    redis.call('XACK', stream, group, unpack(part))
    if private then redis.call('XDEL', stream, unpack(part)) end
  end
end

-- What travels with the fields of an entry that leaves the stream it was published to: its id and time.
local function named(fields, id)
  if not get(fields, 'mq-id') then put(fields, 'mq-id', id) end
  if not get(fields, 'mq-published') then put(fields, 'mq-published', string.match(id, '^(%d+)')) end
  return fields
end

local function carry(stream, id)
  local e = redis.call('XRANGE', stream, id, id)
  return #e == 1 and named(e[1][2], id) or nil
end

local function attempt_of(fields)
  local n = tonumber(get(fields, 'retry_count') or '0')
  -- Also what Lua takes for numbers and no counter is: nan, inf, 1e300.
  if not n or n ~= n or n < 0 or n > 2^53 then n = 0 end
  return n + 1
end

-- Counts the attempt and notes its error; the last ten are kept.
local function note(fields, attempt, consumer, err, at)
  put(fields, 'retry_count', string.format('%d', attempt))
  local ok, history = pcall(cjson.decode, get(fields, 'mq-history') or '[]')
  if not ok or type(history) ~= 'table' then history = {} end
  history[#history + 1] = {attempt = attempt, at = at, consumer = consumer, error = err}
  while #history > 10 do table.remove(history, 1) end
  local encoded, json = pcall(cjson.encode, history)
  -- A history that another program broke cannot be written again; it begins anew.
  put(fields, 'mq-history', encoded and json or cjson.encode({history[#history]}))
end

-- Milliseconds since 1970 as ISO 8601 (civil-from-days of H. Hinnant, "chrono-compatible low-level date algorithms").
local function iso(ms)
  local days, rest = math.floor(ms / 86400000), ms % 86400000
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local d, m = doy - math.floor((153 * mp + 2) / 5) + 1, mp < 10 and mp + 3 or mp - 9
  local y = yoe + era * 400 + (m <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', y, m, d, math.floor(rest / 3600000),
    math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

local function max_attempts(meta, group)
  return tonumber(redis.call('HGET', meta, 'group:' .. group .. ':max_attempts') or '10')
end

-- Writes a dead letter. `fields` keep the message as it was; what other clients read stands beside it.
local function bury(dlq, meta, group, fields, attempt, reason, err, at)
  put(fields, 'original_message_id', get(fields, 'mq-id'))
  put(fields, 'error', err)
  put(fields, 'failed_at', iso(at))
  put(fields, 'retry_count', string.format('%d', attempt - 1))
  put(fields, 'mq-attempts', string.format('%d', attempt))
  put(fields, 'mq-group', group)
  put(fields, 'mq-reason', reason)
  add(dlq, fields)
  redis.call('HINCRBY', meta, 'group:' .. group .. ':dead', 1)
end

-- What is on its way elsewhere is due so much later than it was: never. Times that are really meant lie before.
local reserved_from = 4000000000000000

-- Puts something aside until it is due, and tells every process when it has become the next one. It is there then: a user
-- without the right to tell must not hear that it is not.
local function hold(due, held, wake, member, at, fields)
  at = math.max(0, math.min(at, reserved_from - 1))
  local head = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
  redis.call('HSET', held, member, cmsgpack.pack(fields))
  redis.call('ZADD', due, string.format('%d', at), member)
  if #head == 0 or at < tonumber(head[2]) then redis.pcall('PUBLISH', wake, string.format('%d', at)) end
end

-- The groups of a stream by name: their position, how far they lag, how many entries are pending, their consumers.
local function groups_of(stream)
  local found = {}
  if redis.call('EXISTS', stream) == 0 then return found end
  for _, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local e = {}
    for i = 1, #g, 2 do e[g[i]] = g[i + 1] end
    found[e['name']] = {
      last = e['last-delivered-id'], lag = e['lag'], pending = e['pending'], consumers = e['consumers']
    }
  end
  return found
end

local function info_of(stream)
  local e, i = {}, redis.call('XINFO', 'STREAM', stream)
  for k = 1, #i, 2 do e[i[k]] = i[k + 1] end
  return e
end

-- The names of the groups that were declared.
local function declared(meta)
  local names = {}
  for _, k in ipairs(redis.call('HKEYS', meta)) do
    local n = string.match(k, '^group:(.*):lease_ms$')
    if n then names[#names + 1] = n end
  end
  table.sort(names)
  return names
end

-- Creates a group so that the lag Redis computes for it is exact: it is told how many entries lie before.
local function create_group(stream, group, after)
  if redis.call('EXISTS', stream) == 0 then
    redis.call('XGROUP', 'CREATE', stream, group, after == '$' and '0' or after, 'MKSTREAM')
    return
  end
  local i = info_of(stream)
  local ahead
  if after == '$' then ahead = 0
  elseif after == '0-0' then ahead = i['length']
  else
    ahead = 0
    local start = '(' .. after
    while true do
      local page = redis.call('XRANGE', stream, start, '+', 'COUNT', 1000)
      ahead = ahead + #page
      if #page < 1000 then break end
      start = '(' .. page[#page][1]
    end
  end
  redis.call('XGROUP', 'CREATE', stream, group, after, 'ENTRIESREAD', i['entries-added'] - ahead)
end

-- The first id that may not be trimmed for a group: its lowest pending entry, or what follows its position.
local function floor_of(stream, group, g)
  if g.pending > 0 then return redis.call('XPENDING', stream, group)[2] end
  local ms, seq = string.match(g.last, '^(%d+)-(%d+)$')
  -- Beyond 2^53 adding one would be wrong; then one finished entry stays.
  if #seq > 15 then return g.last end
  return ms .. '-' .. string.format('%d', tonumber(seq) + 1)
end

-- Removes what every group has finished and retention no longer wants. Never while a declared group is missing: its
-- messages would go with it.
local function trim(log, meta)
  local groups = groups_of(log)
  if next(groups) == nil then return 0 end
  for _, name in ipairs(declared(meta)) do
    if not groups[name] then return 0 end
  end
  local floor, floors = nil, {}
  for name, g in pairs(groups) do
    floors[name] = floor_of(log, name, g)
    if not floor or less(floors[name], floor) then floor = floors[name] end
  end
  local retention = tonumber(redis.call('HGET', meta, 'retention_ms') or '0')
  if retention > 0 then
    local oldest = string.format('%d-0', math.max(0, now() - retention))
    if less(oldest, floor) then floor = oldest end
  end
  -- Whole nodes first, bounded; what is left is less than one node.
  local removed = redis.call('XTRIM', log, 'MINID', '~', floor, 'LIMIT', 20000)
  if removed < 10000 then removed = removed + redis.call('XTRIM', log, 'MINID', '=', floor) end
  -- Noted afterwards: a full server refuses a script whose first write needs memory, and trimming is what it needs. An
  -- older note only makes a group that is lost begin earlier.
  for name, f in pairs(floors) do
    if redis.call('HEXISTS', meta, 'group:' .. name .. ':lease_ms') == 1 then
      redis.call('HSET', meta, 'group:' .. name .. ':floor', f)
    end
  end
  return removed
end

-- Gives a key back without holding the server up, where the user may.
local function drop(key)
  local answer = redis.pcall('UNLINK', key)
  if type(answer) == 'table' then redis.call('DEL', key) end
end

-- Two hashes remember the ids that were published, id → 'until ms:digest'. Each serves every other period of one window, and
-- says in the field '' which; so what was published within a window is in one of the two. Returns that of this period, and
-- the other one if it is of the period before.
local function remembered_in(first, second, window, t)
  local period = math.floor(t / window)
  local current, before = first, second
  if period % 2 == 1 then current, before = second, first end
  local mark = tonumber(redis.call('HGET', current, '') or '')
  -- A clock that was set back finds periods that are still to come.
  if mark and mark < period then drop(current) end
  mark = tonumber(redis.call('HGET', before, '') or '')
  if mark and mark < period - 1 then drop(before) end
  return current, mark and mark >= period - 1 and before or nil
end

-- Writes into the hash of this period. A server without memory left refuses; the ids are not recognised then.
local function remember_in(current, window, t, marks)
  local period = math.floor(t / window)
  if not redis.call('HGET', current, '') then
    redis.pcall('HSET', current, '', string.format('%d', period))
    -- Publishing and consuming take it away when it is old; this is for a queue that nobody uses any more.
    redis.pcall('PEXPIREAT', current, string.format('%d', (period + 3) * window))
  end
  redis.pcall('HSET', current, unpack(marks))
end
