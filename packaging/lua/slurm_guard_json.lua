-- JSON as Python's decoder takes it, and nothing else; for slurm_guard_intent.lua. Pure Lua 5.1 to 5.4, no I/O.
-- An object is { names = in their order, of = values by name }, so that a later value of a name can hold as there.

local MAX_DEPTH = 64
local MAX_DIGITS = 4300 -- of a whole number, as in Python

local NULL, ARRAY, OBJECT = {}, {}, {} -- null, and the metatables of arrays and objects

local function encode(code)
  if code < 0x80 then return string.char(code) end
  local tail = ""
  local top = 0x40
  while code >= top do
    tail = string.char(0x80 + code % 64) .. tail
    code = math.floor(code / 64)
    top = top == 0x40 and 0x20 or top / 2
  end
  return string.char((top == 0x20 and 0xc0 or top == 0x10 and 0xe0 or 0xf0) + code) .. tail
end

-- Each reader returns a value and the place after it, or nil.
local read_value

local function skip(text, at)
  return text:find("[^ \t\n\r]", at) or #text + 1
end

local ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function read_code(text, at)
  local hex = text:match("^\\u(%x%x%x%x)", at)
  return hex and tonumber(hex, 16)
end

local function read_string(text, at)
  local parts = {}
  at = at + 1
  while true do
    local stop = text:find('["\\%c]', at)
    if stop == nil then return nil end
    if text:byte(stop) == 0x7f then -- a control to Lua, a character to JSON
      parts[#parts + 1], at = text:sub(at, stop), stop + 1
    else
      parts[#parts + 1] = text:sub(at, stop - 1)
      local char = text:sub(stop, stop)
      if char == '"' then return table.concat(parts), stop + 1 end
      if char ~= "\\" then return nil end
      local code = read_code(text, stop)
      local plain = ESCAPES[text:sub(stop + 1, stop + 1)]
      if code then
        at = stop + 6
        local low = code >= 0xd800 and code <= 0xdbff and read_code(text, at)
        if low and low >= 0xdc00 and low <= 0xdfff then
          code, at = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00), at + 6
        end
        parts[#parts + 1] = encode(code)
      elseif plain then
        parts[#parts + 1], at = plain, stop + 2
      else
        return nil
      end
    end
  end
end

local function read_number(text, at)
  local whole = text:match("^-?[1-9]%d*", at) or text:match("^-?0", at)
  if whole == nil then return nil end
  local token = whole .. (text:match("^%.%d+", at + #whole) or "")
  token = token .. (text:match("^[eE][+-]?%d+", at + #token) or "")
  if token == whole and #(whole:gsub("-", "")) > MAX_DIGITS then return nil end
  return tonumber(token) + 0.0, at + #token
end

local function read_array(text, at, depth)
  local items = setmetatable({}, ARRAY)
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return items, at + 1 end
  while true do
    local value
    value, at = read_value(text, at, depth + 1)
    if value == nil then return nil end
    items[#items + 1] = value
    at = skip(text, at)
    local char = text:sub(at, at)
    if char == "]" then return items, at + 1 end
    if char ~= "," then return nil end
    at = skip(text, at + 1)
  end
end

-- Names in the order of their first appearance; the last value of a name holds.
local function read_object(text, at, depth)
  local object = setmetatable({ names = {}, of = {} }, OBJECT)
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    if text:sub(at, at) ~= '"' then return nil end
    local name, value
    name, at = read_string(text, at)
    if name == nil then return nil end
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then return nil end
    value, at = read_value(text, skip(text, at + 1), depth + 1)
    if value == nil then return nil end
    if object.of[name] == nil then object.names[#object.names + 1] = name end
    object.of[name] = value
    at = skip(text, at)
    local char = text:sub(at, at)
    if char == "}" then return object, at + 1 end
    if char ~= "," then return nil end
    at = skip(text, at + 1)
  end
end

function read_value(text, at, depth)
  if depth > MAX_DEPTH then return nil end
  local char = text:sub(at, at)
  if char == "{" then return read_object(text, at, depth) end
  if char == "[" then return read_array(text, at, depth) end
  if char == '"' then return read_string(text, at) end
  if text:sub(at, at + 3) == "null" then return NULL, at + 4 end
  if text:sub(at, at + 3) == "true" then return true, at + 4 end
  if text:sub(at, at + 4) == "false" then return false, at + 5 end
  return read_number(text, at)
end

local function is_equal(one, other)
  if type(one) ~= "table" or type(other) ~= "table" then return one == other end
  for key, value in pairs(one) do
    if not is_equal(value, other[key]) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return getmetatable(one) == getmetatable(other) and (one == NULL) == (other == NULL)
end

return { NULL = NULL, ARRAY = ARRAY, OBJECT = OBJECT, read = read_value, is_equal = is_equal }
