-- What a site's own job_submit.lua and cli_filter.lua call, one line each (the examples beside this file).
--
-- Each function is a pcall: an error of ours is a line in slurmctld's log, and the job goes through. `site` is a table
-- of the site's wishes, all of them optional. What of it is not understood is an error in the log (once, as long as
-- the table is the same), and asks nothing of any job:
--   field = "comment"           where intents are kept: "comment", or "extra" (Slurm 23.02; not with extra_constraints)
--   require = { gpu = true, a100 = { "kind", "target" } }  partitions that ask for any, or for these claims
--   batch_only = true           … of batch scripts alone: salloc and srun have no lines to read
--   reject_invalid = true       a declaration that cannot be understood is refused everywhere, not only told
--   help = "See https://…"      a last sentence for the user

local intent = require("slurm_guard_intent")

local M = {}

local CLAIMS = { "kind", "target", "budget", "egress", "progress" }
local EXAMPLES = { kind = "pretrain", target = "steps:20000", budget = "400", egress = "s3.example.org:443",
  progress = "logs/metrics.jsonl" }
local MAX_SAID = 8 -- problems that one message names
local NO_OFFSET = 0xfffffffe -- het_job_offset of a job that is not heterogeneous
local PENDING = 0

-- In cli_filter.lua log_error writes to the user's terminal; later releases have a log_user there that calls what
-- only job_submit.lua has.
local function tell(text)
  local say = slurm.user_msg and slurm.log_user or slurm.log_error
  say("%s", "slurm-guard: " .. text)
end

-- Of a text from a user, what a log line may hold.
local function clean(text)
  return (text:sub(1, 200):gsub("[^ -~]", "?"))
end

