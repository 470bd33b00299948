-- KEYS log meta due held ids:0 ids:1   ARGV wake {due, messages, names, name…, {digest, value per name…} per message}…
-- Messages whose fields have the same names stand together; the first two names are payload and mq-id.
-- due: '' at once, 'a<ms>' at a time, 'r<ms>' after a delay   → how many there are when all were accepted, else one code per message:
-- A accepted, D duplicate, C id conflict, F full, X closed, or the error of the command that was refused
local log, meta, due, held, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local s = redis.call('HMGET', meta, 'format', 'dedupe_ms', 'max_ready', 'closed')
if not s[1] then return redis.error_reply('NOTFOUND the queue is not declared') end
local window, bound, closed = tonumber(s[2]), tonumber(s[3]), s[4] == '1'
local room
if bound > 0 then
  local slowest = 0
  local groups = groups_of(log)
  for _, name in ipairs(declared(meta)) do
    local g = groups[name]
    local retry = string.gsub(meta, ':meta$', '') .. ':g:' .. name .. ':retry'
    local r = groups_of(retry)[name]
    local ready = (g and g.lag or 0) + (r and redis.call('XLEN', retry) - r.pending or 0)
    if ready > slowest then slowest = ready end
  end
  room = bound - slowest
end
local words, t = #ARGV, nil
-- What is remembered of the ids, in the order of the messages, and what is new about them.
local known, current, until_ms, fresh, marks, marked = {}, nil, nil, {}, {}, 0
if window > 0 then
  t = now()
  until_ms = string.format('%d:', t + window)
  local ids, n, i = {}, 0, 2
  while i <= words do
    local row = ARGV[i + 2] + 1
    local first = i + 2 + row
    i = first + ARGV[i + 1] * row
    for k = first + 2, i - 1, row do
      n = n + 1
      ids[n] = ARGV[k]
    end
  end
  local before
  current, before = remembered_in(KEYS[5], KEYS[6], window, t)
  known = redis.call('HMGET', current, unpack(ids))
  if before then
    local earlier = redis.call('HMGET', before, unpack(ids))
    for k = 1, n do known[k] = known[k] or earlier[k] end
  end
end
local codes, all, k, i = {}, true, 0, 2
while i <= words do
  local when, count, names = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local fields = {}
  for j = 1, names do fields[2 * j - 1] = ARGV[i + 2 + j] end
  i = i + 3 + names
  for _ = 1, count do
    k = k + 1
    local digest, id = ARGV[i], ARGV[i + 2]
    local seen, code = fresh[id] or known[k], nil
    if seen then
      -- Of an id that was published elsewhere no digest is known.
      local last, mark = string.match(seen, '^(%d+):(.*)$')
      if tonumber(last) > t then code = (mark == digest or mark == '*') and 'D' or 'C' end
    end
    if not code then
      if closed then code = 'X'
      elseif room and room <= 0 then code = 'F'
      else
        local r
        if names == 2 and when == '' then
          -- Most messages have no more than this, and are written without a list of their fields.
          r = redis.pcall('XADD', log, '*', 'payload', ARGV[i + 1], 'mq-id', id)
        else
          for j = 1, names do fields[2 * j] = ARGV[i + j] end
          if when == '' then r = redis.pcall('XADD', log, '*', unpack(fields, 1, 2 * names))
          elseif redis.call('ZSCORE', due, id) then code = 'D'
          else
            t = t or now()
            local at = tonumber(string.sub(when, 2))
            if string.sub(when, 1, 1) == 'r' then at = at + t end
            local whole = {unpack(fields, 1, 2 * names)}
            put(whole, 'mq-due', string.format('%d', at))
            put(whole, 'mq-published', string.format('%d', t))
            -- A write that is refused for lack of memory raises here, before anything of this message is kept.
            local ok, err = pcall(hold, due, held, wake, id, at, whole)
            r = ok and 'scheduled' or {err = type(err) == 'table' and err.err or tostring(err)}
          end
        end
        if not code then
          if type(r) == 'table' then code = r.err
          else
            code = 'A'
            if room then room = room - 1 end
            if window > 0 then
              local mark = until_ms .. digest
              fresh[id] = mark
              marks[marked + 1], marks[marked + 2] = id, mark
              marked = marked + 2
            end
          end
        end
      end
    end
    if code ~= 'A' then all = false end
    codes[k] = code
    i = i + 1 + names
  end
end
-- Marked after they were added: a refused add must not leave a mark that says "already".
if marked > 0 then remember_in(current, window, t, marks) end
return all and k or codes
