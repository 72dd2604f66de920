"""One TOML file for both halves; a wrong key is named together with the nearest valid one.

Stdlib (and tomli below 3.11), because the sampler reads it too. Every field's metadata carries its
help text: the configuration reference is generated from here.
"""

import difflib
import json
import sys
import typing
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from datetime import date
from pathlib import Path
from typing import Any

from slurm_guard.configaudit import AuditConfig as AuditConfig
from slurm_guard.configaudit import NetworkConfig as NetworkConfig
from slurm_guard.configfile import read_file
from slurm_guard.configjobs import wrong_jobs
from slurm_guard.configkeep import KeepConfig as KeepConfig
from slurm_guard.configkey import key as _key
from slurm_guard.configmail import ChatConfig as ChatConfig
from slurm_guard.configmail import MailConfig as MailConfig
from slurm_guard.configmail import wrong_mail, wrong_together
from slurm_guard.configmaintenance import EXAMPLES as MAINTENANCE_EXAMPLES
from slurm_guard.configmaintenance import MaintenanceConfig as MaintenanceConfig
from slurm_guard.configmaintenance import wrong_window
from slurm_guard.configpatterns import wrong_patterns
from slurm_guard.configvalues import EXAMPLES, FITS, NOUNS, wrong_choice, wrong_number, wrong_text
from slurm_guard.errors import EXIT_USAGE, GuardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_PATH = Path("/etc/slurm-guard/guard.toml")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """[node]: the sampler."""

    run_dir: str = _key("/run/slurm-guard", "tickets and pid files; tmpfs")
    spool_dir: str = _key("/var/lib/slurm-guard/spool", "what hooks and sampler write, one folder a node")
    sample_interval_s: float = _key(1.0, "seconds between looks at the GPUs' counters")
    window_s: float = _key(60.0, "longest window written")
    table_interval_s: float = _key(10.0, "seconds between looks at process and socket tables")
    file_interval_s: float = _key(60.0, "seconds between looks at progress files' sizes and offsets")
    segment_s: float = _key(3600.0, "a run's segment is sealed at least this often")
    gap_factor: float = _key(3.0, "readings farther apart than this many intervals leave a gap")
    end_grace_s: float = _key(30.0, "a run whose processes and slurmstepd are gone this long has ended")
    max_procs: int = _key(4096, "most processes followed on a node")
    max_files: int = _key(64, "most progress files followed per run")
    disabled: str = _key(
        "/etc/slurm-guard/disabled",
        "while this file exists the sampler does nothing; hooks: their own setting",
    )
    disabled_everywhere: str = _key("", "the same for the cluster, on a shared file system; empty: none")
    idle_exit_s: float = _key(0.0, "leave after this long without a run; 0: never (under systemd)")
    gres_devices: list[str] = _key(
        [], "device files in the order of gres.conf's File=, where that is not their numbers' order"
    )
    services: list[str] = _key([], "users or programs of the site that may be on any GPU (monitoring)")
    nvml_deadline_s: float = _key(5.0, "an NVML call that takes longer is given up, with its process")
    accounting_mode: bool = _key(
        False,
        "turn on NVML's accounting, and put it back at the end: finds processes that lived between looks",
    )
    nice: int = _key(5, "niceness of the sampler; 0: as it was started")
    memory_mib: int = _key(96, "memory above which the sampler ends itself to begin anew; 0: no bound")
    cpu_pct: float = _key(5.0, "share of one core above which it looks at the tables half as often")
    spool_mib: int = _key(2048, "most that a node's spool keeps; the oldest sealed segments go first")
    spool_days: float = _key(14.0, "days after which sealed segments are removed, collected or not")
    textfile: str = _key("", "file for node_exporter's textfile collector, with %n for the node; empty: none")


@dataclass(frozen=True, slots=True)
class LakeConfig:
    """[lake]: the store of facts."""

    path: str = _key("/var/lib/slurm-guard/lake", "folder of Parquet tables")
    spools: list[str] = _key(
        ["/var/lib/slurm-guard/spool"], "spool folders that `collect` reads, each with one folder a node"
    )
    drop_mib: int = _key(1024, "most that a node's drop folder keeps of what is in the lake; 0: no bound")
    drop_days: float = _key(30.0, "days after which a drop folder gives up what is in the lake")
    history: str = _key("", "folder of what audits learnt, for later ones; empty: `history` in the lake")
    history_days: float = _key(90.0, "how far back an audit looks for comparable runs; 0: it compares none")
    history_rows: int = _key(500_000, "most rows of earlier nights that an audit takes")


