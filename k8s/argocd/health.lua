-- Health of a ModelVersion for Argo CD (docs/argocd.md), by the conditions of docs/modelversion.md.
local function condition(kind)
  for _, one in ipairs(obj.status and obj.status.conditions or {}) do
    if one.type == kind then
      return one
    end
  end
end

local function is_true(kind)
  local found = condition(kind)
  return found ~= nil and found.status == "True"
end

local ready = condition("Ready")
if ready == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return { status = "Progressing", message = "the operator has not looked at it yet" }
end

local message = ready.reason .. ": " .. (ready.message or "")
for _, kind in ipairs({ "Stalled", "Conflict", "Degraded" }) do
  if is_true(kind) then
    return { status = "Degraded", message = message }
  end
end
if ready.status == "True" then
  return { status = "Healthy", message = message }
end
if ready.reason == "Withdrawn" then
  -- Taken out, as was asked: only one that is served still, as nothing else may be, wants somebody.
  return { status = is_true("Live") and "Degraded" or "Healthy", message = message }
end
local waits = ready.reason == "Paused" or ready.reason == "DeploymentPaused" or obj.spec.paused
return { status = waits and "Suspended" or "Progressing", message = message }
