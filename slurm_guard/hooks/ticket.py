"""The prolog: one ticket for the run, written on the node before anybody knows how the run will end."""

import time

from slurm_guard import wire
from slurm_guard.hooks.apart import Apart
from slurm_guard.hooks.client import make_progress_file
from slurm_guard.hooks.environ import MAX_SHORT, Environ, Identity
from slurm_guard.hooks.netstate import read_netstate
from slurm_guard.hooks.settings import Settings
from slurm_guard.hooks.spool import run_store, spool_store, write_file
from slurm_guard.light import Callable

Trace = Callable[[str], None]
_LISTS = ("interfaces", "routes", "kinds", "rules", "firewall")  # lost where a snapshot is too long


def write_ticket(settings: Settings, environ: Environ, trace: Trace, child: Apart | None = None) -> Identity:
    """Write the ticket to the run folder and the spool; each that fails is one trace. Returns who we are.

    `child` looks at the node's routes and filters meanwhile; null: none does.
    Raises ValueError when there is no usable job id.
    """
    at, boot_s = time.time(), read_boot_s()
    who = environ.identity()
    run = wire.run_key(who.cluster, who.job_id, who.node, who.boot_id, at)
    ticket = build_ticket(environ, who, run, at, boot_s)
    ticket = ticket._replace(net=read_netstate(at, child))
    ticket = ticket._replace(progress_path=_make_client_file(settings, ticket, trace))
    store(settings, who.node, "tickets", f"{wire.stem(run)}.json", encode_bounded(ticket), trace)
    return who


def read_boot_s() -> float:
    """Seconds since boot, suspended ones too: the clock of processes' starts, which nobody can set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def build_ticket(environ: Environ, who: Identity, run: str, at: float, boot_s: float) -> wire.Ticket:
    """What the environment and /proc say; null with a reason in `why` where they are silent."""
    start = environ.start_at()
    return wire.Ticket(
        run=run,
        at=at,
        node=who.node,
        cluster=who.cluster,
        job_id=who.job_id,
        boot_id=who.boot_id,
        uid=who.uid,
        gid=environ.owner("gid", "SLURM_JOB_GID"),
        user=environ.text("SLURM_JOB_USER", MAX_SHORT),
        account=environ.text("SLURM_JOB_ACCOUNT", MAX_SHORT),
        partition=environ.text("SLURM_JOB_PARTITION", MAX_SHORT),
        gpus=environ.gpus(),
        nodelist=environ.text("SLURM_JOB_NODELIST") or environ.text("SLURM_NODELIST"),
        restart_count=environ.integer("restart_count", "SLURM_JOB_RESTART_COUNT"),
        slurm_start_at=None if start is None else float(start),
        sluid=environ.text("SLURM_JOB_SLUID", MAX_SHORT),
        het_job_id=environ.integer("het_job_id", "SLURM_HET_JOB_ID", "SLURM_PACK_JOB_ID"),
        work_dir=environ.text("SLURM_JOB_WORK_DIR"),
        stdout=environ.text("SLURM_JOB_STDOUT"),
        stderr=environ.text("SLURM_JOB_STDERR"),
        comment=environ.text("SLURM_JOB_COMMENT"),
        extra=environ.text("SLURM_JOB_EXTRA"),
        intent_sha256=hash_intent(environ.raw("SLURM_JOB_COMMENT"), environ.raw("SLURM_JOB_EXTRA")),
        progress_path=None,
        net=None,
        why=environ.why,
        boot_s=boot_s,
        visible=environ.text("CUDA_VISIBLE_DEVICES"),
        sharing=environ.sharing(),
    )


def hash_intent(comment: bytes | None, extra: bytes | None) -> str | None:
    """SHA-256 of comment + NUL + extra, the bytes as Slurm handed them over; null when both are absent."""
    if comment is None and extra is None:
        return None
    import hashlib  # 2 ms that a job without a declared intent need not pay

    return hashlib.sha256((comment or b"") + b"\0" + (extra or b"")).hexdigest()


def encode_bounded(record: wire.Ticket | wire.EndMark) -> bytes:
    """The record as a line that ingest will take: a network snapshot that is too long loses its lists."""
    line = wire.encode(record).encode("ascii")
    if len(line) > wire.MAX_LINE and record.net is not None:
        net = record.net._replace(
            listen=[],
            established=[],
            interfaces=[],
            routes=[],
            truncated=True,
            why={**record.net.why, **dict.fromkeys((*_LISTS, "lists"), "too long")},
            kinds=None,
            rules=None,
            firewall=None,
        )
        line = wire.encode(record._replace(net=net)).encode("ascii")
    return line


def store(settings: Settings, node: str, kind: str, name: str, data: bytes, trace: Trace) -> None:
    """Write to the run folder and the spool; one may fail without the other, and each says so."""
    for place in (run_store(settings.run_dir), spool_store(settings.spool_dir)):
        try:
            write_file(place, f"{node}/{kind}", name, data)
        except OSError as error:
            trace(f"{kind} {name} not written below {place.root}: {error.strerror}")


def _make_client_file(settings: Settings, ticket: wire.Ticket, trace: Trace) -> str | None:
    """The run's SLURM_GUARD_PROGRESS file; null with a reason when it could not be made."""
    if ticket.uid is None:
        ticket.why["progress_path"] = "the job's uid is unknown"
        return None
    run_name = f"{ticket.job_id}.{ticket.run.rpartition('/')[2]}"
    try:
        return make_progress_file(settings.client_dir, run_name, ticket.uid, ticket.gid)
    except OSError as error:
        ticket.why["progress_path"] = error.strerror or "could not be made"
        trace(f"progress file {run_name} not made below {settings.client_dir}: {error.strerror}")
        return None
