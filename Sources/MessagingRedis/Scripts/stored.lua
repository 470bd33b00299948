-- What a queue holds in one state; changes nothing.
-- KEYS log meta dlq due held reserved   ARGV prefix-of-group-keys state group after limit
-- → {next or '', {id, state, group or '', due or -1, deliveries, field, value…}…}
local log, meta, dlq, state, group = KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[3]
local after, limit = ARGV[4], tonumber(ARGV[5])
if redis.call('EXISTS', meta) == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
if group ~= '' and redis.call('HEXISTS', meta, 'group:' .. group .. ':lease_ms') == 0 then
  return redis.error_reply('NOTFOUND the group is not declared')
end
local rows, last = {}, ''

local function row(id, what, name, due, deliveries, fields, cursor)
  local r = {id, what, name, due, deliveries}
  for _, f in ipairs(fields) do r[#r + 1] = f end
  rows[#rows + 1] = r
  last = cursor
end

-- The entries that a stream has for the group: undelivered ones, or those that are pending.
local function of_stream(stream, mark)
  local g = groups_of(stream)[group]
  local from = string.match(after, '^' .. mark .. '(.*)$')
  if not g or (after ~= '' and not from) then return end
  if state == 'ready' then
    if not from or less(from, g.last) then from = g.last end
    for _, e in ipairs(redis.call('XRANGE', stream, '(' .. from, '+', 'COUNT', limit - #rows)) do
      row(mark .. e[1], state, group, -1, attempt_of(e[2]) - 1, carry(stream, e[1]), mark .. e[1])
    end
  else
    local start = from and '(' .. from or '-'
    for _, p in ipairs(redis.call('XPENDING', stream, group, start, '+', limit - #rows)) do
      local fields = carry(stream, p[1])
      if fields then row(mark .. p[1], state, group, -1, attempt_of(fields), fields, mark .. p[1]) end
    end
  end
end

-- What a sorted set holds between two times, after a member.
local function of_set(due, held, what, name, from, to, head, member)
  local offset = 0
  while #rows < limit do
    local page = redis.call('ZRANGEBYSCORE', due, from, to, 'WITHSCORES', 'LIMIT', offset, 200)
    if #page == 0 then return end
    for i = 1, #page, 2 do
      local packed = (not member or page[i + 1] ~= from or page[i] > member) and redis.call('HGET', held, page[i])
      if packed and #rows < limit then
        local fields = cmsgpack.unpack(packed)
        local n = name == '' and 0 or attempt_of(fields) - 1
        row(head .. page[i], what, name, page[i + 1] % reserved_from, n, fields, page[i + 1] .. ':' .. page[i])
      end
    end
    offset = offset + 200
  end
end

local function of_group(name) return ARGV[1] .. name .. ':due', ARGV[1] .. name .. ':held', 'w:' .. #name .. ':' .. name .. ':' end

if state == 'ready' or state == 'in-flight' then
  of_stream(log, 'l')
  if string.sub(after, 1, 1) == 'l' and #rows < limit then after = '' end
  if #rows < limit then of_stream(ARGV[1] .. group .. ':retry', 'r') end
elseif state == 'waiting' or state == 'scheduled' then
  local from, member = string.match(after, '^([^:]*):(.*)$')
  local before = '(' .. string.format('%d', reserved_from)
  if state == 'scheduled' then of_set(KEYS[4], KEYS[5], state, '', from or '-inf', before, 's:', member)
  else
    local due, held, head = of_group(group)
    of_set(due, held, state, group, from or '-inf', before, head, member)
  end
elseif state == 'dead' then
  for _, e in ipairs(redis.call('XRANGE', dlq, after == '' and '-' or '(' .. after, '+', 'COUNT', limit)) do
    row('d:' .. e[1], state, get(e[2], 'mq-group') or '', -1, tonumber(get(e[2], 'mq-attempts') or '0') or 0, e[2], e[1])
  end
else
  -- Reserved: never many, so they are all gone through, and the page is cut out of them.
  local wanted = limit
  limit = 1000000
  local start = string.format('%d', reserved_from)
  for _, name in ipairs(declared(meta)) do
    local due, held, head = of_group(name)
    of_set(due, held, 'waiting', name, start, '+inf', head)
  end
  of_set(KEYS[4], KEYS[5], 'scheduled', '', start, '+inf', 's:')
  local all = redis.call('HGETALL', KEYS[6])
  for i = 1, #all, 2 do
    local fields = cmsgpack.unpack(all[i + 1])
    row(all[i], 'dead', get(fields, 'mq-group') or '', -1, tonumber(get(fields, 'mq-attempts') or '0') or 0, fields, '')
  end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  local page = {}
  last, limit = '', wanted
  for _, r in ipairs(rows) do
    if r[1] > after and #page < limit then
      page[#page + 1] = r
      last = r[1]
    end
  end
  rows = page
end
-- A full page may be the last one; the next is empty then.
table.insert(rows, 1, #rows >= limit and last or '')
return rows