@dataclass(frozen=True, slots=True)
class SlurmConfig:
    """[slurm]: accounting."""

    cluster: str = _key("", "cluster to audit; empty: the one sacct names")
    accounting: str = _key(
        "sacct", "who is asked for runs: sacct, or pyslurm (runs before a requeue are missing)"
    )
    sacct: str = _key("sacct", "the sacct program")
    timeout_s: float = _key(600.0, "longest that one sacct query may take")
    maint_reservations: bool = _key(
        True, "take reservations with the flag MAINT for maintenance windows (operate.md); asks sacctmgr"
    )


@dataclass(frozen=True, slots=True)
class ProgressConfig:
    """[progress]: reading what training wrote."""

    parser_user: str = _key("nobody", "user without rights that runs the parsers")
    max_file_mib: int = _key(64, "most of one file that is read")
    max_run_mib: int = _key(256, "most of one run's files that is read")
    timeout_s: float = _key(60.0, "longest that one run's files may take")
    client_dir: str = _key(
        "/var/lib/slurm-guard/progress", "where the prolog makes SLURM_GUARD_PROGRESS files"
    )
    patterns: list[str] = _key(
        [], "the site's own progress lines, each `name: regular expression` with named groups (progress.md)"
    )


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """[report]: pages."""

    path: str = _key("/var/lib/slurm-guard/reports", "where audit documents and pages are kept")
    site: str = _key("", "name of the site in titles; empty: the cluster's name")
    timezone: str = _key("UTC", "zone of the times shown")
    method_url: str = _key(
        "", "where readers find docs/method.md (https://…); empty: it is named, not linked"
    )
    page_url: str = _key(
        "", "where readers find path in a browser (https://…); empty: mails name the page's file"
    )
    own: str = _key("", "folder of each user's own documents, if it is there; empty: `own` beside path")
    own_nights: int = _key(90, "nights that they are kept")
    views: str = _key("", "file that says who looked at whose runs; empty: `views.jsonl` in path")


