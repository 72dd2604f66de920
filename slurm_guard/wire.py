"""On-disk record shapes of the node half. Stdlib only; hooks and sampler write them, the lake reads them.

Format history
    1  2026-11: tickets, end marks, segments of windows/processes/files/flows/events, seals.
       Network snapshots before `kinds`, `rules` and `firewall` have IPv4 routes of the main table alone, as
       "dest/prefix via gateway dev name": they are not compared with later ones.

Rules that hold for every record
    * one JSON object per line, UTF-8, ASCII-escaped, keys as the fields below plus "k" (the kind);
    * instants end in `_at`: UTC epoch seconds (float); durations in `_s` or integer `_ms`; energy integer mJ;
    * null means *not observed*, and `why` names the reason; 0 is an observed zero;
    * text that a job's owner could choose is bounded (MAX_TEXT) and stored verbatim, never interpreted.

A *run key* is `cluster/job_id/node/boot8/ticket_ms`: the run as a node knows it (boot8: the first 8 hex
digits of the boot id; ticket_ms: the ticket's wall time in whole milliseconds).

Where things stand, below one node's spool directory `<spool>/<node>/`
    tickets/<stem>.json   one Ticket, written by the prolog          stem = run key with '/' as '_'
    ends/<stem>.json      one EndMark, written by the epilog         stem = job id and time
    open/<name>.jsonl     the segment being written                  (never collected)
    sealed/<name>.jsonl   closed segments: SegmentHead, records…, SegmentTail; immutable
    seals/<stem>.json     one Seal per finished run, written by the sampler
    progress/<stem>.<read:06d>.jsonl   what the node's reader found in the run's logs: ReadHead, LogFile…,
                          Point…, ReadTail; a later read of the same run replaces the earlier ones
<name> = `<stem>.<seq:06d>` for a run's stream, `node_<boot8>.<seq:06d>` for the node's own stream.
"""

from __future__ import annotations

from slurm_guard.light import Any, NamedTuple, to_json
from slurm_guard.wirenet import BriefSeen as BriefSeen
from slurm_guard.wirenet import Firewall as Firewall
from slurm_guard.wirenet import FlowSeen as FlowSeen
from slurm_guard.wirenet import NetChain as NetChain
from slurm_guard.wirenet import NetState as NetState
from slurm_guard.wirenet import PlaceCount as PlaceCount
from slurm_guard.wirenet import RelaySeen as RelaySeen
from slurm_guard.wirenet import Socket as Socket

FORMAT = 1
MAX_TEXT = 4096  # bytes of any text that a user chose; Slurm's own limit on comment and extra is 1024
MAX_LINE = 262_144  # a longer record line is refused at ingest


class Ticket(NamedTuple):
    """What the prolog knew. Intent texts verbatim: the only copy taken before the outcome is known."""

    run: str  # run key
    at: float
    node: str
    cluster: str
    job_id: int
    boot_id: str
    uid: int | None
    gid: int | None
    user: str | None
    account: str | None
    partition: str | None
    gpus: list[int] | None  # GRES indices from SLURM_JOB_GPUS; null: variable absent
    nodelist: str | None
    restart_count: int | None
    slurm_start_at: float | None
    sluid: str | None
    het_job_id: int | None
    work_dir: str | None
    stdout: str | None  # unexpanded pattern, as Slurm hands it over
    stderr: str | None
    comment: str | None
    extra: str | None
    intent_sha256: str | None  # of comment + NUL + extra, null when both are absent
    progress_path: str | None  # the SLURM_GUARD_PROGRESS file made for the job, null: none
    net: NetState | None
    why: dict[str, str]
    format: int = FORMAT
    boot_s: float | None = None  # seconds since boot (CLOCK_BOOTTIME), which no set clock moves
    visible: str | None = None  # CUDA_VISIBLE_DEVICES as the prolog has it: under MIG the instances' UUIDs
    sharing: list[str] | None = None  # mps, shard: others may hold the GPUs too; null: not told


