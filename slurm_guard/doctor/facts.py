"""Everything that the checks look at, collected once; each part is there or says why it is not."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slurm_guard.config import Config
from slurm_guard.doctor.finding import NotSeenError, Unseen
from slurm_guard.doctor.fromstore import StoreState
from slurm_guard.doctor.shut import Shut
from slurm_guard.doctor.timer import Timer
from slurm_guard.model import NodeCoverage
from slurm_guard.slurm.conf import SlurmConf
from slurm_guard.slurm.running import Running

_NOT = Unseen("nobody looked")


@dataclass(frozen=True, slots=True)
class Guard:
    """guard.toml. `config` null: it is wrong, and `error` (slug: sentence) and `hint` say how."""

    path: str
    config: Config | None
    error: str = ""
    hint: str = ""
    warnings: tuple[str, ...] = ()
    zone_error: str = ""


@dataclass(frozen=True, slots=True)
class GresLine:
    """One line of gres.conf. `files`: of File=, expanded; `missing` of them are not there, `plain` are no
    device."""

    number: int
    fields: Mapping[str, str]
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gres:
    """gres.conf beside slurm.conf; `lines` null: there is none."""

    path: str
    lines: tuple[GresLine, ...] | None


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node as slurmctld has it."""

    name: str
    gres: str
    state: str
    reason: str

    @property
    def has_gpus(self) -> bool:
        return any(part.strip().startswith("gpu") for part in self.gres.split(","))


@dataclass(frozen=True, slots=True)
class Database:
    """What slurmdbd says. `admin`: the auditing user's rights; empty: slurmdbd does not know him."""

    clusters: tuple[str, ...]
    tres: tuple[str, ...]
    admin: str


@dataclass(frozen=True, slots=True)
class Accounting:
    """The last day's text of sacct, read as an audit reads it."""

    n_runs: int
    n_bad_rows: int
    example: str
    starts: Mapping[int, tuple[float, ...]] = field(default_factory=dict)  # job id → when Slurm says it began
    gpu_starts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # node → of its runs with GPUs


