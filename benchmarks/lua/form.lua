-- POST a form again and again. COOKIES: a Cookie header a line, used in turn. BODY: the
-- form, in which {n} becomes a number that never repeats. A good answer has the status
-- STATUS. Each request comes from another address, told as a trusted proxy would.
local cookies, n = {}, 0
bad = 0
for line in io.lines(os.getenv("COOKIES")) do cookies[#cookies + 1] = line end
local body, want, agent = os.getenv("BODY"), tonumber(os.getenv("STATUS")), os.getenv("AGENT")
local run, csrf = os.getenv("RUN"), string.rep("k", 32)
local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function request()
  n = n + 1
  return wrk.format("POST", nil, {
    ["Cookie"] = cookies[n % #cookies + 1] .. "; csrftoken=" .. csrf,
    ["Content-Type"] = "application/x-www-form-urlencoded",
    ["User-Agent"] = agent,
    ["X-Forwarded-For"] = string.format("10.%d.%d.%d", n / 65536 % 256, n / 256 % 256, n % 256),
  }, (body:gsub("{n}", run .. string.format("%08d", n))) .. "&csrfmiddlewaretoken=" .. csrf)
end

function response(status) if status ~= want then bad = bad + 1 end end

function done(summary, latency)
  dofile(os.getenv("RESULT_LUA"))(summary, latency, threads)
end
