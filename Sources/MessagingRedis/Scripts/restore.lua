-- Writes messages in with the state that they had elsewhere.
-- KEYS log meta dlq due held restored   ARGV prefix-of-group-keys wake {id kind group due fields' count, field, value…}…
-- kind: q for every group, g for one, d a dead letter; due: ms or ''   → per message: A accepted, D done before, G no such
-- group, or the error of the command that was refused
local log, meta, dlq, words = KEYS[1], KEYS[2], KEYS[3], #ARGV
if redis.call('HEXISTS', meta, 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
local ids, i = {}, 3
while i <= words do
  ids[#ids + 1] = ARGV[i]
  i = i + 5 + ARGV[i + 4]
end
local known, declared_groups = redis.call('SMISMEMBER', KEYS[6], unpack(ids)), {}
local function is_declared(group)
  if declared_groups[group] == nil then
    declared_groups[group] = redis.call('HEXISTS', meta, 'group:' .. group .. ':lease_ms') == 1
  end
  return declared_groups[group]
end
local t, codes, done, fresh = now(), {}, {}, {}
i = 3
for k, id in ipairs(ids) do
  local kind, group, due, n = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local first = i + 5
  i = first + n
  local later = due and due > t
  local code
  if known[k] == 1 or done[id] then code = 'D'
  elseif kind ~= 'q' and not is_declared(group) then code = 'G'
  elseif kind ~= 'd' and not later then
    -- Most messages are ready, and are written without a list of their fields.
    local r = redis.pcall('XADD', kind == 'q' and log or ARGV[1] .. group .. ':retry', '*', unpack(ARGV, first, i - 1))
    if type(r) == 'table' then code = r.err end
  else
    local fields = {unpack(ARGV, first, i - 1)}
    -- What is refused for lack of memory raises here, before anything of this message is kept.
    local ok, err = pcall(function()
      local own = ARGV[1] .. group
      if kind == 'd' then
        add(dlq, fields)
        redis.call('HINCRBY', meta, 'group:' .. group .. ':dead', 1)
      elseif kind == 'g' then hold(own .. ':due', own .. ':held', ARGV[2], 'm' .. id, due, fields)
      elseif redis.call('ZSCORE', KEYS[4], get(fields, 'mq-id')) then code = 'D'
      else hold(KEYS[4], KEYS[5], ARGV[2], get(fields, 'mq-id'), due, fields) end
    end)
    if not ok then code = type(err) == 'table' and err.err or tostring(err) end
  end
  if not code then
    done[id] = true
    fresh[#fresh + 1] = id
    code = 'A'
  end
  codes[k] = code
end
-- Redis refuses nothing for lack of memory in a script that has written already.
if #fresh > 0 then redis.pcall('SADD', KEYS[6], unpack(fresh)) end
return codes
