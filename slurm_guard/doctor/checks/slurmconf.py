"""Slurm itself: its version, the hooks' flags and times, what runs beside what stands in the file."""

from collections.abc import Iterator

from slurm_guard.doctor.checks.values import LISTS_SINCE, name, seconds, value, version, words
from slurm_guard.doctor.facts import Facts, HookSettings
from slurm_guard.doctor.finding import (
    BOTH,
    HEAD,
    NODE,
    Check,
    Said,
    Unseen,
    ok,
    problem,
    seen,
    unseen,
    warning,
)
from slurm_guard.slurm.conf import SlurmConf
from slurm_guard.slurm.running import Running

OLDEST, NEWEST = (22, 5), (26, 5)  # docs/slurm-versions.md: what the rig's night was run on
_LEAST_TIMEOUT_S = 5  # the shim stops waiting for its hook after 3 s; Slurm must not come before it
_FLAG_SINCE = {"alloc": (0, 0), "contain": (0, 0), "x11": (0, 0), "forcerequeueonfail": (23, 2)}
_FLAG_SINCE |= {"runinjob": (24, 5), "deferbatch": (26, 5)}  # which imply Alloc, from which release on
_NEAR_WRAP = 0.95  # of the range of job ids. Judgement: weeks before it comes
_MOST_ID = 67_043_328  # Slurm's default, and all but the most that its 26 bits hold
_OURS = "slurm-guard"  # in the path of each program that an installation puts there
_RECONFIGURE = "scontrol reconfigure"


def _slurmctld(facts: Facts) -> Iterator[Said]:
    if isinstance(facts.running, Unseen):
        yield problem(
            f"slurmctld did not say what it runs with: {facts.running.why}",
            "scontrol ping   # and look at slurmctld's log; set [slurm] sacct where Slurm is not on the PATH",
        )


def _version(facts: Facts) -> Iterator[Said]:
    found = seen(facts.running).version
    if found is None:
        yield warning(
            f"slurmctld calls its version {seen(facts.running).release!r}, which is none of Slurm's",
            "scontrol --version",
        )
    elif found < OLDEST:
        yield problem(
            f"Slurm {name(found)} is older than {name(OLDEST)}, the oldest that slurm-guard was tried with",
            f"upgrade Slurm to {name(OLDEST)} or later",
        )
    elif found > NEWEST:
        yield warning(
            f"Slurm {name(found)} is newer than {name(NEWEST)}, the newest that this release was tried with",
            "upgrade slurm-guard, or watch one node for a day before you trust it on all",
        )
    else:
        yield ok(f"Slurm {seen(facts.running).release} is one of those that slurm-guard was tried with")


def _flags(facts: Facts) -> Iterator[Said]:
    release = version(facts) or OLDEST
    flags = words(facts, "PrologFlags")
    if not any(flag in _FLAG_SINCE and release >= _FLAG_SINCE[flag] for flag in flags):
        line = ",".join(["Alloc", *value(facts, "PrologFlags").split(",")]).rstrip(",")
        yield problem(
            "without PrologFlags=Alloc some nodes of a job run no prolog, and its work there is unobserved",
            f"PrologFlags={line}   # in slurm.conf, then: {_RECONFIGURE}",
        )


def _timeout(facts: Facts) -> Iterator[Said]:
    both = seconds(facts, "PrologEpilogTimeout")
    apart = (version(facts) or OLDEST) >= (25, 5)
    for key in ("PrologTimeout", "EpilogTimeout"):
        own = seconds(facts, key) if apart else None
        limit = own if own is not None else both
        if limit is None and (site := _sites_own(facts)):
            # As `slurm-guard install` has it, which sets none there (install/conflines.py).
            yield ok(
                f"{site} runs without a time limit, which could end it and drain the node; ours needs none"
            )
            return
        if limit is None:
            yield warning(
                f"{key.removesuffix('Timeout')}s have no time limit: one that hangs holds its node for ever",
                f"PrologEpilogTimeout=30   # in slurm.conf, then: {_RECONFIGURE}",
            )
            return
        if limit < _LEAST_TIMEOUT_S:
            yield problem(
                f"Slurm ends hooks after {limit} s, before ours end themselves, and drains the node",
                f"PrologEpilogTimeout=30   # in slurm.conf, then: {_RECONFIGURE}",
            )
            return


def _sites_own(facts: Facts) -> str:
    """A program of the site's own that a time limit would hold for; empty: ours alone run."""
    for key in ("PrologSlurmctld", "EpilogSlurmctld"):
        if value(facts, key):
            return f"the site's own {value(facts, key)}"
    lines = () if isinstance(facts.hooks, Unseen) else facts.hooks
    files = [file for line in lines if line.key in ("Prolog", "Epilog") for file in line.files]
    own = [f.path for f in files if f.path != f.shim and _OURS not in f.path]
    return f"the site's own {own[0]}" if own else ""


def _run_in_job(facts: Facts) -> Iterator[Said]:
    if "runinjob" not in words(facts, "PrologFlags"):
        return
    settings = seen(facts.settings)
    if settings.values.get("START_SAMPLER") != "no":
        yield problem(
            "with PrologFlags=RunInJob a sampler that a prolog starts dies with its job",
            _no_start(settings) + "; systemctl enable --now slurm-guardd.service",
        )