@dataclass(frozen=True, slots=True)
class Unsafe:
    """A file or folder that somebody else may change; `why` in words."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class HookFile:
    """A program that slurmd runs, or a shim that one calls (`inner`). `ours`: it is our shim, or its
    text leads to it; null: it may not be read. `shim`: the path of ours; empty: none is known."""

    path: str
    exists: bool
    regular: bool
    executable: bool
    world_runs: bool
    ours: bool | None
    shim: str = ""
    inner: bool = False
    script: bool = True  # false: a call of ours cannot be written into it
    unsafe: tuple[Unsafe, ...] = ()
    kills: str = ""  # a line that kills what is not the job's; empty: none seen


@dataclass(frozen=True, slots=True)
class HookLine:
    """One value of Prolog=, Epilog= or TaskProlog=. `place`: file:line, or scontrol; `glob`: it is one."""

    key: str
    value: str
    place: str
    glob: bool
    files: tuple[HookFile, ...]


@dataclass(frozen=True, slots=True)
class HookSettings:
    """slurm-guard-hooks.conf as the shim reads it. `refused`: why the shim ignores the file; `path` empty:
    there is none, and the shim's own values hold."""

    path: str
    values: Mapping[str, str]
    refused: str = ""
    odd: tuple[str, ...] = ()  # lines that are no setting
    n_cr: int = 0  # lines that end as on Windows


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that hooks or sampler run with. `failure`: why it cannot do its work; empty: it can.
    `tried` false: it was not started, because others may change what would be run."""

    path: str
    exists: bool
    executable: bool
    script: bool
    unsafe: tuple[Unsafe, ...]
    tried: bool
    version: tuple[int, int] | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """LIB of the hooks. `release` empty: no package there."""

    path: str
    release: str
    unsafe: tuple[Unsafe, ...]


@dataclass(frozen=True, slots=True)
class Nvml:
    """What the driver answers the sampler's interpreter. `failure` empty: it does."""

    n_gpus: int
    driver: str
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of ours and its file system. `mode` without the type's bits; n_inodes 0: it counts none."""

    path: str
    exists: bool
    is_dir: bool = False
    mode: int = 0
    owner: str = ""
    uid: int = 0
    gid: int = 0
    group: str = ""
    free_b: int = 0
    n_free: int = 0
    n_inodes: int = 0
    unsafe: tuple[Unsafe, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplerState:
    """One node's sampler here. `silence` null: alive."""

    node: str
    silence: str | None
    hint: str
    release: str
    cuts: tuple[str, ...] = ()  # what it cannot see, in words


@dataclass(frozen=True, slots=True)
class Switch:
    """A file that switches everything off."""

    path: str
    since_at: float


@dataclass(frozen=True, slots=True)
class Control:
    """The kernel's control groups here, and whether systemd starts the sampler."""

    freezer_v1: bool
    unified: bool
    unit: str  # path of the enabled unit; empty: none
    parser_user: str  # what is wrong with it; empty: nothing


@dataclass(frozen=True, slots=True)
class Auditor:
    """Who audits: the lake's owner, or whoever runs this."""

    name: str
    uid: int


@dataclass(frozen=True, slots=True)
class NodeData:
    """What the spools and the lake have of a node. Instants of the node's files, and of the last collection
    that brought something of it; null: none."""

    node: str
    newest_at: float | None
    first_at: float | None = None
    collected_at: float | None = None


@dataclass(frozen=True, slots=True)
class Spool:
    """A folder of [lake] spools, as whoever collects sees it. `barred`: a place in it, or above it, that he
    may not read or enter; empty: none. `group` is that place's."""

    path: str
    exists: bool
    barred: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Files that could not be taken. `recent`: of the last week; `newest` its file, `reason` its words."""

    n: int
    n_recent: int
    newest: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Night:
    """The latest audit document; `name` is its date."""

    name: str
    until_at: float
    written_at: float
    release: str
    nodes: tuple[NodeCoverage, ...]
    n_runs: int


@dataclass(frozen=True, slots=True)
class Skew:
    """A node's clock against the controller's: the least that a ticket came after its job's start, and the
    most; seconds."""

    node: str
    least_s: float
    n: int


@dataclass(frozen=True, slots=True)
class MailTry:
    """Whether letters, or messages to chats, would leave. `error` empty: they would."""

    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class StuckLetter:
    """A letter that is not going out by itself, or has waited for a day."""

    name: str
    status: str
    to: str
    detail: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A journal of an installation that did not end. `status`: applying, undoing, begun or unreadable."""

    path: str
    status: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The whole. Everything may be missing, which no check takes for good or bad."""

    host: str = "localhost"
    release: str = "0"
    now_at: float = 0.0
    guard: Guard | Unseen = _NOT
    guard_as_auditor: Guard | Unseen = _NOT  # the same, read by the user that audits
    running: Running | Unseen = _NOT
    conf: SlurmConf | Unseen = _NOT
    conf_unsafe: tuple[Unsafe, ...] | Unseen = _NOT  # on the way to slurm.conf and what it includes
    gres: Gres | Unseen = _NOT
    slurm_nodes: tuple[SlurmNode, ...] | Unseen = _NOT
    database: Database | Unseen = _NOT
    accounting: Accounting | Unseen = _NOT
    hooks: tuple[HookLine, ...] | Unseen = _NOT
    settings: HookSettings | Unseen = _NOT
    hook_python: Interpreter | Unseen = _NOT
    sampler_python: Interpreter | Unseen = _NOT
    library: Library | Unseen = _NOT
    nvml: Mapping[str, Nvml] | Unseen = _NOT  # by node
    folders: Mapping[str, Folder] | Unseen = _NOT  # run, spool, progress of a node
    samplers: tuple[SamplerState, ...] | Unseen = _NOT
    switches: tuple[Switch, ...] | Unseen = _NOT
    control: Control | Unseen = _NOT
    auditor: Auditor | Unseen = _NOT
    stores: Mapping[str, Folder] | Unseen = _NOT  # lake, reports, own of a head node
    shut: Mapping[str, Shut] | Unseen = _NOT  # of lake and reports
    data: tuple[NodeData, ...] | Unseen = _NOT
    spools: tuple[Spool, ...] | Unseen = _NOT
    quarantine: Quarantine | Unseen = _NOT
    store: StoreState | Unseen = _NOT
    night: Night | Unseen | None = _NOT  # null: no night was audited yet
    skews: tuple[Skew, ...] | Unseen = _NOT
    mail: MailTry | Unseen = _NOT
    chat: MailTry | Unseen = _NOT
    letters: tuple[StuckLetter, ...] | Unseen = _NOT
    schedule: tuple[Timer, ...] | Unseen = _NOT
    barred: tuple[tuple[str, str], ...] | Unseen = _NOT  # programs that the auditor cannot start, and where
    leftovers: tuple[Leftover, ...] | Unseen = _NOT
    traces: tuple[str, ...] | Unseen = _NOT  # paths that an installation made; empty: none, as before it

    def config(self) -> Config:
        """guard.toml's values. Raises NotSeenError where the file is wrong."""
        if isinstance(self.guard, Unseen):
            raise NotSeenError(self.guard.why)
        if self.guard.config is None:
            raise NotSeenError("guard.toml is not right, which another check says")
        return self.guard.config
