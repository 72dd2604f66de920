-- What a site's scripts get from slurm_guard_submit.lua, with a `slurm` of our own; each failed line is printed.
local said, log = {}, {}
slurm = { SUCCESS = 0, ERROR = -1,
  user_msg = function() end,
  log_user = function(...) said[#said + 1] = string.format(...) end,
  log_error = function(...) log[#log + 1] = string.format(...) end,
  log_info = function(...) log[#log + 1] = string.format(...) end }
local before = { os = os, io = io, print = print }
os, io = nil, nil -- as if a site had taken them away: nothing here may need them
local guard = require("slurm_guard_submit")
local failed = 0

local function expect(name, got, wanted)
  if got ~= wanted then
    failed = failed + 1
    before.print(name .. ": got " .. tostring(got) .. ", wanted " .. tostring(wanted))
  end
end

local function submitted(name, desc, site, rc, comment, words)
  said, log = {}, {}
  expect(name .. ", status", guard.job_submit(desc, { gpu = { flag_default = 1 }, cpu = { flag_default = 0 } }, site), rc)
  expect(name .. ", comment", desc.comment, comment)
  local all = table.concat(said, "\n")
  if words then expect(name .. ", words in: " .. all, all:find(words, 1, true) ~= nil, true) else expect(name, all, "") end
  expect(name .. ", log", table.concat(log), "")
end

local SCRIPT = "#!/bin/sh\n#GUARD kind=pretrain\n#GUARD target=steps:5\ntrue\n"
local ASK = { require = { gpu = { "kind", "target" }, cpu = true } }
submitted("folded", { script = SCRIPT }, nil, 0, "guard:kind=pretrain;target=steps:5")
submitted("kept", { script = SCRIPT, comment = "mine" }, {}, 0, "mine guard:kind=pretrain;target=steps:5")
submitted("the command line holds", { script = SCRIPT, comment = "guard:kind=sft" }, {}, 0, "guard:kind=sft;target=steps:5")
submitted("nothing", { script = "true\n", comment = "mine" }, {}, 0, "mine")
submitted("interactive", {}, {}, 0, nil)
submitted("invalid, told", { script = "#GUARD kind=a b\n" }, {}, 0, nil, "line 1: kind: must be one word")
submitted("invalid, refused", { script = "#GUARD kind=a b\n" }, { reject_invalid = true }, -1, nil, "must be one word")
submitted("required, there", { script = SCRIPT, partition = "gpu" }, ASK, 0, "guard:kind=pretrain;target=steps:5")
submitted("required, absent", { script = "true\n", partition = "gpu" }, ASK, -1, nil, "missing: kind, target")
submitted("required, half", { script = "true", comment = "guard:kind=x", partition = "other,gpu" }, ASK, -1, "guard:kind=x", "missing: target")
submitted("default partition", { script = "true\n" }, ASK, -1, nil, "partition gpu")
submitted("any claim", { partition = "cpu", comment = "guard:budget=3" }, ASK, 0, "guard:budget=3")
submitted("not any", { partition = "cpu", comment = "note" }, ASK, -1, "note", "#GUARD kind=pretrain")
submitted("everywhere", { partition = "far" }, { require = { ["*"] = true } }, -1, nil, "partition far")
submitted("batch only", { partition = "gpu" }, { require = { gpu = true }, batch_only = true }, 0, nil)
submitted("a follower", { partition = "gpu", het_job_offset = 1 }, ASK, 0, nil)
submitted("a leader", { partition = "gpu", het_job_offset = 0 }, ASK, -1, nil, "missing")
submitted("no het job", { partition = "gpu", het_job_offset = 0xfffffffe }, ASK, -1, nil, "missing")
submitted("percent signs", { script = "#GUARD %s%d%n=1\n" }, {}, 0, nil, "%s%d%n")
submitted("bells", { script = "#GUARD \27[31m\7=1\n" }, {}, 0, nil, "?[31m?")

local extra = { script = SCRIPT, comment = "mine" }
guard.job_submit(extra, {}, { field = "extra" })
expect("in extra", extra.extra, "guard:kind=pretrain;target=steps:5")
expect("comment beside extra", extra.comment, "mine")

local many = { script = string.rep("#GUARD x=1\n", 900) }
said = {}
guard.job_submit(many, {}, {})
expect("a short message", #said, 9)

-- An error of ours lets the job through, and stands in the log.
local broken = setmetatable({}, { __index = function() error("boom\n\27") end })
log = {}
expect("broken", guard.job_submit(broken, {}, {}), 0)
expect("broken, modify", guard.job_modify(broken, {}, 0, {}), 0)
expect("broken, filter", guard.cli_pre_submit(broken, {}), 0)
expect("broken, log", #log == 3 and log[1]:find("boom??", 1, true) ~= nil, true)
expect("site is odd", guard.job_submit({ partition = "gpu" }, nil, { require = 5 }), 0)

-- A wish that is not understood is told, once, and asks nothing: not one job is refused by mistake.
local function odd_site(name, site, words, desc)
  said, log = {}, {}
  desc = desc or { partition = "gpu", script = "true" }
  for _ = 1, 2 do expect(name .. ", status", guard.job_submit(desc, nil, site), 0) end
  expect(name .. ", once", #log, type(site) == "table" and 1 or 2)
  expect(name .. ", words in: " .. (log[1] or ""), (log[1] or ""):find(words, 1, true) ~= nil, true)
  expect(name .. ", the user", table.concat(said), "")
end
odd_site("require is a string", { require = "gpu" }, "site.require is a string, and no partition asks for anything")
odd_site("require is true", { require = true }, "site.require is a boolean")
odd_site("require is a list", { require = { "gpu" } }, '["gpu"] = true }')
odd_site("a wish is a string", { require = { gpu = "kind" } }, 'site.require["gpu"] is a string: write true, or a list')
odd_site("a claim is misspelt", { require = { gpu = { "knd" } } }, "asks for knd, which is no claim")
odd_site("a claim is a key", { require = { gpu = { kind = true } } }, "asks for kind, which is no claim in a list")
odd_site("a key is misspelt", { requires = { gpu = true } }, "site has a key requires")
odd_site("a field that is none", { field = "coment" }, "site.field is neither")
odd_site("no boolean", { reject_invalid = "no" }, "site.reject_invalid is a string", { script = "true" })
odd_site("no table", "gpu", "site is a string and no table")
said, log = {}, {}
expect("no boolean, invalid", guard.job_submit({ script = "#GUARD kind=a b\n" }, nil, { reject_invalid = "no" }), 0)
expect("half a list holds", guard.job_submit({ partition = "gpu" }, nil, { require = { gpu = { "kind", "knd" } } }), -1)
expect("half a list, words", said[#said]:find("missing: kind\n", 1, true) ~= nil, true)
expect("false is a wish", guard.job_submit({ partition = "gpu" }, nil, { require = { gpu = false, ["*"] = true } }), 0)
expect("an empty list is any claim", guard.job_submit({ partition = "gpu" }, nil, { require = { gpu = {} } }), -1)

local function modified(name, rec, new, rc, comment, words, site, partition)
  said, log = {}, {}
  local desc = { comment = new, partition = partition }
  rec.job_id, rec.job_state = 7, rec.job_state or 0
  expect(name .. ", status", guard.job_modify(desc, rec, 1000, site), rc)
  expect(name .. ", comment", desc.comment, comment)
  local all = table.concat(said, "\n")
  if words then expect(name .. ", words in: " .. all, all:find(words, 1, true) ~= nil, true) else expect(name, all, "") end
end

modified("another field", { comment = "guard:kind=a" }, nil, 0, nil)
modified("blanked", { comment = "note guard:kind=a" }, "", 0, "guard:kind=a", "is kept in its comment")
modified("a new note", { comment = "guard:kind=a;budget=2" }, "new", 0, "new guard:kind=a;budget=2", "is kept")
modified("JSON", { comment = 'guard={"target":{"steps":5}}' }, "new", 0, 'new guard={"target":{"steps":5}}', "is kept")
modified("a site's JSON", { comment = "guard:kind=a" }, '{"x":1}', 0, '{"guard":{"kind":"a"},"x":1}', "is kept")
modified("declared anew", { comment = "guard:kind=a" }, "guard:kind=b", 0, "guard:kind=b")
expect("in the log", (log[1] or ""):find("uid 1000 changed the comment from guard:kind=a to guard:kind=b", 1, true) ~= nil, true)
modified("no room", { comment = "guard:kind=a" }, string.rep("x", 1020), -1, string.rep("x", 1020), "no room")
modified("never declared", { comment = "old" }, "new", 0, "new")
modified("less than asked", { comment = "guard:kind=a;target=steps:1", partition = "gpu" }, "guard:kind=b", -1, "guard:kind=b", "missing: target", ASK)
modified("it was so", { comment = "guard:kind=a", partition = "gpu" }, "guard:kind=b", 0, "guard:kind=b", nil, ASK)
modified("it runs", { comment = "guard:kind=a;target=steps:1", partition = "gpu", job_state = 1 }, "guard:kind=b", 0, "guard:kind=b", nil, ASK)
modified("to a partition that asks", { comment = "note", partition = "far" }, nil, -1, nil, "partition gpu", ASK, "gpu")

local function filtered(name, options, site, rc, comment)
  said = {}
  expect(name .. ", status", guard.cli_pre_submit(options, site), rc)
  expect(name .. ", comment", options.comment, comment)
end

filtered("sbatch's lines are not here", { type = "sbatch", partition = "gpu" }, ASK, 0, nil)
filtered("salloc is told", { type = "salloc", partition = "gpu" }, ASK, -1, nil)
filtered("salloc declares", { type = "salloc", partition = "gpu", comment = "guard:kind=a;target=steps:1" }, ASK, 0, "guard:kind=a;target=steps:1")
filtered("a script that the site read", { type = "sbatch" }, { script = SCRIPT }, 0, "guard:kind=pretrain;target=steps:5")

-- As in cli_filter.lua of later releases: a log_user without what it calls.
local user_msg, log_user = slurm.user_msg, slurm.log_user
slurm.user_msg, slurm.log_user = nil, function() error("attempt to call field 'user_msg'") end
log = {}
filtered("the terminal is told", { type = "srun", partition = "gpu" }, ASK, -1, nil)
expect("the terminal is told, words", (log[1] or ""):find("missing: kind, target", 1, true) ~= nil, true)
slurm.user_msg, slurm.log_user = user_msg, log_user

-- No text makes the work grow faster than itself: the worst that fits into the limits, and a script of 4 MB.
local worst = { string.rep("#GUARD progress=" .. string.rep(" ", 1000) .. "x\n", 60), string.rep("#GUARD " .. string.rep("guard={", 140) .. "\n", 60),
  "#GUARD budget=" .. string.rep("gpu-", 250) .. "\n", string.rep("x", 4194304), string.rep("\n", 4194304), string.rep("#GUARD kind=a\n", 4600) }
local texts = { string.rep("guard ", 170), "guard=" .. string.rep('{"a":', 200), "guard=" .. string.rep("[", 1000), "guard:" .. string.rep("a;", 500),
  'guard={"egress":"' .. string.rep(",", 1000) .. '"}', string.rep("guard:", 300000), "guard=" .. string.rep(" ", 1000) }
local begin = before.os.clock()
for _, script in ipairs(worst) do
  for _, text in ipairs(texts) do guard.job_submit({ script = script, comment = text }, {}, {}) end
end
local each = (before.os.clock() - begin) / (#worst * #texts)
expect("seconds of a hostile submission (" .. each .. ")", each < 0.05, true)
if before.os.getenv("SLURM_GUARD_TIMES") then
  local started = before.os.clock()
  for _ = 1, 20000 do guard.job_submit({ script = SCRIPT, comment = "mine" }, {}, ASK) end
  before.print(string.format("hostile %.2f ms, ordinary %.1f us", each * 1e3, (before.os.clock() - started) / 20000 * 1e6))
end
before.os.exit(failed == 0 and 0 or 1)