local function tell_problems(problems)
  for k = 1, math.min(#problems, MAX_SAID) do tell("not understood: " .. clean(problems[k])) end
  if #problems > MAX_SAID then tell("… and " .. #problems - MAX_SAID .. " more") end
end

-- The site's wishes -------------------------------------------------------------------------------------------------

local BOOLEANS = { batch_only = true, reject_invalid = true }
local KEYS = { require = true, field = true, batch_only = true, reject_invalid = true, help = true, script = true }
local IS_CLAIM = {}
for _, key in ipairs(CLAIMS) do IS_CLAIM[key] = true end

-- What a partition asks for: true, false, or a list of claims. A job cannot have a claim that does not exist.
local function wish_of(name, wish, odd)
  local where = "site.require[" .. string.format("%q", tostring(name)) .. "]"
  if type(name) ~= "string" then
    odd(where .. " names no partition: write { [" .. string.format("%q", tostring(wish)) .. "] = true }")
    return false
  end
  if type(wish) == "boolean" then return wish end
  if type(wish) ~= "table" then
    odd(where .. " is a " .. type(wish) .. ": write true, or a list as { \"kind\" }")
    return false
  end
  local names, fine = {}, next(wish) == nil
  for key, claim in pairs(wish) do
    if type(key) ~= "number" or not IS_CLAIM[claim] then
      odd(where .. " asks for " .. tostring(type(key) == "number" and claim or key) .. ", which is no claim in a list as { \"kind\" }")
    else
      fine = true
    end
  end
  for _, claim in ipairs(wish) do
    if IS_CLAIM[claim] then names[#names + 1] = claim end
  end
  return fine and names
end

local function require_of(require_, odd)
  if require_ == nil or require_ == false then return nil end
  if type(require_) ~= "table" then
    odd("site.require is a " .. type(require_) .. ", and no partition asks for anything: write { gpu = true }")
    return nil
  end
  local wishes = {}
  for name, wish in pairs(require_) do wishes[name] = wish_of(name, wish, odd) end
  return wishes
end

local function read_site(site, odd)
  local read = {}
  for key, value in pairs(site) do
    if not KEYS[key] then
      odd("site has a key " .. tostring(key) .. ", which means nothing")
    elseif BOOLEANS[key] and type(value) ~= "boolean" then
      odd("site." .. key .. " is a " .. type(value) .. ": write true or false")
      read[key] = key == "batch_only" -- either way less is refused
    else
      read[key] = value
    end
  end
  if site.field ~= nil and site.field ~= "comment" and site.field ~= "extra" then
    odd("site.field is neither \"comment\" nor \"extra\"")
    read.field = nil
  end
  if site.help ~= nil and type(site.help) ~= "string" then
    odd("site.help is a " .. type(site.help) .. ": write a sentence")
    read.help = nil
  end
  read.require = require_of(site.require, odd)
  return read
end

local told = setmetatable({}, { __mode = "k" }) -- tables whose faults stand in the log

-- The site's table as far as it is understood.
local function wishes_of(site)
  if site == nil then return {} end
  local first = true
  local function odd(text)
    if first then slurm.log_error("slurm_guard: %s", clean(text)) end
  end
  if type(site) ~= "table" then
    odd("site is a " .. type(site) .. " and no table: no job is asked for anything")
    return {}
  end
  first = not told[site]
  local read = read_site(site, odd)
  told[site] = true
  return read
end

-- What the site asks of a job in these partitions: (partition, names of claims), nil: nothing.
local function wanted_in(partitions, require_)
  for name in (partitions or ""):gmatch("[^,]+") do
    local wish = require_[name]
    if wish == nil then wish = require_["*"] end
    if wish then return name, type(wish) == "table" and wish or {} end
  end
end

local function default_partition(part_list)
  for name, part in pairs(part_list or {}) do
    if (part.flag_default or 0) ~= 0 then return name end
  end
end

-- The claims that are asked for and missing; of `true` any one would do.
local function missing_of(found, names)
  if #names == 0 then
    for _, key in ipairs(CLAIMS) do
      if found[key] ~= nil then return {} end
    end
    return { "kind" }
  end
  local missing = {}
  for _, key in ipairs(names) do
    if found[key] == nil then missing[#missing + 1] = key end
  end
  return missing
end

local function tell_missing(partition, missing, site)
  local lines, pairs_ = {}, {}
  for k, key in ipairs(missing) do
    local example = key .. "=" .. (EXAMPLES[key] or "…")
    lines[k], pairs_[k] = "    #GUARD " .. example, example
  end
  tell("partition " .. clean(partition) .. " asks what a job is for; missing: " .. table.concat(missing, ", ")
    .. "\n  Add to the batch script, above its first command:\n" .. table.concat(lines, "\n")
    .. "\n  or submit with --comment='guard:" .. table.concat(pairs_, ";") .. "' (`slurm-guard declare` helps)"
    .. (site.help and "\n  " .. site.help or ""))
end

local function guarded(work)
  local fine, verdict = pcall(work)
  if fine then return verdict end
  pcall(slurm.log_error, "slurm_guard: %s", clean(tostring(verdict)))
  return slurm.SUCCESS
end

-- Submission -----------------------------------------------------------------------------------------------------

local function submit(desc, part_list, site)
  local script = desc.script
  local comment, extra, problems = intent.fold(desc.comment, desc.extra, script, site.field or "comment")
  if comment ~= desc.comment then desc.comment = comment end
  if extra ~= desc.extra then desc.extra = extra end
  tell_problems(problems)
  if site.reject_invalid and #problems > 0 then return slurm.ERROR end
  local offset = desc.het_job_offset
  local follower = offset and offset > 0 and offset < NO_OFFSET -- its leader has the script
  if not site.require or follower or (site.batch_only and script == nil) then return slurm.SUCCESS end
  local partition, names = wanted_in(desc.partition or default_partition(part_list), site.require)
  local missing = partition and missing_of(intent.parse(comment, extra), names) or {}
  if #missing == 0 then return slurm.SUCCESS end
  tell_missing(partition, missing, site)
  return slurm.ERROR
end

-- For slurm_job_submit: slurm.SUCCESS, or slurm.ERROR with the reason told to the user.
function M.job_submit(job_desc, part_list, site)
  return guarded(function() return submit(job_desc, part_list, wishes_of(site)) end)
end

-- Modification ---------------------------------------------------------------------------------------------------

-- The text with what the job declared before, where the new one declares nothing; nil: it does not fit.
local function keep(old, new)
  local problems = {}
  local before, after = intent.find_claims("", old, problems), intent.find_claims("", new, problems)
  if next(before) == nil or next(after) ~= nil or #problems > 0 then return new end
  local texts_alone = true
  for _, value in pairs(before) do texts_alone = texts_alone and type(value) == "string" end
  if texts_alone then return intent.add_claims(new, before) end
  local added = new == "" and old or new .. " " .. old -- claims in JSON: the whole text they stand in
  return #added <= 1024 and added or nil
end

local function modify(desc, rec, uid)
  for _, field in ipairs({ "comment", "extra" }) do
    local new = desc[field]
    if new ~= nil then
      local old = rec[field] or ""
      local kept = keep(old, new)
      if kept == nil then
        tell("the new " .. field .. " leaves no room for what the job declared; shorten it, or declare anew in it")
        return slurm.ERROR
      end
      if kept ~= new then
        desc[field] = kept
        tell("the job's declaration is kept in its " .. field .. "; to change it, write guard:… in the new one")
      end
      if kept ~= old and next(intent.find_claims("", old, {})) ~= nil then
        slurm.log_info("slurm_guard: JobId=%s: uid %s changed the %s from %s to %s", tostring(rec.job_id),
          tostring(uid), field, clean(old), clean(kept))
      end
    end
  end
  return slurm.SUCCESS
end

-- Whether a waiting job would no longer have what its partition asks for, and has it now.
local function is_worse(desc, rec, site)
  if not site.require or rec.job_state ~= PENDING then return false end
  local comment, extra = desc.comment or rec.comment, desc.extra
  if extra == nil and site.field == "extra" then extra = rec.extra end
  local partition, names = wanted_in(desc.partition or rec.partition, site.require)
  local missing = partition and missing_of(intent.parse(comment, extra), names) or {}
  if #missing == 0 then return false end
  local before = missing_of(intent.parse(rec.comment, site.field == "extra" and rec.extra or nil), names)
  if desc.partition == nil and #before > 0 then return false end -- it was so before this change
  tell_missing(partition, missing, site)
  return true
end

-- For slurm_job_modify: a comment that declares nothing does not take away what the job declared. A new declaration
-- holds, and stands in slurmctld's log beside the old one.
function M.job_modify(job_desc, job_rec, modify_uid, site)
  return guarded(function()
    local wishes = wishes_of(site)
    local verdict = modify(job_desc, job_rec, modify_uid)
    if verdict == slurm.SUCCESS and is_worse(job_desc, job_rec, wishes) then return slurm.ERROR end
    return verdict
  end)
end

-- On the login node ----------------------------------------------------------------------------------------------

local function filter(options, site)
  local script = site.script
  local comment, extra, problems = intent.fold(options.comment, options.extra, script, site.field or "comment")
  if comment ~= options.comment then options.comment = comment end
  if extra ~= options.extra then options.extra = extra end
  tell_problems(problems)
  if site.reject_invalid and #problems > 0 then return slurm.ERROR end
  local unseen = options.type == "sbatch" and script == nil -- its lines are slurmctld's to read
  if not site.require or unseen or (site.batch_only and options.type ~= "sbatch") then return slurm.SUCCESS end
  local partition, names = wanted_in(options.partition, site.require)
  local missing = partition and missing_of(intent.parse(comment, extra), names) or {}
  if #missing == 0 then return slurm.SUCCESS end
  tell_missing(partition, missing, site)
  return slurm.ERROR
end

-- For slurm_cli_pre_submit. Slurm tells this filter the options, and no line of the script; a site that has read the
-- script itself, as its user, may hand it on as site.script.
function M.cli_pre_submit(options, site)
  return guarded(function() return filter(options, wishes_of(site)) end)
end

return M