def _no_start(settings: HookSettings) -> str:
    return f"echo START_SAMPLER=no >> {settings.path or '/etc/slurm-guard/slurm-guard-hooks.conf'}"


def _reconfigure(facts: Facts) -> Iterator[Said]:
    running = seen(facts.running)
    if running.stale is None:
        yield unseen("slurmctld did not say whether it read the slurm.conf that lies here")
    if not running.stale:
        return
    keys = _differing(facts.conf, running) if isinstance(facts.conf, SlurmConf) else []
    if keys:
        yield problem(
            f"slurm.conf has another {', '.join(keys)} than slurmctld, which has not read it yet",
            _RECONFIGURE,
        )
    else:
        yield warning(
            "slurm.conf was changed since slurmctld read it, or differs on this machine", _RECONFIGURE
        )


_SETS = ("PrologFlags", "AccountingStorageTRES", "AccountingStoreFlags", "GresTypes", "PrivateData")
_SINGLE = ("TaskProlog", "ProctrackType", "AccountingStorageType", "PrologEpilogTimeout")


def _differing(conf: SlurmConf, running: Running) -> list[str]:
    """Keys of ours with other values; what Slurm adds by itself does not count."""
    found = []
    lists = (running.version or OLDEST) >= LISTS_SINCE
    for key in ("Prolog", "Epilog"):
        mine = conf.values(key) if lists else conf.values(key)[-1:]
        if mine != running.all(key):
            found.append(key)
    for key in _SETS:
        mine_words = {word.strip().lower() for word in (conf.last(key) or "").split(",") if word.strip()}
        if not mine_words - {"none"} <= set(running.words(key)) or (not mine_words and running.words(key)):
            found += [key] if key != "AccountingStorageTRES" or mine_words else []
    for key in _SINGLE:
        told, mine_last = running.first(key), conf.last(key)
        mine_last = "" if mine_last is None and key == "TaskProlog" else mine_last
        if mine_last is not None and mine_last.lower() != told.lower().removesuffix(" sec"):
            found.append(key)
    return found


def _job_ids(facts: Facts) -> Iterator[Said]:
    running = seen(facts.running)
    try:
        first, last, following = (
            int(running.first(key)) for key in ("FirstJobId", "MaxJobId", "NEXT_JOB_ID")
        )
    except ValueError:
        yield unseen("slurmctld did not say which job ids it gives")
        return
    if last > first and (following - first) / (last - first) >= _NEAR_WRAP:
        yield warning(
            f"job ids begin again at {first} after {last - following:,} more jobs: each then names two jobs",
            f"MaxJobId={_MOST_ID}   # in slurm.conf"
            if last < _MOST_ID
            else "slurm-guard report --night 2026-09-22 --job 1   # tells them apart by their night",
        )


CHECKS = (
    Check(
        "slurmctld",
        "whether `scontrol show config` answers",
        "Most of what follows is asked of slurmctld; where it is silent, nothing more is known.",
        "look at slurmctld and at `[slurm] sacct`, beside which scontrol is looked for",
        HEAD,
        "slurmctld answers",
        _slurmctld,
    ),
    Check(
        "slurm-version",
        "Slurm's version",
        "Each release changes what hooks are told, how control groups are named and what sacct prints.",
        "upgrade what is too old: Slurm, or slurm-guard",
        BOTH,
        "",
        _version,
    ),
    Check(
        "prolog-flags",
        "`PrologFlags` holds `Alloc`, or a flag that implies it in this release",
        "Without it slurmd runs the prolog at a job's first step alone, on some nodes never.",
        "`PrologFlags=Alloc`",
        BOTH,
        "the prolog runs on every node of a job when it begins",
        _flags,
    ),
    Check(
        "prolog-timeout",
        "`PrologEpilogTimeout`, from 25.05 on also `PrologTimeout` and `EpilogTimeout`",
        "Slurm's default is to wait for ever; below 5 s it ends our hooks before they end themselves.",
        "`PrologEpilogTimeout=30`; none where the site's own programs run, which it could end",
        BOTH,
        "prologs and epilogs have a time limit",
        _timeout,
    ),
    Check(
        "run-in-job",
        "`PrologFlags=RunInJob` together with a sampler that the prolog starts",
        "Such a prolog lives in the job's control group, and all that it starts ends with the job.",
        "let systemd start the sampler: `START_SAMPLER=no`",
        NODE,
        "the sampler outlives the job whose prolog starts it",
        _run_in_job,
    ),
    Check(
        "slurm-conf-read",
        "whether slurmctld runs with the slurm.conf that lies here",
        "A line that was added and never read looks right and does nothing.",
        "`scontrol reconfigure`",
        BOTH,
        "slurmctld runs with the slurm.conf that lies here",
        _reconfigure,
    ),
    Check(
        "job-ids",
        "how near job ids are to `MaxJobId`",
        "After it they begin anew, and `report --job` finds two jobs under one number.",
        "a larger `MaxJobId`",
        HEAD,
        "job ids do not begin again soon",
        _job_ids,
    ),
)