class GpuProcess(NamedTuple):
    """A process that NVML lists on a GPU."""

    pid: int
    start_ticks: int | None
    uid: int | None
    gpu: str | None  # UUID
    mem_mib: int | None


class EndMark(NamedTuple):
    """What the epilog saw. `run` is null when no ticket of this job is on the node."""

    run: str | None
    at: float
    node: str
    cluster: str
    job_id: int
    boot_id: str
    uid: int | None
    restart_count: int | None
    exit_code: str | None
    comment: str | None
    extra: str | None
    alive: (
        list[GpuProcess] | None
    )  # processes of the job's uid that still hold a GPU device file; null: not looked
    net: NetState | None
    why: dict[str, str]
    format: int = FORMAT
    boot_s: float | None = None
    slurm_start_at: float | None = None
    sluid: str | None = None
    intent_sha256: str | None = None  # as in the ticket; another one: comment or extra were edited meanwhile


class ProcShare(NamedTuple):
    """One process's part of one window of one GPU."""

    pid: int
    start_ticks: int
    run: str | None  # the run that this process belongs to (may differ from the window's run)
    sm_ms: int | None  # milliseconds of SM time by NVML's per-process utilisation
    mem_mib: int | None
    cpu_ms: int | None  # CPU time spent in this window
    written_b: int | None  # bytes written by write(2) in this window (wchar)
    holds: bool | None = None  # has a GPU's device file; false: none, the list means another
    read_b: int | None = None  # bytes read by read(2) in this window (rchar), pipes and memory included
    stored_b: int | None = None  # for storage in this window, however written (write_bytes); of tmpfs none


class Held(NamedTuple):
    """A process with a GPU's device file open that NVML lists on no GPU: it may work there, or only look."""

    pid: int
    start_ticks: int
    run: str | None  # the run that this process belongs to
    uvm: bool  # has nvidia-uvm open too, as CUDA needs and what only reads NVML does not


class Rhythm(NamedTuple):
    """Shape of the load inside one window, from the sampler's own readings; null fields: too few readings."""

    fs_hz: float  # readings a second
    power_q_mw: list[int] | None  # quantiles 5, 25, 50, 75, 95 %
    busy_q_pct: list[int] | None
    periods: (
        list[list[float]] | None
    )  # up to 3 of [period_s, strength 0..1 (autocorrelation)], strongest first
    crossings: int | None  # crossings of the window's mean power


class Window(NamedTuple):
    """One GPU for up to one window length; `run` null while it is not allocated."""

    run: str | None
    gpu: str  # UUID
    gpu_index: int  # NVML index
    model: str
    mig: str | None
    shared: bool  # more than one run holds this GPU
    start_at: float
    end_at: float
    start_mono_s: float
    n: int  # readings
    covered_ms: int  # time between readings no farther apart than the gap limit
    gap_ms: int  # the rest of the window
    energy_mj: int | None  # whole board, over covered time
    power_mw: int | None  # mean of readings
    power_limit_mw: int | None
    busy_ms: int | None  # NVML gpu utilisation, integrated over covered time
    sm_ms: int | None  # GPM SM activity, integrated
    tensor_ms: int | None
    int_ms: int | None
    dram_ms: int | None
    sm_cycles: int | None  # cumulative counter's delta
    mem_used_mib: int | None  # maximum
    mem_total_mib: int | None
    sm_clock_mhz: int | None  # mean
    temp_c: int | None  # maximum
    throttle: int | None  # OR of NVML's clocks event reasons
    pcie_tx_b: int | None
    pcie_rx_b: int | None
    nvlink_tx_b: int | None
    nvlink_rx_b: int | None
    rhythm: Rhythm | None
    procs: list[ProcShare]
    procs_truncated: bool
    why: dict[str, str]
    power_inst_mw: int | None = None  # mean of the instant readings; `power_mw` is what the driver averages
    mem_busy_ms: int | None = None  # NVML memory utilisation, integrated over covered time
    map: str | None = (
        None  # how sure that this GPU is the run's: confirmed, by-uuid, unconfirmed, contradicted
    )
    procs_upper: bool | None = (
        None  # `sm_ms` of processes are upper bounds: the driver tells working times alone
    )
    more: dict[str, int] | None = None  # further cumulative channels by NVML's name: deltas over covered time
    held: list[Held] | None = None  # others than its run's that hold it, unlisted; null: not looked at
    n_own: int | None = None  # processes of its run that hold it, listed or not
    held_truncated: bool | None = None  # not every process of the node was looked at


