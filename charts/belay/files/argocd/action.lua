-- A command with an id of its own: Belay carries out each id once. What Git says of the annotation, if anything, comes back by self-heal.
local os = require("os")
if obj.metadata.annotations == nil then obj.metadata.annotations = {} end
obj.metadata.annotations["belay.dev/command"] = "COMMAND@argocd-" .. os.time()
return obj
