"""Everything that a check may know of one run."""

from dataclasses import dataclass

from slurm_guard.audit.analytic import Band
from slurm_guard.audit.boards import Reach
from slurm_guard.audit.bounds import Left
from slurm_guard.audit.compare import Compared
from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.grid import Slots
from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.knownrises import KnownRises
from slurm_guard.audit.ledger import Sums
from slurm_guard.audit.listed import Listed
from slurm_guard.audit.mix import Mix
from slurm_guard.audit.net.net import Net
from slurm_guard.audit.outside import Stint
from slurm_guard.audit.redone import Repeats
from slurm_guard.audit.replays import Seen
from slurm_guard.audit.second import Second
from slurm_guard.audit.siblings import Levels
from slurm_guard.audit.size import Size
from slurm_guard.audit.storage import NOTHING_STORED, Stored
from slurm_guard.audit.study import Study
from slurm_guard.audit.track import Track
from slurm_guard.audit.unlisted import Unlisted
from slurm_guard.config import AuditConfig
from slurm_guard.model import Run

NOTHING_SAID = Net()
NOTHING_LEFT = Left()


@dataclass(frozen=True, slots=True)
class Hearing:
    """What was heard of a run's nodes."""

    keys: tuple[str, ...] = ()  # run keys bound to the run
    silent_nodes: tuple[str, ...] = ()  # nodes of the run without a ticket
    deaf_nodes: tuple[str, ...] = ()  # of those, the ones that nothing at all was heard from
    switched_off: tuple[str, ...] = ()  # nodes that said the guard was switched off
    unsealed: tuple[str, ...] = ()  # keys that ended long ago and have no seal
    refused_windows: int = 0
    n_windows: int = 0
    edited: tuple[str, ...] = ()  # texts of the declaration that changed after the prolog had read them
    upkeep: tuple[str, ...] = ()  # nodes that were in maintenance as long as the run was there
    imported: str = ""  # whose readings its windows are; empty: the sampler's
    summary: str = ""  # what jobstats says of the run, in AdminComment
    others_alone: bool = False  # of no node anything but another monitor's readings came that night
    n_streams: int = 0  # of the keys, those of which a sampler sent anything
    read_nodes: tuple[str, ...] = ()  # nodes of the run that another monitor read that night


@dataclass(frozen=True, slots=True)
class Case:
    """One run, measured and studied, before it is judged. `mine`: stints of the run's processes elsewhere;
    `guests`: stints of others' processes on the run's GPUs; `unlisted` and `unlisted_guests` likewise, of
    processes that no list names. `left`: what progress leaves over with the peers' word, `own_left`: without.
    """

    run: Run
    config: AuditConfig
    slots: Slots
    track: Track
    study: Study
    sums: Sums
    users: tuple[GpuUser, ...]
    mine: tuple[Stint, ...]
    guests: tuple[Stint, ...]
    hearing: Hearing
    left: Left
    device_left: Left
    unlisted: tuple[Unlisted, ...] = ()
    unlisted_guests: tuple[Unlisted, ...] = ()
    net: Net = NOTHING_SAID
    siblings: tuple[Levels, ...] = ()  # the run's GPUs of one model, where there are enough
    own_left: Left = NOTHING_LEFT
    fingerprint: Fingerprint | None = None
    mem_mib: int | None = None  # of the run's processes on one of its GPUs, at most
    compared: Compared | None = None
    rises: KnownRises | None = None  # earlier runs that explain its lasting rises
    place: int | None = None  # in the audit's list of runs
    listed: tuple[Listed, ...] = ()  # its own and others', on GPUs that tell of nobody's time
    repeats: Repeats | None = None  # null: its log cannot tell what is redone
    seconds: tuple[Second, ...] = ()  # its second programs that little ties to its training
    seen: Seen | None = None  # another run whose losses its log has
    stored: Stored = NOTHING_STORED
    mix: Mix | None = None  # null: the GPUs made floating-point operations in each window, or do not tell
    size: Size | None = None  # of the model that its log is of, as headers or the log tell
    reach: Reach | None = (
        None  # what its GPUs can do; null where no size is told, or a board's peak is not known
    )
    band: Band | None = None  # what a token costs by these two

    @property
    def allocated_us(self) -> float:
        """GPU-microseconds that Slurm charged in the window."""
        return 1000.0 * self.run.allocated_gpu_ms

    @property
    def is_log_unread(self) -> bool:
        """Nobody looked for its logs: another monitor read its GPUs, and no sampler was there."""
        return bool(self.hearing.imported) and self.hearing.n_streams == 0 and self.track.n_points == 0

    @property
    def least_us(self) -> float:
        """Unexplained time from which an alert is possible."""
        floor = self.config.least_gpu_h * 3.6e9
        return max(floor, self.config.least_share * self.allocated_us)

    @property
    def worth_us(self) -> float:
        """Time from which a soft finding is worth a look: the share alone, for short runs too."""
        return self.config.least_share * self.allocated_us

    @property
    def active_us(self) -> int:
        """GPU work seen on the run's GPUs, whosever it was."""
        return sum(self.sums.total(p) for p in ("own", "stray", "foreign"))


_WORK = {"energy": "mJ", "cycles": "SM cycles", "busy": "busy ms"}


def cost_unit(channel: str, unit: str | None) -> str:
    """What the cost of progress is counted in: mJ/token, SM cycles/sample; without a channel `/unit`."""
    return f"{_WORK.get(channel, '')}/{(unit or 'unit').removesuffix('s')}"


def risen_at(case: Case) -> str:
    """Where the cost rose, by the log's own counter: step 1,000; 5,000,000 tokens."""
    unit = case.track.unit or "step"
    counts = ", ".join(f"{level.counter:,.0f}" for level in case.study.levels)
    return f"step {counts}" if unit == "step" else f"{counts} {unit}"
