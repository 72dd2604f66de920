-- What a job declares (docs/intent.md): read, checked, and folded from its script's #GUARD lines into its comment.
--
-- Pure Lua 5.1 to 5.4: no file, no program. Work is bounded by the limits below, whatever a user writes. A site calls
-- slurm_guard_submit.lua, not this.
-- The same language as slurm_guard/intent.py and declaration.py: tests/contract/test_lua.py holds both to one table.

local json = require("slurm_guard_json")

local M = { version = 1 }

local MAX_TEXT = 8192 -- characters of a comment or extra that is read
local MAX_FIELD = 1024 -- bytes; Slurm refuses a longer comment or extra
local MAX_HEAD, MAX_LINES, MAX_LINE = 65536, 1000, 1024 -- of a script: bytes, lines, bytes of a line
local MAX_ITEMS = 64 -- destinations of one declaration
local KEYS = { v = "v", kind = "kind", task = "kind", target = "target", egress = "egress",
  budget = "budget", progress = "progress" }
local ORDER = { "kind", "target", "budget", "egress", "progress" }
local UNITS = { steps = true, samples = true, tokens = true, epochs = true }
local FACTORS = { [""] = 1, k = 1e3, M = 1e6, G = 1e9, T = 1e12, P = 1e15 }
local TARGET = "target: must be steps:N, samples:N, tokens:N, epochs:N"
-- Code points that no path may have, as _ODD of intent.py.
local ODD = { { 0x7f, 0xa0 }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x1680, 0x1680 }, { 0x180e, 0x180e },
  { 0x2000, 0x200f }, { 0x2028, 0x202f }, { 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xd800, 0xf8ff },
  { 0xfeff, 0xfeff }, { 0xfff0, 0xffff }, { 0xe0000, 0x10ffff } }

local BLANK = { [0x20] = true, [0x09] = true, [0x0a] = true, [0x0b] = true, [0x0c] = true, [0x0d] = true }
local NULL, ARRAY, OBJECT = json.NULL, json.ARRAY, json.OBJECT

