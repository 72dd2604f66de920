-- Reads cases (comment, extra, script as x and hex; "-": none) from standard input, prints what the Lua module makes of
-- each in the words of tests/contract/test_lua.py.
local guard = require("slurm_guard_intent")

local function unhex(text)
  if text == "-" then return nil end
  return (text:sub(2):gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function hex(text)
  if text == nil then return "-" end
  return "x" .. (text:gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

local function number(value)
  return value == nil and "-" or string.format("%.17g", value)
end

local function about(intent)
  local target, egress = intent.target, "-"
  if intent.egress then egress = "x" .. table.concat(intent.egress, ",") end
  return table.concat({ hex(intent.kind), target and target[1] or "-", number(target and target[2]), egress,
    number(intent.budget), hex(intent.progress) }, " ")
end

for line in io.lines() do
  local comment, extra, script, field = line:match("^(%S+) (%S+) (%S+) (%S+)$")
  comment, extra, script = unhex(comment), unhex(extra), unhex(script)
  local intent = guard.parse(comment, extra)
  local new_comment, new_extra, problems = guard.fold(comment, extra, script, field)
  print(about(intent) .. "\t" .. table.concat(intent.problems, "\31") .. "\t" .. hex(new_comment) .. " "
    .. hex(new_extra) .. "\t" .. table.concat(problems, "\31"))
end
