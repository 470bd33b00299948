-- KEYS log meta dlq registry   ARGV again dedupe_ms retention_ms max_ready ordering {group lease_ms max_attempts start retry}…
-- again: 1 when a client makes anew what it knows, and not what its user declares
-- → 'OK' | {'CONFLICT', what, wanted, found} | {'TRIMMED', group, ms from which all is kept} | {'DELETED'}
local log, meta, dlq, registry = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local again = table.remove(ARGV, 1)
for key, want in pairs({[log] = 'stream', [dlq] = 'stream', [meta] = 'hash', [registry] = 'set'}) do
  local found = redis.call('TYPE', key)['ok']
  if found ~= 'none' and found ~= want then return {'CONFLICT', "type of key '" .. key .. "'", want, found} end
end
local wanted = {
  {'format', '1'}, {'dedupe_ms', ARGV[1]}, {'retention_ms', ARGV[2]}, {'max_ready', ARGV[3]}, {'ordering', ARGV[4]}
}
for i = 5, #ARGV, 5 do
  wanted[#wanted + 1] = {'group:' .. ARGV[i] .. ':lease_ms', ARGV[i + 1]}
  wanted[#wanted + 1] = {'group:' .. ARGV[i] .. ':max_attempts', ARGV[i + 2]}
  local found = redis.call('TYPE', ARGV[i + 4])['ok']
  if found ~= 'none' and found ~= 'stream' then
    return {'CONFLICT', "type of key '" .. ARGV[i + 4] .. "'", 'stream', found}
  end
end
for _, w in ipairs(wanted) do
  local found = redis.call('HGET', meta, w[1])
  if found and found ~= w[2] then return {'CONFLICT', w[1], w[2], found} end
end
local existing = groups_of(log)
for i = 5, #ARGV, 5 do
  -- A group that begins at a time, and is new: what came after that time must all be there.
  local at = string.match(ARGV[i + 3], '^(%d+)%-18446744073709551615$')
  local complete = now() - tonumber(ARGV[2])
  if at and tonumber(at) + 1 < complete and redis.call('EXISTS', log) == 1 and not existing[ARGV[i]]
    and redis.call('HEXISTS', meta, 'group:' .. ARGV[i] .. ':floor') == 0 then
    local stream = info_of(log)
    if stream['length'] < stream['entries-added'] then return {'TRIMMED', ARGV[i], string.format('%d', complete)} end
  end
end
local deleted = redis.call('HGET', meta, 'deleted')
if deleted then
  if again == '1' then return {'DELETED'} end
  redis.call('PERSIST', meta)
  redis.call('HDEL', meta, 'deleted')
end
for _, w in ipairs(wanted) do redis.call('HSET', meta, w[1], w[2]) end
redis.call('SADD', registry, log)
for i = 5, #ARGV, 5 do
  local group, start, retry = ARGV[i], ARGV[i + 3], ARGV[i + 4]
  if not existing[group] then
    -- A group that was lost begins where it was known to be, never at the end.
    local floor = redis.call('HGET', meta, 'group:' .. group .. ':floor')
    if floor then
      local ms, seq = string.match(floor, '^(%d+)-(%d+)$')
      local n = tonumber(seq)
      if #seq > 15 then start = floor -- the position itself; see floor_of
      elseif n > 0 then start = ms .. '-' .. string.format('%d', n - 1)
      elseif ms == '0' then start = '0-0'
      else start = string.format('%d-18446744073709551615', tonumber(ms) - 1) end
    end
    create_group(log, group, start)
    local position = groups_of(log)[group]
    redis.call('HSET', meta, 'group:' .. group .. ':floor', floor_of(log, group, position))
  end
  if not groups_of(retry)[group] then redis.call('XGROUP', 'CREATE', retry, group, '0', 'MKSTREAM') end
end
return 'OK'
