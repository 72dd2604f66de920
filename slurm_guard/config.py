"""One TOML file for both halves; a wrong key is named together with the nearest valid one.

Stdlib (and tomli below 3.11), because the sampler reads it too. Every field's metadata carries its
help text: the configuration reference is generated from here.
"""

import json
import sys
from dataclasses import dataclass, field, fields
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
from slurm_guard.configmaintenance import MaintenanceConfig as MaintenanceConfig
from slurm_guard.configmaintenance import wrong_in_window
from slurm_guard.configpatterns import wrong_patterns
from slurm_guard.configprometheus import PrometheusConfig as PrometheusConfig
from slurm_guard.configread import Reading, build, walk
from slurm_guard.configvalues import wrong_choice, wrong_number, wrong_text
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
    min_free_mib: int = _key(
        256, "free space below which `collect` takes nothing more: nodes keep the rest; 0: no bound"
    )
    compact: bool = _key(True, "`collect` puts the files of days that are over together")
    drop_days: float = _key(30.0, "days after which a drop folder gives up what is in the lake")
    store: str = _key(
        "", "s3://bucket/prefix that the lake is sent to, or fetched from (docs/store.md); empty: none"
    )
    store_endpoint: str = _key("", "that server's address (https://…), where it is not Amazon's")
    history: str = _key("", "folder of what audits learnt, for later ones; empty: `history` in the lake")
    history_days: float = _key(90.0, "how far back an audit looks for comparable runs; 0: it compares none")
    history_rows: int = _key(500_000, "most rows of earlier nights that an audit takes")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """[engine]: how the audit is computed. What it finds does not depend on it."""

    part_gpu_h: float = _key(
        2500.0,
        "GPU-hours that are looked at together, at a minute a window: about 1 GiB a process; a run of more "
        "than twice that is measured by groups of its nodes",
    )
    processes: int = _key(0, "that audit the parts of a night; 0: one for each CPU, at most 8")
    kind: str = _key("local", "who audits the parts: local, or slurm: job arrays of this cluster (engine.md)")
    folder: str = _key(
        "", "where results of parts are kept, with kind slurm on all nodes; empty: `parts` in the lake"
    )
    nights: int = _key(2, "of which results of parts are kept, so that an audit can go on; 0: none")
    shards: int = _key(0, "tasks of a job array; 0: one for each part, at most 256")
    sbatch: list[str] = _key([], "the site's options of sbatch, as `--partition=cpu`, `--mem=4G`")
    program: str = _key("", "slurm-guard on the nodes; empty: this one, at the same place there")
    timeout_s: float = _key(21_600.0, "longest that one pass of job arrays may take")


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
    engine: EngineConfig = field(default_factory=EngineConfig)
    slurm: SlurmConfig = field(default_factory=SlurmConfig)
    progress: ProgressConfig = field(default_factory=ProgressConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    keep: KeepConfig = field(default_factory=KeepConfig)
    prometheus: PrometheusConfig = field(default_factory=PrometheusConfig)
    mail: MailConfig = field(default_factory=MailConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    maintenance: list[MaintenanceConfig] = field(default_factory=list)  # a table each, as many as there are


def load_config(path: Path | None, left_out: list[str] | None = None) -> Config:
    """The configuration at `path`; null: the default path if it exists, else all defaults.

    `left_out` takes the keys that this release does not know; null: they are refused.
    Raises GuardError config-missing, config-unreadable, config-unsafe, config-syntax, config-key,
    config-type, config-value: the first of what is wrong.
    """
    built, faults = read_config(path, left_out)
    for fault in faults:
        raise fault
    return built


def read_config(path: Path | None, left_out: list[str] | None = None) -> tuple[Config, list[GuardError]]:
    """The same, with all that is wrong; a key that is wrong has its default.

    Raises GuardError where there is no TOML to read keys from.
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return Config(), []
        path = DEFAULT_PATH
    reading = Reading(str(path), dict(walk(Config)), left_out)
    built: Config = build(Config, _tables(path), "", reading)
    _judge_values(built, reading)
    return built, reading.faults


def _tables(path: Path) -> dict[str, Any]:
    raw = read_file(path)
    try:
        text = raw.decode("utf-8-sig")  # editors of other systems begin a file with a mark
    except UnicodeDecodeError as error:
        raise GuardError(
            "config-syntax",
            f"{path} is not UTF-8 text (byte {error.start + 1})",
            "save it as UTF-8; is it the right file?",
            EXIT_USAGE,
        ) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GuardError(
            "config-syntax", f"{path} is not valid TOML: {error}", "mend the line named", EXIT_USAGE
        ) from None


def all_keys() -> list[str]:
    """Every valid dotted key, in order."""
    return [key for key, _ in walk(Config)]


def _judge_values(config: Config, reading: Reading) -> None:
    """Numbers in range, texts that name something, addresses that could be ones, windows that hold a reading.

    The time zone is not looked up here: the sampler reads this file too, on nodes that may lack the zones.
    """
    for key in reading.defaults:
        table, name = key.split(".", 1)
        if isinstance(getattr(config, table), list) or not reading.is_fine(key):
            continue
        value = getattr(getattr(config, table), name)
        wrong = wrong_number(name, value) or wrong_text(name, value) or wrong_choice(key, value)
        reading.judge(key, wrong or wrong_mail(key, value))
    if reading.is_fine("progress.patterns"):
        hint = r"for example: patterns = ['mycode: ^cycle (?P<step>\d+) of (?P<total>\d+)']"
        reading.judge("progress.patterns", wrong_patterns(config.progress.patterns), hint)
    node = config.node
    if reading.is_fine("node.window_s", "node.sample_interval_s") and node.window_s < node.sample_interval_s:
        wrong = f"({node.window_s:g}) must not be below node.sample_interval_s ({node.sample_interval_s:g})"
        reading.judge("node.window_s", wrong, "a window holds at least one reading")
    if reading.is_fine("maintenance"):
        for number, window in enumerate(config.maintenance, 1):
            for name, wrong in wrong_in_window(window):
                reading.judge(f"maintenance.{name}", wrong, where=f"maintenance.{name} of window {number}")
    if reading.is_fine("audit.burn_in"):
        for wrong in filter(None, map(wrong_jobs, config.audit.burn_in)):
            reading.judge("audit.burn_in", wrong)
    if reading.is_fine("mail"):
        key, wrong = wrong_together(config.mail)
        if key:
            reading.judge(key, wrong)


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
