-- The rule of gcra.rs inside Redis: one cell, one atomic decision. A cell is "micros:rest"; the limit is units per
-- minute. All numbers stay below 2^53, where floating point is exact.
local limit = tonumber(ARGV[1])
local units = tonumber(ARGV[2])
local now
if ARGV[3] then
  now = tonumber(ARGV[3])
else
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local period = 60000000
local full = period * limit
local debt = 0
local cell = redis.call('GET', KEYS[1])
if cell then
  local micros, rest = string.match(cell, '^(%d+):(%d+)$')
  if micros and tonumber(micros) >= now then
    local ahead = math.min(tonumber(micros) - now, period)
    debt = math.min(ahead * limit + math.min(tonumber(rest), limit - 1), full)
  end
end
local allowed = 0
if units < 0 then
  debt = math.max(debt - period, 0)
  allowed = 1
elseif debt + period <= full then
  debt = debt + period
  allowed = 1
end
if allowed == 1 then
  if debt == 0 then
    redis.call('DEL', KEYS[1])
  else
    local rest = debt % limit
    local ahead = (debt - rest) / limit
    -- A moved clock (tests) must not outlive the key, so the key lives a period at least there.
    local life = ARGV[3] and 3600000 or math.ceil((ahead + 1) / 1000)
    redis.call('SET', KEYS[1], string.format('%.0f:%.0f', now + ahead, rest), 'PX', string.format('%.0f', life))
  end
end
return {allowed, string.format('%.0f', debt)}