local function say(problems, text)
  problems[#problems + 1] = text
end

-- Without the blanks around it; from the end, byte by byte, since a lazy pattern is quadratic in a run of blanks.
local function strip(text)
  local first, last = text:find("[^ \t\n\r\f\v]"), #text
  if first == nil then return "" end
  while BLANK[text:byte(last)] do last = last - 1 end
  return text:sub(first, last)
end

-- Of a user's word, what may stand in a message.
local function shown(word)
  return "'" .. word:sub(1, 40):gsub("[^ -~]", "?") .. "'"
end

-- Text -----------------------------------------------------------------------------------------------------------

-- The code point that begins at a byte, and where the next one begins; nil: no UTF-8.
local function code_at(text, at)
  local lead = text:byte(at)
  if lead < 0x80 then return lead, at + 1 end
  local n = lead >= 0xf0 and 3 or lead >= 0xe0 and 2 or 1
  if lead < 0xc2 or lead > 0xf4 or at + n > #text then return nil end
  local code = lead % (n == 3 and 0x08 or n == 2 and 0x10 or 0x20)
  for k = at + 1, at + n do
    local byte = text:byte(k)
    if byte < 0x80 or byte > 0xbf then return nil end
    code = code * 64 + byte % 64
  end
  if (n == 2 and code < 0x800) or (n == 3 and code < 0x10000) or code > 0x10ffff then return nil end
  return code, at + n + 1
end

-- The number of a text's characters; nil where one is odd.
local function count_plain(text)
  local at, count = 1, 0
  while at <= #text do
    local code, next_at = code_at(text, at)
    if code == nil or code < 0x20 then return nil end
    for _, range in ipairs(ODD) do
      if code >= range[1] and code <= range[2] then return nil end
    end
    at, count = next_at, count + 1
  end
  return count
end

-- The declaration inside a text ------------------------------------------------------------------------------------

-- What `tail` matches behind the first fitting `word`, where no word goes on before it.
local function find_after(text, word, tail, alone)
  local at = 1
  while true do
    local first, last = text:find(word, at, true)
    if first == nil then return nil end
    local found = text:match(tail, last + 1)
    if found and not (alone and first > 1 and text:find("^[A-Za-z0-9_]", first - 1)) then return found end
    at = last + 1
  end
end

local function json_at(text)
  return find_after(text, "guard", "^[ \t\n\r\f\v]*=[ \t\n\r\f\v]*(){", true)
    or find_after(text, '"guard"', "^[ \t\n\r\f\v]*:[ \t\n\r\f\v]*(){", false)
end

-- Where the pairs of guard:k=v;k=v begin and end.
local function pairs_at(text)
  local first = find_after(text, "guard", "^:()[^ \t\n\r\f\v]", true)
  if first == nil then return nil end
  return first, (text:find("[ \t\n\r\f\v]", first) or #text + 1) - 1
end

local function read_pairs(text)
  local object = setmetatable({ names = {}, of = {} }, OBJECT)
  local first, last = pairs_at(text)
  for item in (first and text:sub(first, last) or ""):gmatch("[^;]+") do
    local key, value = item:match("^([^=]*)=?(.*)$")
    if object.of[key] == nil then object.names[#object.names + 1] = key end
    object.of[key] = value
  end
  return object
end

-- The claims of a text under their keys, as they stand there.
local function find_claims(name, text, problems)
  local claims = {}
  if text == nil or not text:find("guard", 1, true) then return claims end
  if #text > 4 * MAX_TEXT or (#text > MAX_TEXT and select(2, text:gsub("[^\128-\191]", "")) > MAX_TEXT) then
    say(problems, name .. ": longer than " .. MAX_TEXT .. " characters")
    return claims
  end
  local at = json_at(text)
  local object
  if at then object = json.read(text, at, 1) else object = read_pairs(text) end
  if object == nil then
    say(problems, name .. ": what follows guard is not JSON")
    return claims
  end
  for _, key in ipairs(object.names) do
    if KEYS[key] then
      claims[KEYS[key]] = object.of[key]
    else
      say(problems, name .. ": no claim is called " .. shown(key))
    end
  end
  return claims
end

-- Claims in their types --------------------------------------------------------------------------------------------

local function amount_of(value)
  local amount
  if type(value) == "number" then
    amount = value
  elseif type(value) == "string" then
    local text = strip(value)
    local whole = #text <= 40 and text:match("^%d+")
    if not whole then return nil end
    local number = whole .. (text:match("^%.%d+", #whole + 1) or "")
    number = number .. (text:match("^[eE]%+?%d%d?%d?", #number + 1) or "")
    local factor = FACTORS[text:sub(#number + 1)]
    amount = factor and tonumber(number) * factor
  end
  return amount and amount >= 0 and amount < math.huge and amount or nil
end

local function target_of(value, problems)
  local unit, raw = "", nil
  if getmetatable(value) == OBJECT and #value.names == 1 then
    unit, raw = value.names[1], value.of[value.names[1]]
  elseif type(value) == "string" then
    unit, raw = value:match("^([^:]*):?(.*)$")
  end
  if unit:sub(-1) ~= "s" then unit = unit .. "s" end
  local amount = amount_of(raw)
  if UNITS[unit] and amount and amount > 0 then return { unit, amount } end
  say(problems, TARGET)
end

local function egress_of(value, problems)
  if value == "none" then return {} end
  local places = value
  if type(value) == "string" then
    places = setmetatable({}, ARRAY)
    for place in (value .. ","):gmatch("([^,]*),") do places[#places + 1] = place end
  end
  local right = getmetatable(places) == ARRAY and #places <= MAX_ITEMS
  for k = 1, right and #places or 0 do
    local place = places[k]
    right = right and type(place) == "string" and #place <= 255 and place:find("^[A-Za-z0-9_.*:%[%]/-]+$") ~= nil
  end
  if right then return places end
  say(problems, "egress: must be up to " .. MAX_ITEMS .. " of host, host:port or network")
end

local function budget_of(value, problems)
  local text = value
  if type(value) == "string" then
    text = strip(value)
    text = text:match("^(.*)gpu%-h$") or text:match("^(.*)gpuh$") or text:match("^(.*)h$") or text
  end
  local amount = amount_of(text)
  if amount == nil then say(problems, "budget: must be a number of GPU-hours") end
  return amount
end

local function kind_of(value, problems)
  if type(value) == "string" and #value <= 64 and value:find("^[A-Za-z][A-Za-z0-9_.-]*$") then return value:lower() end
  say(problems, "kind: must be one word")
end

local function progress_of(value, problems)
  local count = type(value) == "string" and #value <= 4096 and count_plain(value)
  if count and count > 0 and count <= 1024 then return value end
  say(problems, "progress: must be the path of a file")
end

local READERS = { kind = kind_of, target = target_of, egress = egress_of, budget = budget_of, progress = progress_of }

local function check_claims(claims, problems)
  local v = claims.v
  if v ~= nil and v ~= 1 and v ~= "1" and v ~= true then say(problems, "v: this release reads version 1") end
  local intent = { problems = problems }
  for _, key in ipairs({ "kind", "target", "egress", "budget", "progress" }) do
    local value = claims[key]
    if value ~= nil and value ~= NULL then intent[key] = READERS[key](value, problems) end
  end
  return intent
end

-- The claims of both texts, as parse_intent of intent.py; extra's come before comment's.
function M.parse(comment, extra)
  local problems = {}
  local claims = find_claims("comment", comment, problems)
  for key, value in pairs(find_claims("extra", extra, problems)) do claims[key] = value end
  return check_claims(claims, problems)
end

-- Folding ----------------------------------------------------------------------------------------------------------

local function read_line(where, line, claims, problems)
  if #line > MAX_LINE then return say(problems, where .. ": longer than " .. MAX_LINE .. " bytes") end
  local key, equals, value = line:match("^([^=]*)(=?)(.*)$")
  key, value = strip(key), strip(value)
  local quote = value:sub(1, 1)
  if #value >= 2 and (quote == '"' or quote == "'") and value:sub(-1) == quote then value = value:sub(2, -2) end
  local said = {}
  if equals == "" then
    say(said, "must be #GUARD key=value")
  elseif KEYS[key] == nil then
    say(said, "no claim is called " .. shown(key))
  else
    check_claims({ [KEYS[key]] = value }, said)
    if #said == 0 then claims[KEYS[key]] = value end
  end
  for _, problem in ipairs(said) do say(problems, where .. ": " .. problem) end
end

-- The claims of a script's #GUARD lines, above its first command.
local function read_lines(script)
  local claims, problems = {}, {}
  local whole = #script <= MAX_HEAD
  local head = script:sub(1, MAX_HEAD)
  local at, number = 1, 0
  while number < MAX_LINES and at <= #head do
    local stop = head:find("\n", at, true)
    if stop == nil and not whole then break end
    local line = head:sub(at, (stop or #head + 1) - 1)
    at, number = (stop or #head) + 1, number + 1
    if line:find("^[ \t\r\f\v]*[^# \t\r\f\v]") then break end
    local words = line:match("^#GUARD([ \t].*)$")
    if words then read_line("line " .. number, words, claims, problems) end
  end
  return claims, problems
end

local function quoted(value)
  return '"' .. value:gsub('[\\"]', "\\%0") .. '"'
end

local function members_of(claims)
  local parts = {}
  for _, key in ipairs(ORDER) do
    if claims[key] then parts[#parts + 1] = '"' .. key .. '":' .. quoted(claims[key]) end
  end
  return table.concat(parts, ",")
end

local function into_object(text, at, members)
  local rest = text:sub(at + 1)
  return text:sub(1, at) .. members .. (rest:find("^[ \t\n\r\f\v]*}") and "" or ",") .. rest
end

local function is_object(text, at)
  if at == nil or text:sub(at, at) ~= "{" then return false end
  local value, stop = json.read(text, at, 1)
  return value ~= nil and not text:find("[^ \t\n\r\f\v]", stop)
end

local function insert(text, claims)
  local at = json_at(text)
  if at then return into_object(text, at, members_of(claims)) end
  local plain, parts = true, {}
  for _, key in ipairs(ORDER) do
    if claims[key] then
      plain = plain and claims[key]:find("^[^; \t\n\r\f\v]+$") ~= nil
      parts[#parts + 1] = key .. "=" .. claims[key]
    end
  end
  local joined = table.concat(parts, ";")
  local first, last = pairs_at(text)
  if first then
    local glue = text:sub(last, last) == ";" and "" or ";"
    return plain and text:sub(1, last) .. glue .. joined .. text:sub(last + 1) or nil
  end
  local begin = text:find("[^ \t\n\r\f\v]")
  if is_object(text, begin) then return into_object(text, begin, '"guard":{' .. members_of(claims) .. "}") end
  local new = plain and "guard:" .. joined or "guard={" .. members_of(claims) .. "}"
  return begin and text .. " " .. new or new
end

-- The text with more claims, nothing of it taken away; nil where that cannot be done.
local function add_claims(text, claims)
  text = text or ""
  local added = #text <= MAX_FIELD and insert(text, claims) or nil
  if added == nil or #added > MAX_FIELD then return nil end
  local before, after = {}, {}
  local expected, back = find_claims("", text, before), find_claims("", added, after)
  for key, value in pairs(claims) do expected[key] = value end
  return json.is_equal(expected, back) and json.is_equal(before, after) and added or nil
end

-- The texts with the script's claims in `field`, as fold of declaration.py: comment, extra, problems.
function M.fold(comment, extra, script, field)
  local texts = { comment = comment, extra = extra }
  local claims, problems = read_lines(script or "")
  local stated = find_claims("comment", comment, {})
  for key, value in pairs(find_claims("extra", extra, {})) do stated[key] = value end
  local missing, names = {}, {}
  for _, key in ipairs(ORDER) do
    if claims[key] and stated[key] == nil then
      missing[key], names[#names + 1] = claims[key], key
    end
  end
  if #names > 0 then
    local added = add_claims(texts[field], missing)
    if added then
      texts[field] = added
    else
      say(problems, field .. ": the script's " .. table.concat(names, ", ") .. " could not be added to what stands there")
    end
  end
  for _, problem in ipairs(M.parse(texts.comment, texts.extra).problems) do say(problems, problem) end
  return texts.comment, texts.extra, problems
end

M.find_claims, M.add_claims, M.check_claims = find_claims, add_claims, check_claims
M.json_at, M.pairs_at, M.order = json_at, pairs_at, ORDER
return M
