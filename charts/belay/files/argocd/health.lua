-- Health of Belay's three kinds for Argo CD: their conditions are kstatus's, which Argo CD does not read by itself.
local health = {status = "Progressing", message = "Belay has not looked at this generation yet"}
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration == nil
    or status.observedGeneration < obj.metadata.generation then
  return health
end
local is = {}
for _, condition in ipairs(status.conditions) do is[condition.type] = condition end
local ready, stalled = is["Ready"], is["Stalled"]
if ready == nil then return health end
-- For a person, for time, or for data that only others can bring: nothing is wrong, and nothing goes on by itself.
local waits = {ApprovalNeeded = true, Paused = true, OutsideWindows = true, Holding = true, GraceTooShort = true,
    Suspended = true, BudgetSpent = true}
-- Belay tries on, and somebody has to mend it.
local broken = {ArtifactNotFound = true, PodStartFailed = true, ChildRefused = true, ChildConflict = true}
health.message = ready.reason .. ": " .. (ready.message or "")
if ready.status == "True" then health.status = "Healthy"
elseif waits[ready.reason] then health.status = "Suspended"
elseif broken[ready.reason] or (stalled ~= nil and stalled.status == "True") then health.status = "Degraded"
end
return health
