-- The client's side of a run. BENCH_LOAD=mixed asks for /slow in one request of a hundred, counted over all
-- connections (one thread). BENCH_LOAD=close asks for the end of the connection each time. For any other load no request
-- function is defined, and wrk repeats one constant request.

local connections = tonumber(os.getenv("BENCH_CONNECTIONS"))

if os.getenv("BENCH_LOAD") == "close" then
   wrk.headers["Connection"] = "close"
end

if os.getenv("BENCH_LOAD") == "mixed" then
   local count = 0
   local quick, slow

   function init(args)
      quick = wrk.format("GET", "/")
      slow = wrk.format("GET", "/slow")
   end

   function request()
      count = count + 1
      if count % 100 == 0 then return slow end
      return quick
   end
end

-- wrk "corrects" its latencies for coordinated omission: a request that took n times the mean interval e between two
-- requests of a connection is counted n - 1 times more, at latency - e, latency - 2e and so on. With requests that are
-- meant to sleep this makes half of the histogram imaginary, so it is undone here. With F the corrected cumulative
-- count, the number of real requests up to x is F(x) for x <= e, and F(x) - F(x + e) + F(2e) above; all are F(2e).
local function percentiles(latency, e, wanted)
   local function F(x) -- share of the corrected histogram up to x
      if x >= latency.max then return 1 end
      local low, high = 0, 100
      for _ = 1, 40 do
         local middle = (low + high) / 2
         if latency:percentile(middle) <= x then low = middle else high = middle end
      end
      return low / 100
   end
   local all = F(2 * e)
   local function real(x)
      if x <= e then return F(x) / all end
      return (F(x) - F(x + e) + all) / all
   end
   local found = {}
   for i, p in ipairs(wanted) do
      local low, high = 0, latency.max
      while high - low > 1 do
         local middle = math.floor((low + high) / 2)
         if real(middle) >= p / 100 then high = middle else low = middle end
      end
      found[i] = high
   end
   return found
end

function done(summary, latency, requests)
   local e = summary.errors
   local interval = math.floor(summary.duration / math.max(1, math.floor(summary.requests / connections)))
   local p = percentiles(latency, interval, {50, 90, 98, 99})
   io.write(string.format(
      '\nRESULT {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p90": %d, "p98": %d, "p99": %d, ' ..
      '"max": %d, "status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
      summary.requests, summary.duration, summary.bytes, p[1], p[2], p[3], p[4], latency.max,
      e.status, e.connect, e.read, e.write, e.timeout))
end
