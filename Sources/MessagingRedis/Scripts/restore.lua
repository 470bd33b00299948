-- Writes messages in with the state that they had elsewhere.
-- KEYS log meta dlq due held restored   ARGV prefix-of-group-keys wake {id kind group due fields' count, field, value…}…
-- kind: q for every group, g for one, d a dead letter; due: ms or ''   → per message: A accepted, D done before, G no such
-- group, or the error of the command that was refused
local log, meta, dlq = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', meta) == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local t, codes, i = now(), {}, 3
while i <= #ARGV do
  local id, kind, group, due, n = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local first = i + 5
  i = first + n
  local fields = {unpack(ARGV, first, i - 1)}
  local later = due and due > t
  local code
  if redis.call('SISMEMBER', KEYS[6], id) == 1 then code = 'D'
  elseif kind ~= 'q' and redis.call('HEXISTS', meta, 'group:' .. group .. ':lease_ms') == 0 then code = 'G'
  else
    -- What is refused for lack of memory raises here, before anything of this message is kept.
    local ok, err = pcall(function()
      local own = ARGV[1] .. group
      if kind == 'd' then
        add(dlq, fields)
        redis.call('HINCRBY', meta, 'group:' .. group .. ':dead', 1)
      elseif kind == 'g' and later then hold(own .. ':due', own .. ':held', ARGV[2], 'm' .. id, due, fields)
      elseif kind == 'g' then add(own .. ':retry', fields)
      elseif not later then add(log, fields)
      elseif redis.call('ZSCORE', KEYS[4], get(fields, 'mq-id')) then code = 'D'
      else hold(KEYS[4], KEYS[5], ARGV[2], get(fields, 'mq-id'), due, fields) end
    end)
    if not ok then code = type(err) == 'table' and err.err or tostring(err) end
    if not code then
      redis.pcall('SADD', KEYS[6], id)
      code = 'A'
    end
  end
  codes[#codes + 1] = code
end
return codes
