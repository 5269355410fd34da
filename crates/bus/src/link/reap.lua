-- KEYS: the sorted set of nodes, the lease and the sessions of the node to reap.
-- ARGV: its instance, how many sessions to take at most.
-- Answers the sessions that were taken (session, user, ...) and whether any are left. A node that lives is left alone.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) > now or redis.call('EXISTS', KEYS[2]) == 1 then
  return {{}, 0}
end
local taken = redis.call('HRANDFIELD', KEYS[3], ARGV[2], 'WITHVALUES')
for i = 1, #taken, 2 do
  redis.call('HDEL', KEYS[3], taken[i])
end
local left = redis.call('EXISTS', KEYS[3])
if left == 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return {taken, left}
