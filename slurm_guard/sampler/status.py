"""What the sampler watches now, in a file that `slurm-guard node status` shows. No word of a job's in it."""

from __future__ import annotations

import os

from slurm_guard import __version__
from slurm_guard.light import TYPE_CHECKING, Any, from_json, to_plain_json
from slurm_guard.sampler.whole import write_public
from slurm_guard.sampler.writer import Instant

if TYPE_CHECKING:
    from slurm_guard.sampler.boards import Board
    from slurm_guard.sampler.loop import Loop
    from slurm_guard.sampler.runs import Run

STATUS_FILE = "status.json"
EVERY_S = 60.0
SPOOL_EVERY_S = 300.0
MOST_SPOOL_FILES = 50_000  # counted; beyond them the sum is a lower bound: judgement, some 50 ms of stats
MOST_BYTES = 1 << 20  # of a status that is read
_SPOOL_FOLDERS = ("tickets", "ends", "open", "sealed", "seals", "progress")


def _place(item: tuple[str, Board]) -> tuple[int, str]:
    """NVML's order; MIG instances of one GPU by UUID."""
    return item[1].info.gpu_index, item[0]


class Spool:
    """Bytes in the node's spool, looked at every five minutes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.bytes: int | None = None
        self.complete = True
        self._next_s: float | None = None

    def look(self, now: Instant) -> None:
        """Add up anew when it is due."""
        if self._next_s is not None and now.mono_s < self._next_s:
            return
        self._next_s = now.mono_s + SPOOL_EVERY_S
        total = n = 0
        for name in _SPOOL_FOLDERS:
            try:
                with os.scandir(os.path.join(self.folder, name)) as entries:
                    for entry in entries:
                        n += 1
                        if n > MOST_SPOOL_FILES:
                            break
                        total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
        self.bytes, self.complete = total, n <= MOST_SPOOL_FILES


class Status:
    """Writes the file once a minute, at the first round and at the end."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.path = os.path.join(loop.place.folders.run, STATUS_FILE)
        self.spool = Spool(loop.place.folders.spool)
        self.since: Instant = loop.now()
        self._next_s: float | None = None

    def tick(self, now: Instant) -> None:
        """Write when it is due."""
        if self._next_s is not None and now.mono_s < self._next_s:
            return
        self._next_s = now.mono_s + EVERY_S
        self.spool.look(now)
        self._write(now, None)

    def tell(self) -> dict[str, Any]:
        """The spool's size; `complete` false: a lower bound."""
        return {"spool_b": self.spool.bytes, "complete": self.spool.complete}

    def close(self, now: Instant) -> None:
        """The last state, with the reason."""
        self._write(now, self.loop.stop_reason or "unknown")

    def line(self) -> str:
        """One line for systemd."""
        n_runs, n_gpus = len(self.loop.book.alive()), len(self.loop.boards)
        off = ", switched off" if self.loop.off else ""
        return f"following {n_runs} runs on {n_gpus} GPUs{off}"

    def _write(self, now: Instant, reason: str | None) -> None:
        self.loop.streams.journal.tally.forget(set(self.loop.book.runs))
        body = {
            "version": __version__,
            "node": self.loop.place.node,
            "boot_id": self.loop.place.boot_id,
            "pid": os.getpid(),
            "at": now.at,
            "since_at": self.since.at,
            "stopped": None if reason is None else {"at": now.at, "reason": reason},
            **describe(self.loop, now),
        }
        write_public(self.path, to_plain_json(body, default=str) + "\n")


def describe(loop: Loop, now: Instant) -> dict[str, Any]:
    """Everything that the loop follows; JSON values."""
    tally, tables = loop.streams.journal.tally, loop.tables
    return {
        "off": loop.off,
        "gpus": [
            _board(board, tally.maps.get(uuid)) for uuid, board in sorted(loop.boards.items(), key=_place)
        ],
        "runs": [_run(run, tally.window_end_at.get(run.key)) for run in loop.book.runs.values()],
        "tables": {
            "processes": len(tables.processes.by_pid),
            "most_processes": tables.processes.most,
            "processes_truncated": tables.processes.truncated,
            "devices_left": tables.holders.n_left,  # processes not looked at for device files
            "flows_truncated": len(tables.sockets.truncated),
            # false: a connection that comes and goes between two looks is not seen
            "ends_heard": tables.sockets.diag is not None and tables.sockets.diag.hears_ends,
            # false: no bytes of connections are told, and no tunnel can be; null: none was met yet
            "bytes_counted": tables.sockets.diag is not None and tables.sockets.diag.tells_bytes,
            "files": sum(len(files.watched) for files in loop.files.values()),
            "files_truncated": sum(files.truncated for files in loop.files.values()),
        },
        "n_helpers_hung": loop.helper.n_hung + loop.proc.n_hung,
        "segments": loop.streams.open_ages_s(now),
        "counts": {
            "windows": tally.n_windows,
            "dropped": tally.n_dropped,
            "gap_ms": tally.gap_ms,
            "events": dict(sorted(tally.events.items())),
        },
        "last_error": tally.last_error,
        "parts": {type(part).__name__.lower().removesuffix("part"): part.tell() for part in loop.parts},
    }


def _board(board: Board, sure: str | None) -> dict[str, Any]:
    last = board.last
    return {
        "gpu": board.info.uuid,
        "index": board.info.gpu_index,
        "model": board.info.model,
        "mig": board.info.mig,
        "map": sure,
        "holders": board.holders,
        "read_at": None if last is None else last.at,
        "power_mw": None if last is None else last.power_mw,
        "util_pct": None if last is None else last.util_pct,
        "mem_used_mib": None if last is None else last.mem_used_mib,
    }


def _run(run: Run, window_end_at: float | None) -> dict[str, Any]:
    return {
        "run": run.key,
        "job_id": run.ticket.job_id,
        "cluster": run.ticket.cluster,
        "uid": run.ticket.uid,
        "since_at": run.ticket.at,
        "asked": run.ticket.gpus,
        "gpus": run.gpus,
        "resolved": bool(run.gpus) or not run.ticket.gpus,
        "window_end_at": window_end_at,
        "ended_by": run.ended_by,
    }


# -- for those who look from outside


def read_status(folder: str) -> dict[str, Any] | None:
    """The file's content; null: there is none, or it is no status. Raises OSError when it may not be read."""
    try:
        with open(os.path.join(folder, STATUS_FILE), "rb") as body:
            found = from_json(body.read(MOST_BYTES))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def mark_stopped(folder: str, at: float, reason: str) -> None:
    """The last word of a sampler that could not finish by itself, into the status that it left."""
    try:
        found = read_status(folder) or {"version": __version__, "pid": os.getpid()}
    except OSError:
        return
    if found.get("pid") == os.getpid() and found.get("stopped") is None:
        found["stopped"] = {"at": at, "reason": reason}
        write_public(os.path.join(folder, STATUS_FILE), to_plain_json(found) + "\n")
