-- What both scripts print at the end.
return function(summary, latency, threads)
  local bad, errors = 0, summary.errors
  for _, thread in ipairs(threads) do bad = bad + thread:get("bad") end
  bad = bad + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%f,"bad":%d,"p50_ms":%.3f,"p99_ms":%.3f}\n',
    summary.requests, summary.duration / 1e6, bad,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
