-- What a site's own job_submit.lua and cli_filter.lua call, one line each (the examples beside this file).
--
-- Each function is a pcall: an error of ours is a line in slurmctld's log, and the job goes through. `site` is a table
-- of the site's wishes, all of them optional:
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

local function guarded(work, ...)
  local fine, verdict = pcall(work, ...)
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
  return guarded(submit, job_desc, part_list, site or {})
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

local function modify(desc, rec, uid, site)
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
    local verdict = modify(job_desc, job_rec, modify_uid, site or {})
    if verdict == slurm.SUCCESS and is_worse(job_desc, job_rec, site or {}) then return slurm.ERROR end
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
  return guarded(filter, options, site or {})
end

return M