class ProcessSeen(NamedTuple):
    """A process of a run, or one on a GPU. Written when first seen, when its facts change, and at the end."""

    run: str | None
    how: str | None  # cgroup, stepd, remembered, uid-time; null with run null
    pid: int
    start_ticks: int
    start_at: float | None
    uid: int | None
    ppid: int | None
    parents: list[str]  # exe base names upwards, nearest first, at most 6
    exe: str | None
    exe_flags: list[str]  # deleted, memfd, tmp
    comm: str | None
    cmdline: str | None  # redacted
    cgroup: str | None
    gpus: list[str]  # UUIDs on which NVML listed it
    first_seen_at: float
    last_seen_at: float
    gone: bool
    mono_s: float | None = None  # of last_seen_at
    flags: list[str] | None = None  # other-uid, suspended, other-node
    devices: list[str] | None = None  # UUIDs of GPUs whose device file it had open; null: not looked at


class FileSeen(NamedTuple):
    """A file of a run as seen at one moment: the trusted half of every progress claim."""

    run: str
    at: float
    path: str
    how: str  # fd, stdout, stderr, guard, walk
    dev: int | None
    ino: int | None
    size: int | None
    ctime_ns: int | None
    pid: int | None  # a process that has it open for writing
    pids: list[int]  # all of them, at most 16
    why: dict[str, str]


class Event(NamedTuple):
    """A hard fact or a word about the sampler itself (docs/formats.md lists the names)."""

    at: float
    run: str | None
    name: str
    detail: dict[str, Any]
    mono_s: float | None = None


class GpuSeen(NamedTuple):
    """One GPU of the node, written when it is found and when one of these facts changes."""

    at: float
    mono_s: float | None
    gpu: str  # UUID
    gpu_index: int
    minor: int | None  # of /dev/nvidia<minor>
    pci: str | None  # bus id
    model: str
    mig: str | None
    driver: str | None
    answers: list[str]  # fields and metrics that the driver gives
    why: dict[str, str]  # field -> reason it is not given


class Accounted(NamedTuple):
    """A process that the driver's accounting remembers: it may have lived between two looks."""

    at: float
    run: str | None  # null: the pid was never seen, so nobody knows whose it was
    gpu: str
    pid: int
    start_at: float | None
    time_ms: int | None  # that it held a context
    sm_pct: int | None  # mean over that time
    mem_pct: int | None
    max_mem_mib: int | None
    running: bool


class Lost(NamedTuple):
    """A sealed segment that was given up to keep the spool within its bounds, before anybody collected it."""

    at: float
    run: str | None
    seq: int
    n: int | None
    sha256: str | None
    reason: str


class SegmentHead(NamedTuple):
    """First line of a segment."""

    format: int
    node: str
    cluster: str
    boot_id: str
    run: str | None  # null: the node's own stream
    seq: int
    prev_sha256: str | None  # digest of the stream's segment before this one
    opened_at: float
    opened_mono_s: float
    sampler: str  # version
    window_s: float
    sample_interval_s: float


class SegmentTail(NamedTuple):
    """Last line of a sealed segment. `sha256` covers every byte before this line."""

    n: int  # records between head and tail
    sha256: str
    closed_at: float
    reason: str  # rotate, run-ended, sampler-stopped, recovered


