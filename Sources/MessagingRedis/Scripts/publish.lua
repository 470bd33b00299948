-- KEYS log meta due held {dedupe key}…   ARGV wake {id digest due fields' count, field, value…}…
-- due: '' at once, 'a<ms>' at a time, 'r<ms>' after a delay   → one code per message:
-- A accepted, D duplicate, C id conflict, F full, X closed, or the error of the command that was refused
local log, meta, due, held, wake = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local s = redis.call('HMGET', meta, 'format', 'dedupe_ms', 'max_ready', 'closed', 'generation')
if not s[1] then return redis.error_reply('NOTFOUND the queue is not declared') end
local window, bound, closed = tonumber(s[2]), tonumber(s[3]), s[4] == '1'
-- What a queue of this name remembered before it was deleted is not what this one knows.
local generation = s[5] and '@' .. s[5] or ''
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
local codes, i, k = {}, 2, 4
while i <= #ARGV do
  local id, digest, when, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3])
  local first = i + 4
  i = first + n
  k = k + 1
  local code
  if window > 0 then
    local seen = redis.pcall('GET', KEYS[k])
    if type(seen) == 'table' then code = seen.err
    elseif seen and (string.match(seen, '@%d+$') or '') == generation then
      code = string.match(seen, ':(.*)$') == digest .. generation and 'D' or 'C'
    end
  end
  if not code then
    if closed then code = 'X'
    elseif room and room <= 0 then code = 'F'
    else
      local fields = {unpack(ARGV, first, i - 1)}
      local r
      if when == '' then
        r = redis.pcall('XADD', log, '*', unpack(fields))
      else
        if redis.call('ZSCORE', due, id) then code = 'D'
        else
          local t = now()
          local at = tonumber(string.sub(when, 2))
          if string.sub(when, 1, 1) == 'r' then at = at + t end
          fields[#fields + 1] = 'mq-due'
          fields[#fields + 1] = string.format('%d', at)
          fields[#fields + 1] = 'mq-published'
          fields[#fields + 1] = string.format('%d', t)
          -- A write that is refused for lack of memory raises here, before anything of this message is kept.
          local ok, err = pcall(hold, due, held, wake, id, at, fields)
          r = ok and 'scheduled' or {err = type(err) == 'table' and err.err or tostring(err)}
        end
      end
      if not code then
        if type(r) == 'table' and r.err then code = r.err
        else
          code = 'A'
          if room then room = room - 1 end
          -- Marked after it was added: a refused add must not leave a mark that says "already".
          if window > 0 then redis.pcall('SET', KEYS[k], r .. ':' .. digest .. generation, 'PX', window) end
        end
      end
    end
  end
  codes[#codes + 1] = code
end
return codes
