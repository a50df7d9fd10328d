-- Sends the requests of a file, one after another and then again, and prints what came of it as one line of JSON.
-- The file holds whole HTTP requests, each after a line with its length in bytes. With a second argument each connection rests before
-- each request, for so many milliseconds on average.

local requests, count, next_one = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  for line in file:lines() do
    count = count + 1
    requests[count] = file:read(tonumber(line))
  end
  file:close()
  local rest = tonumber(arguments[2] or "0")
  if rest > 0 then
    function delay()
      return math.random(0, 2 * rest)
    end
  end
end

function request()
  next_one = next_one % count + 1
  return requests[next_one]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"answers":%d,"seconds":%.6f,"errors":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d},' ..
    '"latency_ms":{"p50":%.4f,"p90":%.4f,"p99":%.4f,"max":%.4f}}\n',
    summary.requests, summary.duration / 1e6,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
