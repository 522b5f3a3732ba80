-- GET one page again and again, with the Cookie lines of the file COOKIES in turn.
-- A good answer is a 200 that holds EXPECT. Prints "RESULT {json}" at the end.
local cookies, expect, n = {}, os.getenv("EXPECT"), 0
bad = 0
local file = os.getenv("COOKIES")
if file then for line in io.lines(file) do cookies[#cookies + 1] = line end end
local threads = {}
function setup(thread) threads[#threads + 1] = thread end

function request()
  n = n + 1
  local headers = {}
  if #cookies > 0 then headers["Cookie"] = cookies[n % #cookies + 1] end
  return wrk.format("GET", nil, headers)
end

function response(status, _, body)
  if status ~= 200 or not body:find(expect, 1, true) then bad = bad + 1 end
end

function done(summary, latency)
  dofile(os.getenv("RESULT_LUA"))(summary, latency, threads)
end
