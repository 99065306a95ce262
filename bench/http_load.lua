-- The requests of one HTTP row, ready-made: one request a line, \1 for CR, \2 for LF, and eight \3 where the number of
-- the request goes, so that no two say the same. Every connection takes the next.
-- After the run one line "BENCH ..." tells what bench/http_load.py reads.

local before, after = {}, {}
local first, sent = 0, 0

function init(arguments)
  first = tonumber(arguments[2])
  for line in io.lines(arguments[1]) do
    local request = line:gsub("\1", "\r"):gsub("\2", "\n")
    local from, to = request:find("\3\3\3\3\3\3\3\3", 1, true)
    before[#before + 1] = request:sub(1, from - 1)
    after[#after + 1] = request:sub(to + 1)
  end
end

function request()
  local at = sent % #before + 1
  sent = sent + 1
  return before[at] .. string.format("%08d", (first + sent) % 100000000) .. after[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("BENCH %d %d %.1f %.1f %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
