"""Collects the facts in three rounds, each as long as its slowest part and no longer than the time-out."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from slurm_guard import __version__
from slurm_guard.config import DEFAULT_PATH, Config, load_config
from slurm_guard.configdoubts import doubts
from slurm_guard.configfile import loose_places
from slurm_guard.doctor import (
    fromhead,
    fromhooks,
    fromnode,
    fromprograms,
    fromschedule,
    fromslurm,
    fromstore,
)
from slurm_guard.doctor.bounded import Collector, Identity, gather
from slurm_guard.doctor.facts import (
    Accounting,
    Auditor,
    Facts,
    Guard,
    HookLine,
    HookSettings,
    Interpreter,
    Nvml,
)
from slurm_guard.doctor.finding import NotSeenError, Role, Unseen, seen
from slurm_guard.errors import GuardError
from slurm_guard.report.words import load_zone
from slurm_guard.slurm.running import load_running, scontrol_beside

_T = TypeVar("_T")
_SLACK_S = 2.0  # for a collector to say what did not answer it, before it is ended itself


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was told. Null: found by itself."""

    config: Path | None = None
    slurm_conf: Path | None = None
    hook_settings: Path | None = None
    timeout_s: float = 10.0


def collect(asked: Asked, wanted: frozenset[Role] = frozenset()) -> tuple[Facts, frozenset[Role]]:
    """Everything that the roles need, and these: `wanted`, else what this machine seems to be."""
    facts = Facts(host=socket.gethostname().split(".")[0], release=__version__, now_at=time.time())
    facts = _with(facts, asked, {"guard": lambda: load_guard(asked.config)})
    found = gather([Collector("roles", lambda: guess_roles(facts), asked.timeout_s)])["roles"]
    roles = wanted or (found if isinstance(found, frozenset) else frozenset(Role))
    return _collect(facts, asked, roles), roles


def _collect(facts: Facts, asked: Asked, roles: frozenset[Role]) -> Facts:
    facts = _with(facts, asked, _first(facts, asked), _SLACK_S)
    facts = _with(facts, asked, _second(facts, asked, roles), _SLACK_S)
    who = fromhead.identity_of(facts.auditor) if isinstance(facts.auditor, Auditor) else None
    facts = _with(facts, asked, _as_auditor(facts, asked, roles), _SLACK_S, who)
    return _with(facts, asked, _last(facts, asked, roles), _SLACK_S)


def guess_roles(facts: Facts) -> frozenset[Role]:
    """What this machine seems to be; both, where nothing tells."""
    found = set()
    if isinstance(facts.guard, Guard) and facts.guard.config is not None:
        config = facts.guard.config
        if Path(config.lake.path).exists() or Path(config.report.path).exists():
            found.add(Role.HEAD)
        if Path(config.node.run_dir).exists() or Path(config.node.spool_dir).exists():
            found.add(Role.NODE)
    return frozenset(found or Role)


def load_guard(path: Path | None) -> Guard:
    """guard.toml as every command reads it; what is wrong with it is a fact, and no error."""
    where = path or DEFAULT_PATH
    try:
        config = load_config(path)
    except GuardError as error:
        return Guard(str(where), None, f"{error.slug}: {error.sentence}", error.hint)
    warnings = [f"{loose}, whose members can change what holds" for loose in loose_places(where)] if (
        where.exists()
    ) else []  # fmt: skip
    try:
        load_zone(config.report.timezone)
        zone_error = ""
    except GuardError as error:
        zone_error = error.sentence
    warnings += doubts(config, None, time.time())  # windows of maintenance have a check of their own
    return Guard(str(where), config, warnings=tuple(warnings), zone_error=zone_error)


_Parts = dict[str, Callable[[], object]]


def _with(
    facts: Facts, asked: Asked, parts: _Parts, slack_s: float = 0.0, who: Identity | None = None
) -> Facts:
    collectors = [Collector(name, part, asked.timeout_s + slack_s, who) for name, part in parts.items()]
    return replace(facts, **gather(collectors))  # type: ignore[arg-type]


def _first(facts: Facts, asked: Asked) -> _Parts:
    """slurm.conf, slurmctld, and what guard.toml alone leads to."""
    config = _or(facts.config, Config())
    return {
        "running": lambda: load_running(scontrol_beside(config.slurm.sacct), asked.timeout_s),
        "conf": lambda: fromslurm.load_conf(asked.slurm_conf),
        "conf_unsafe": lambda: fromslurm.judge_conf(asked.slurm_conf),
        "gres": lambda: fromslurm.load_gres(fromslurm.find_slurm_conf(asked.slurm_conf)),
        "slurm_nodes": lambda: fromslurm.load_nodes(config, asked.timeout_s),
        "auditor": lambda: fromhead.find_auditor(facts.config()),
        "leftovers": fromnode.find_leftovers,
        "traces": lambda: _traces(facts, asked),
    }


