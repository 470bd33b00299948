-- KEYS log meta dlq   ARGV prefix-of-group-keys id…   → 1 sent, 0 not there or its group is not, per id
local own = {
  ['original_message_id'] = true, ['error'] = true, ['failed_at'] = true, ['mq-group'] = true, ['mq-reason'] = true,
  ['mq-attempts'] = true, ['retry_count'] = true, ['mq-redrives'] = true
}
local result = {}
for i = 2, #ARGV do
  local e = redis.call('XRANGE', KEYS[3], ARGV[i], ARGV[i])
  result[i - 1] = 0
  if #e == 1 then
    local fields, all, group = {}, e[1][2], get(e[1][2], 'mq-group')
    for f = 1, #all, 2 do
      if not own[all[f]] then
        fields[#fields + 1] = all[f]
        fields[#fields + 1] = all[f + 1]
      end
    end
    if not get(fields, 'mq-id') then put(fields, 'mq-id', get(all, 'original_message_id') or ARGV[i]) end
    put(fields, 'mq-redrives', string.format('%d', (tonumber(get(all, 'mq-redrives') or '0') or 0) + 1))
    -- A dead letter that another program wrote names no group: then every group gets it.
    local target = group and (ARGV[1] .. group .. ':retry') or KEYS[1]
    if not group or groups_of(target)[group] then
      add(target, fields)
      redis.call('XDEL', KEYS[3], ARGV[i])
      if group then redis.call('HINCRBY', KEYS[2], 'group:' .. group .. ':dead', -1) end
      result[i - 1] = 1
    end
  end
end
return result
