-- KEYS[1]: hash of one scope, instance -> connections it holds.
-- ARGV: own instance, how many it holds, how many more it wants, the maximum over all instances, life of the hash in
-- milliseconds, then the instances known to be dead.
-- The own count is set and not added to, so a repeated or late call does no harm.
-- Answers how many more were let in and, if not all were, the other instances that hold some.
local own, held, want, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for i = 6, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[i])
end
local granted = 0
local others = {}
if want > 0 then
  local total = held
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if fields[i] ~= own then
      total = total + (tonumber(fields[i + 1]) or 0)
      others[#others + 1] = fields[i]
    end
  end
  granted = math.max(0, math.min(want, max - total))
end
if held + granted > 0 then
  redis.call('HSET', KEYS[1], own, held + granted)
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
else
  redis.call('HDEL', KEYS[1], own)
end
if granted < want then
  return {granted, others}
end
return {granted, {}}