def _traces(facts: Facts, asked: Asked) -> tuple[str, ...]:
    """What only an installation makes: its journal, its folders, the settings, what starts the night."""
    given = asked.hook_settings or Path(fromhooks.SETTINGS_DEFAULT)
    return (
        *fromnode.find_traces(facts.config(), given),
        *(timer.path for timer in fromschedule.find_schedule()),
    )


def _second(facts: Facts, asked: Asked, roles: frozenset[Role]) -> _Parts:
    """What the node has; hooks that only lie on nodes are told apart by the checks."""
    parts: _Parts = {"hooks": lambda: _hooks(facts)}
    if Role.NODE in roles:
        parts |= {
            "settings": lambda: fromhooks.load_settings(_or(lambda: _hooks(facts), ()), asked.hook_settings),
            "folders": lambda: fromnode.look_at_folders(facts.config()),
            "samplers": lambda: fromnode.load_samplers(facts.config()),
            "control": lambda: fromnode.look_at_control(facts.config()),
        }
    if Role.HEAD in roles:
        parts["stores"] = lambda: fromhead.look_at_stores(facts.config())
        parts["schedule"] = fromschedule.find_schedule
    return parts


def _hooks(facts: Facts) -> tuple[HookLine, ...]:
    conf, running = _seen_or(facts.conf, None), _seen_or(facts.running, None)
    if conf is None and running is None:
        raise NotSeenError("neither slurm.conf nor slurmctld could be read")
    return fromhooks.load_hooks(conf, running)


def _as_auditor(facts: Facts, asked: Asked, roles: frozenset[Role]) -> _Parts:
    """What only counts if it works with the rights of whoever collects, audits and mails."""
    if Role.HEAD not in roles:
        return {}
    name = facts.auditor.name if isinstance(facts.auditor, Auditor) else "root"
    return {
        "database": lambda: fromslurm.load_database(facts.config(), name, asked.timeout_s / 3),
        "accounting": lambda: fromslurm.load_accounting(facts.config(), facts.now_at, asked.timeout_s / 2),
        "guard_as_auditor": lambda: load_guard(asked.config),
        "shut": lambda: fromhead.look_at_files(facts.config()),
        "data": lambda: fromhead.load_data(facts.config()),
        "barred": lambda: fromschedule.find_barred(_seen_or(facts.schedule, None) or ()),
        "spools": lambda: fromhead.look_at_spools(facts.config()),
        "quarantine": lambda: fromhead.load_quarantine(facts.config(), facts.now_at),
        "store": lambda: fromstore.load_store(facts.config()),
        "night": lambda: fromhead.load_night(facts.config()),
        "mail": lambda: fromhead.try_mail(facts.config(), asked.timeout_s),
        "chat": lambda: fromhead.look_at_chat(facts.config()),
        "letters": lambda: fromhead.load_letters(facts.config(), facts.now_at),
    }


def _last(facts: Facts, asked: Asked, roles: frozenset[Role]) -> _Parts:
    """What needs hooks' settings or accounting."""
    settings = facts.settings
    starts = facts.accounting.starts if isinstance(facts.accounting, Accounting) else {}
    parts: _Parts = {"skews": lambda: fromhead.load_skews(facts.config(), starts, facts.now_at)}
    if Role.NODE not in roles:
        return parts
    parts["switches"] = lambda: fromnode.find_switches(facts.config(), _seen_or(settings, None))
    if not isinstance(settings, HookSettings):
        return parts
    python: dict[str, Interpreter] = {}

    def sampler() -> Interpreter:
        python["sampler"] = python.get("sampler") or fromprograms.try_sampler(settings, asked.timeout_s / 2)
        return python["sampler"]

    parts |= {
        "hook_python": lambda: fromprograms.try_hooks(settings, asked.timeout_s),
        "sampler_python": sampler,
        "library": lambda: fromprograms.look_at_library(settings),
        "nvml": lambda: _ask_boards(facts, settings, sampler(), asked.timeout_s / 2),
    }
    return parts


def _ask_boards(
    facts: Facts, settings: HookSettings, python: Interpreter, timeout_s: float
) -> Mapping[str, Nvml]:
    names = fromnode.find_nodes(facts.config(), facts.host)
    share_s = timeout_s / len(names)
    return {name: fromprograms.ask_nvml(settings, python, name, max(share_s, 1.0)) for name in names}


def _or(read: Callable[[], _T], default: _T) -> _T:
    try:
        return read()
    except NotSeenError:
        return default


def _seen_or(fact: _T | Unseen, default: _T | None) -> _T | None:
    return default if isinstance(fact, Unseen) else seen(fact)
