-- The requests of one HTTP row, ready-made: one request a line, \1 for CR, \2 for LF. Every connection takes the next.
-- After the run one line "BENCH ..." tells what bench/http_load.py reads.

local requests = {}
local sent = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = line:gsub("\1", "\r"):gsub("\2", "\n")
  end
end

function request()
  sent = sent + 1
  return requests[(sent - 1) % #requests + 1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("BENCH %d %d %.1f %.1f %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
