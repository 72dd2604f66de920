"""Faults of disks and files: what cannot be written, and what was written wrong."""

import errno
import json
import time
from functools import partial
from pathlib import Path

from tests.rig import stages
from tests.rig.faults.case import Case, Fault
from tests.rig.layout import RigError

REFUSED_S = 6.0
_DEEP = "[" * 100_000


def _refused(case: Case, number: int) -> None:
    """Every write of the sampler below the spool is refused for a while in mid-job."""
    page = case.bench.site.sampler
    case.begin()
    with case.unseen(case.bench.reopen_s):  # windows that the disk does not take are lost, and counted
        page.set(write_errno=number)
        time.sleep(REFUSED_S)
        case.must(page.count("n_refused") > 0, "the sampler wrote nothing")
        page.ease()
    case.finish()


def _full_at_end(case: Case) -> None:
    """The disk is full when the run ends, and has room again 8 s later: tail and seal must come then."""
    page = case.bench.site.sampler
    case.begin(wait_s=12.0)
    with case.unseen():
        page.set(write_errno=errno.ENOSPC)
        case.finish()
        time.sleep(8.0)
        case.must(page.count("n_refused") > 0, "the sampler wrote nothing")
        page.ease()


def _hooks_refused(case: Case, number: int) -> None:
    """The hooks' writes below the spool are refused; the run folder still takes the ticket."""
    page = case.bench.site.hooks
    page.set(write_errno=number)
    case.begin(wait_s=1.0)
    case.must(page.count("n_refused") > 0, "the prolog wrote nothing")
    page.ease()
    case.finish()


def _spool_full(case: Case) -> None:
    """A real file system without a free byte where the hooks put tickets and end marks for the collector."""
    bench = case.bench
    with (
        bench.tmpfs(bench.spool / "tickets", "size=8k,mode=0750"),
        bench.tmpfs(bench.spool / "ends", "size=8k,mode=0750"),
    ):
        for name in ("tickets", "ends"):
            bench.fill(bench.spool / name)
        case.begin(wait_s=1.0)
        case.finish()
        case.settle()


def _run_dir_full(case: Case) -> None:
    """The run folder's tmpfs is full: ticket and end mark reach the spool alone."""
    bench = case.bench
    bench.end_sampler()
    with bench.tmpfs(bench.run_dir, "size=128k,mode=0711"):
        began_at = time.time()
        bench.revive()
        case.must(bench.wait_told("sampler-started", began_at, 20.0), "no sampler started")
        bench.fill(bench.run_dir)
        case.begin(wait_s=1.0)
        names = [path.name for path in (bench.run_dir / "tickets").glob(f"*_{case.job}_*")]
        case.must(not names, "the ticket fitted")
        case.finish()
        case.settle()
        bench.end_sampler()


def _strange_ticket(case: Case, kind: str) -> None:
    """A file among the tickets that is none; the witness's own is beside it. The sampler finds it in mid-run,
    and so does another one that starts on it."""
    bench = case.bench
    case.begin(wait_s=2.0)
    folder = bench.run_dir / "tickets"
    good = next(iter(folder.glob(f"*_{case.job}_*.json"))).read_bytes()
    strange = _strange(kind, good, bench.rig.cluster, bench.node)
    for name, content in strange.items():
        fresh = folder / ".new"
        fresh.write_bytes(content)
        fresh.replace(folder / name)
    bench.wait_told("file-refused", case.since_at, 8.0)
    again_at = time.time()
    bench.end_sampler()
    bench.revive()
    case.must(
        bench.wait_told("sampler-started", again_at, 15.0), "a sampler that starts on it does not say so"
    )
    case.finish()
    case.settle()
    for name in strange:
        (folder / name).unlink(missing_ok=True)


