-- Which commands a rollout takes now.
local status = obj.status or {}
local waits = ""
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then waits = condition.reason end
end
local trial = status.candidate ~= nil and status.phase ~= "RollingBack"
local rejected = status.rejectedDigests ~= nil and #status.rejectedDigests > 0
return {
  promote = {disabled = not trial},
  abort = {disabled = not trial},
  skip = {disabled = not trial},
  pause = {disabled = not trial or status.paused ~= nil},
  resume = {disabled = not trial or not (status.paused ~= nil or waits == "Paused")},
  approve = {disabled = waits ~= "ApprovalNeeded"},
  retry = {disabled = status.candidate ~= nil or not rejected},
  undo = {disabled = status.candidate ~= nil or status.previous == nil}
}