class Seal(NamedTuple):
    """The end of a run's stream on one node: what should have arrived."""

    run: str
    node: str
    cluster: str
    at: float
    ended_by: str  # epilog, processes-gone, reboot, superseded, sampler-stopped
    segments: list[list[Any]]  # [seq, n, sha256] in order
    n_windows: int
    format: int = FORMAT
    mono_s: float | None = None
    lost: list[list[Any]] | None = None  # [seq, n, sha256] given up before they were collected


class ReadHead(NamedTuple):
    """First line of one reading of a run's logs."""

    format: int
    run: str
    node: str
    cluster: str
    read: int  # counts up per run; the highest is the one that holds
    at: float
    reader: str  # version


class LogFile(NamedTuple):
    """One file that was looked at. `n` points were read; 0 with a problem says why."""

    file: int  # referred to by Point.file
    path: str
    how: str  # fd, stdout, stderr, guard, walk; declared: the job's `progress=` names it
    source: str | None  # reader id; null: no reader knows it
    track: str  # logical run inside the job that this file speaks of
    size: int | None
    ino: int | None
    n: int
    read_b: int
    bind_conf: float  # 0..1, how sure that this file is the run's
    pids: list[int]  # processes that had it open for writing
    problems: list[str]  # "slug: words"
    params: int | None = None  # parameters of the model; null: not said
    dense: int | None = None  # of them those that every token passes (no experts); null: not known
    params_from: str | None = None  # header: of safetensors files' headers; said: the log's own words


class Point(NamedTuple):
    """One claim of progress; counters cumulative within (track, segment)."""

    file: int
    track: str
    segment: int
    at: float | None  # claimed; null: the format has no clock
    obs_lo_at: float | None  # trusted: on disk after …
    obs_hi_at: float | None  # … and by; null: not bracketed
    step: int | None
    samples: int | None
    tokens: int | None
    total: int | None  # claimed target in steps
    loss: float | None
    phase: str  # train, eval, checkpoint, init, end, unread
    offset: int | None  # of the record's end in the file
    flags: list[str]  # backdated, future, bulk, step-back, rewritten, naive-clock, …
    took_s: float | None = None  # claimed time of one step, to 2e-4 of itself; null: not said, or coarser


class ReadTail(NamedTuple):
    """Last line of a reading. `sha256` covers every byte before this line."""

    n: int
    sha256: str
    truncated: bool  # a cap was met; `problems` of the files say which


KINDS: dict[str, type] = {
    "ticket": Ticket,
    "end": EndMark,
    "head": SegmentHead,
    "window": Window,
    "process": ProcessSeen,
    "file": FileSeen,
    "flow": FlowSeen,
    "brief": BriefSeen,
    "relay": RelaySeen,
    "event": Event,
    "gpu": GpuSeen,
    "accounted": Accounted,
    "lost": Lost,
    "tail": SegmentTail,
    "seal": Seal,
    "read": ReadHead,
    "log": LogFile,
    "point": Point,
    "readtail": ReadTail,
}
_KIND_OF = {shape: kind for kind, shape in KINDS.items()}


def encode(record: Any) -> str:
    """One record as one line of JSON, newline included. NaN and infinity are refused (ValueError)."""
    return to_json({"k": _KIND_OF[type(record)], **record._asdict()}) + "\n"


def run_key(cluster: str, job_id: int, node: str, boot_id: str, ticket_at: float) -> str:
    """The node's name for a run (rulings 1)."""
    return f"{cluster}/{job_id}/{node}/{boot_id.replace('-', '')[:8]}/{int(ticket_at * 1000)}"


def stem(run: str) -> str:
    """A run key as a file name."""
    return run.replace("/", "_")


def clip(text: str | None, limit: int = MAX_TEXT) -> str | None:
    """Text that a user chose, cut to `limit` bytes of UTF-8; undecodable bytes become U+FFFD."""
    if text is None:
        return None
    raw = text.encode("utf-8", "surrogateescape")[:limit]
    clipped = raw.decode("utf-8", "replace")
    return text if clipped == text else clipped  # not once more in memory