@dataclass(frozen=True, slots=True)
class Config:
    """The whole file."""

    node: NodeConfig = field(default_factory=NodeConfig)
    lake: LakeConfig = field(default_factory=LakeConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    progress: ProgressConfig = field(default_factory=ProgressConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    mail: MailConfig = field(default_factory=MailConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    maintenance: list[MaintenanceConfig] = field(default_factory=list)  # a table each, as many as there are


def load_config(path: Path | None, left_out: list[str] | None = None) -> Config:
    """The configuration at `path`; null: the default path if it exists, else all defaults.

    `left_out` takes the keys that this release does not know; null: they are refused.
    Raises GuardError config-missing, config-unreadable, config-unsafe, config-syntax, config-key,
    config-type, config-value.
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return Config()
        path = DEFAULT_PATH
    raw = read_file(path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise GuardError(
            "config-syntax",
            f"{path} is not UTF-8 text (byte {error.start + 1})",
            "save it as UTF-8; is it the right file?",
            EXIT_USAGE,
        ) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GuardError(
            "config-syntax", f"{path} is not valid TOML: {error}", "mend the line named", EXIT_USAGE
        ) from None
    built: Config = _build(Config, data, "", (str(path), left_out))
    _check_values(built, str(path))
    return built


def _build(shape: type, data: dict[str, Any], prefix: str, said: tuple[str, list[str] | None]) -> Any:
    """A dataclass from a table, refusing wrong types by name, and unknown keys where no list takes them.
    `said`: the file, and that list.
    """
    path, left_out = said
    known = {f.name: f for f in fields(shape)}
    hints = typing.get_type_hints(shape)
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known and left_out is not None:
            left_out.append(prefix + name)
            continue
        if name not in known:
            _refuse_key(prefix + name, [prefix + k for k in known], path)
        kind = hints[name]
        if is_dataclass(kind):
            if not isinstance(value, dict):
                raise GuardError(
                    "config-type",
                    f"{path}: {prefix}{name} must be a table",
                    f"write [{prefix}{name}]",
                    EXIT_USAGE,
                )
            values[name] = _build(typing.cast(type, kind), value, f"{prefix}{name}.", said)
        elif (inner := table_of(kind)) is not None:
            values[name] = _build_list(inner, value, prefix + name, said)
        else:
            values[name] = _typed(kind, value, prefix + name, path)
    return shape(**values)


def table_of(kind: Any) -> type | None:
    """Of a list of tables what one of them is; null: it is none."""
    inner = typing.get_args(kind)[:1]
    return typing.cast(type, inner[0]) if inner and is_dataclass(inner[0]) else None


def _build_list(shape: type, value: Any, name: str, said: tuple[str, list[str] | None]) -> list[Any]:
    """One of `shape` for each [[name]]. A date or time of TOML's own is as good as its text."""
    path, _ = said
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise GuardError(
            "config-type", f"{path}: {name} must be a list of tables", f"write [[{name}]]", EXIT_USAGE
        )
    return [
        _build(
            shape, {k: v.isoformat() if isinstance(v, date) else v for k, v in part.items()}, f"{name}.", said
        )
        for part in value
    ]


def _refuse_key(key: str, valid: list[str], path: str) -> None:
    every = valid if "." not in key else [*valid, *all_keys()]
    near = difflib.get_close_matches(key, every, n=1, cutoff=0.4)
    if not near:  # perhaps the right key under the wrong table
        last = key.rsplit(".", 1)[-1]
        near = [k for k in all_keys() if k.rsplit(".", 1)[-1] == last][:1]
    hint = f"did you mean {near[0]}?" if near else "valid here: " + ", ".join(valid)
    raise GuardError("config-key", f"{path}: unknown key {key}", hint, EXIT_USAGE)


def _typed(kind: Any, value: Any, key: str, path: str) -> Any:
    if not FITS[kind](value):
        raise GuardError(
            "config-type",
            f"{path}: {key} must be {NOUNS[kind]}, not {value!r}",
            f"for example: {_example(key)}",
            EXIT_USAGE,
        )
    return float(value) if kind is float else value


def _example(key: str) -> str:
    if key in EXAMPLES or key.startswith("maintenance."):
        return EXAMPLES.get(key) or MAINTENANCE_EXAMPLES[key.partition(".")[2]]
    default = dict(_walk(Config, "")).get(key)
    text = str(default).lower() if isinstance(default, bool) else repr(default).replace("'", '"')
    return f"{key.rsplit('.', 1)[-1]} = {text}"


def _walk(shape: type, prefix: str) -> list[tuple[str, Any]]:
    """(dotted key, default) of every key."""
    found: list[tuple[str, Any]] = []
    for part in fields(shape):
        kind = typing.get_type_hints(shape)[part.name]
        kind = table_of(kind) or kind
        if is_dataclass(kind):
            found += _walk(typing.cast(type, kind), f"{prefix}{part.name}.")
        else:
            default = (
                part.default if part.default is not MISSING else typing.cast(Any, part.default_factory)()
            )
            found.append((prefix + part.name, default))
    return found


def all_keys() -> list[str]:
    """Every valid dotted key, in order."""
    return [key for key, _ in _walk(Config, "")]


def _check_values(config: Config, path: str) -> None:
    """Numbers in range, texts that name something, addresses that could be ones, windows that hold a reading.

    The time zone is not looked up here: the sampler reads this file too, on nodes that may lack the zones.
    """
    for key, _ in _walk(Config, ""):
        table, name = key.split(".", 1)
        if isinstance(getattr(config, table), list):
            continue
        value = getattr(getattr(config, table), name)
        _refuse_value(
            wrong_number(name, value)
            or wrong_text(name, value)
            or wrong_choice(key, value)
            or wrong_mail(key, value),
            f"{path}: {key}",
            f"for example: {_example(key)}",
        )
    _refuse_value(
        wrong_patterns(config.progress.patterns),
        f"{path}: progress.patterns",
        r"for example: patterns = ['mycode: ^cycle (?P<step>\d+) of (?P<total>\d+)']",
    )
    if config.node.window_s < config.node.sample_interval_s:
        _refuse_value(
            f"({config.node.window_s:g}) must not be below node.sample_interval_s "
            f"({config.node.sample_interval_s:g})",
            f"{path}: node.window_s",
            "a window holds at least one reading",
        )

    for number, window in enumerate(config.maintenance, 1):
        name, wrong = wrong_window(window)
        where = f"{path}: maintenance.{name} of window {number}"
        _refuse_value(wrong, where, f"for example: {MAINTENANCE_EXAMPLES.get(name, '')}")
    for entry in config.audit.burn_in:
        _refuse_value(
            wrong_jobs(entry), f"{path}: audit.burn_in", f"for example: {_example('audit.burn_in')}"
        )
    key, wrong = wrong_together(config.mail)
    _refuse_value(wrong, f"{path}: {key}", f"for example: {_example(key)}" if wrong else "")


def _refuse_value(wrong: str, where: str, hint: str) -> None:
    if wrong:
        raise GuardError("config-value", f"{where} {wrong}", hint, EXIT_USAGE)


def to_toml(config: Config) -> str:
    """The whole configuration as a commented TOML file; `load_config` reads it back to the same values."""
    lines: list[str] = []
    for table in fields(config):
        section = getattr(config, table.name)
        for one in section if isinstance(section, list) else [section]:
            lines.append(f"[[{table.name}]]" if isinstance(section, list) else f"[{table.name}]")
            for part in fields(one):
                lines.append(f"# {part.metadata['help']}")
                # JSON's texts, lists, booleans and finite numbers are TOML's as well.
                lines.append(f"{part.name} = {json.dumps(getattr(one, part.name))}")
            lines.append("")
    return "\n".join(lines)