def _strange(kind: str, good: bytes, cluster: str, node: str) -> dict[str, bytes]:
    body = json.loads(good)
    if kind == "garbage":
        return {f"{cluster}_77_{node}_deadbeef_1.json": bytes(range(256)) * 8}
    if kind == "truncated":
        return {f"{cluster}_78_{node}_deadbeef_1.json": good[: len(good) // 2]}
    elsewhere = {**body, "run": "../../../../etc/x", "node": "../.."}
    forged = {
        **body,
        "job_id": -1,
        "run": f"{cluster}/79/{node}/deadbeef/1",
        "gpus": [10**30, -5],
        "uid": "root",
    }
    return {
        f"{cluster}_79_{node}_deadbeef_1.json": json.dumps(forged).encode(),
        f"{cluster}_80_{node}_deadbeef_1.json": json.dumps(elsewhere).encode(),
        f"{cluster}_81_{node}_deadbeef_1.json": _DEEP.encode(),
        f"{cluster}_82_{node}_deadbeef_1\n<1>forged: line.json": b'{"k":"ticket"}',
    }


def _corrupt_segment(case: Case) -> None:
    """One byte of the run's sealed segment is flipped before anybody collects it."""
    case.begin(wait_s=0.0)
    case.finish()
    case.settle()
    case.blind.append((case.since_at, case.until_at))  # what it held is refused, whole
    paths = sorted((case.bench.spool / "sealed").glob(f"*_{case.job}_*.jsonl"))
    case.must(bool(paths), "there is no sealed segment")
    for path in paths:
        _flip(path)


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 0x04
    path.write_bytes(bytes(raw))


def _store_away(case: Case) -> None:
    """The lake cannot be written when the collector comes; the next time it can."""
    case.begin(wait_s=0.0)
    case.finish()
    case.settle()
    rig = case.bench.rig
    lake, away = rig.path / "lake", rig.path / "lake.away"
    with case.bench.store_lock:
        lake.rename(away)
        lake.mkdir(mode=0o555)  # root's, and not the collector's to write
        try:
            stages.run_guard(rig, ["collect"])
            case.must(False, "collect wrote somewhere")
        except RigError as error:
            case.proofs.append(str(error).strip().splitlines()[0][-120:])
        finally:
            lake.rmdir()
            away.rename(lake)


FAULTS = (
    Fault(
        "ENOSPC",
        "spool",
        f"every write of the sampler, {REFUSED_S:.0f} s",
        partial(_refused, number=errno.ENOSPC),
        ("event:records-dropped",),
    ),
    Fault(
        "EIO",
        "spool",
        f"every write and sync of the sampler, {REFUSED_S:.0f} s",
        partial(_refused, number=errno.EIO),
        ("event:records-dropped",),
    ),
    Fault(
        "EROFS",
        "spool",
        f"read-only for the sampler, {REFUSED_S:.0f} s",
        partial(_refused, number=errno.EROFS),
        ("event:records-dropped",),
    ),
    Fault(
        "ENOSPC-at-end",
        "spool",
        "full from the last seconds until 8 s after the end",
        _full_at_end,
        ("event:records-dropped", "event:seal-failed"),
    ),
    Fault(
        "hooks-EIO",
        "spool",
        "every write of the hooks' ticket",
        partial(_hooks_refused, number=errno.EIO),
        ("syslog:not written",),
    ),
    Fault(
        "hooks-ENOSPC",
        "spool",
        "a full tmpfs under tickets and end marks",
        _spool_full,
        ("syslog:not written",),
    ),
    Fault(
        "run-dir-full",
        "run_dir",
        "a full tmpfs: nothing reaches the run folder",
        _run_dir_full,
        ("syslog:not written",),
    ),
    Fault(
        "ticket-garbage",
        "run_dir",
        "bytes that are no JSON among the tickets",
        partial(_strange_ticket, kind="garbage"),
        ("event:file-refused",),
    ),
    Fault(
        "ticket-truncated",
        "run_dir",
        "half a ticket",
        partial(_strange_ticket, kind="truncated"),
        ("event:file-refused",),
    ),
    Fault(
        "ticket-hostile",
        "run_dir",
        "foreign paths, huge numbers, deep nesting, a name with a line in it",
        partial(_strange_ticket, kind="hostile"),
        ("event:file-refused",),
    ),
    Fault(
        "segment-corrupt",
        "spool",
        "a byte flipped in the run's sealed segment",
        _corrupt_segment,
        ("collect",),
        False,
    ),
    Fault(
        "store-away", "lake", "not writable when the collector comes first", _store_away, ("proof",), False
    ),
)
