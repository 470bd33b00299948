-- Closes a queue for publications, or opens it.   KEYS meta   ARGV 1 to close, 0 to open   → 1
if redis.call('HEXISTS', KEYS[1], 'format') == 0 then return redis.error_reply('NOTFOUND the queue is not declared') end
redis.call('HSET', KEYS[1], 'closed', ARGV[1])
return 1
