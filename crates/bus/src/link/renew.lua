-- KEYS: the sorted set of nodes, the own lease, the own sessions.
-- ARGV: own instance, own name, lease in milliseconds, life of the sessions in milliseconds, how many nodes to list.
-- Answers whether the lease was still held, how many nodes live, and some whose lease has run out.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('EXISTS', KEYS[2])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local living = redis.call('ZCOUNT', KEYS[1], string.format('(%.0f', now), '+inf')
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, ARGV[5])
return {held, living, dead}
