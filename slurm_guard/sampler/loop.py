"""The sampler's loop: what is due when. One thread; time comes from a Clock, so that tests never sleep."""

from __future__ import annotations

import os

from slurm_guard import __version__, wire
from slurm_guard.clock import Clock
from slurm_guard.light import TYPE_CHECKING, Any, Callable, NamedTuple
from slurm_guard.sampler.boards import Board
from slurm_guard.sampler.endings import Endings
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.files import RunFiles
from slurm_guard.sampler.gpumap import Map
from slurm_guard.sampler.heard import files_of
from slurm_guard.sampler.helper import Helper
from slurm_guard.sampler.holding import Holding
from slurm_guard.sampler.parts import Part, parts_of
from slurm_guard.sampler.procfs import Proc
from slurm_guard.sampler.reader_child import Readers
from slurm_guard.sampler.reading import GpuReader
from slurm_guard.sampler.recover import recover
from slurm_guard.sampler.rounds import Every, place_of
from slurm_guard.sampler.runs import Folders, Run, RunBook
from slurm_guard.sampler.streams import Streams, origin_of
from slurm_guard.sampler.switch import Switch
from slurm_guard.sampler.tables import Tables
from slurm_guard.sampler.walked import walked
from slurm_guard.sampler.windows import WindowRules
from slurm_guard.sampler.writer import Instant, prepare

if TYPE_CHECKING:
    from slurm_guard.config import Config

SETTLE_S = 2.0  # after a run's end, for the last bytes of its logs; less where files are looked at oftener
FIRST_READ_S = (
    600.0  # into a run: from then on files are followed that only a walk finds (design note, section 3)
)
MOST_ERRORS = 10  # rounds in a row that may fail before the sampler gives up: judgement


class Place(NamedTuple):
    """Where and who: what does not change while the sampler lives."""

    node: str
    boot_id: str
    folders: Folders
    devices: str = "/dev"  # where the GPUs' device files are


class Loop:
    """All state of one sampler."""

    def __init__(self, config: Config, place: Place, clock: Clock, reader: GpuReader, proc: Proc) -> None:
        self.config, self.place, self.clock, self.reader = config, place, clock, reader
        self.proc = proc
        node = config.node
        prepare(place.folders.spool)
        origin = origin_of(place.folders.spool, place.node, place.boot_id, node, config.slurm.cluster)
        self.streams = Streams(origin, Journal(place.node))
        self.helper = Helper()
        self.readers = Readers(os.path.join(place.folders.spool, "progress"), config.progress)
        self.book = RunBook(place.folders, place.node, place.boot_id)
        self.boards: dict[str, Board] = {}
        self.holding = Holding(Map(node.gres_devices, place.devices), self.boards, self.event)
        self.tables = Tables(self, self.holding)
        self.endings = Endings(self.book, self.tables.processes, node.end_grace_s)
        self.files: dict[str, RunFiles] = {}
        self.stop_reason: str | None = None
        self.switch, self.off = Switch(node), False
        self._settling: dict[str, float] = {}  # ended run -> monotonic second at which it is sealed
        self._quiet_since_s: float | None = None
        self._reads: dict[str, Every] = {}
        self._sample, self._table = Every(node.sample_interval_s), Every(node.table_interval_s)
        self._file, self._segment = Every(node.file_interval_s), Every(node.segment_s)
        self._rules = WindowRules(node.sample_interval_s, node.gap_factor)
        self._n_hung = self._n_errors = 0
        self.parts: list[Part] = parts_of(self)

    # -- time and records

    def now(self) -> Instant:
        """Both clocks."""
        return Instant(self.clock.now_at(), self.clock.mono_s())

    def out(self, run: str | None, record: Any) -> None:
        """A record to a run's stream, or to the node's own."""
        self.streams.write(run, record, self.now())

    def event(self, name: str, run: str | None = None, **detail: Any) -> None:
        """A word of the sampler's own."""
        now = self.now()
        self.out(run, wire.Event(now.at, run, name, detail, now.mono_s))

    # -- life

    def start(self) -> None:
        """Close what a dead sampler left, take up the runs that are not sealed."""
        recovered = recover(self.place.folders.spool, self.clock.now_at())
        self._take_begun(self.book.poll())
        self.event("sampler-started", version=__version__, pid=os.getpid())
        for found in recovered:
            if found.bad is None:
                self.event("segment-recovered", file=found.name, n=found.n, cut_b=found.cut_b)
            else:
                self.event("file-set-aside", file=wire.clip(found.name, 256), reason=found.bad)

    def run(self) -> str:
        """Until something says stop; returns the reason."""
        self._guarded(self.start)
        while self.stop_reason is None:
            self._guarded(self.tick)
            self.clock.sleep(self._wait_s())
        self.stop(self.stop_reason)
        return self.stop_reason

    def _guarded(self, step: Callable[[], None]) -> None:
        """A fault in a step is told and does not end the sampling, unless it comes every time."""
        try:
            step()
            self._n_errors = 0
        except Exception as error:  # noqa: BLE001  the one boundary of the sampler
            self._n_errors += 1
            kind, place = type(error).__name__, place_of(error)
            self.event("sampler-error", kind=kind, place=place, text=wire.clip(str(error), 256))
            if self._n_errors >= MOST_ERRORS:
                self.stop_reason = f"error: {kind} at {place}"

    def _wait_s(self) -> float:
        every = self._table if self.off else self._sample
        return (every.next_s if every.next_s is not None else 0.0) - self.clock.mono_s()

    def stop(self, reason: str) -> None:
        """Close windows and segments; nothing is sealed, a new sampler goes on."""
        now = self.now()
        for board in self.boards.values():
            board.close_all(now)
        self._drain_files()
        for part in self.parts:
            part.close(now)
        self.event("sampler-stopped", reason=reason)
        self.streams.close("sampler-stopped", self.now())
        self.readers.poll(now.mono_s)
        self.readers.close()
        self.helper.close()
        self.tables.close()
        self.proc.close()
        self.reader.close()

    def tick(self) -> None:
        """One round: everything that is due."""
        now = self.now()
        if self._switched_off(now):
            self._tick_parts(now)
            return
        self._take_begun(self.book.poll())
        self.endings.settle(now, self.event)
        self._release_ended(now)
        if self._sample.due(now.mono_s):
            self._read_boards(now)
        if self._table.due(now.mono_s):
            self._find_boards()
            self.tables.look(self.now(), self.book, self.boards)
        self._release_ended(now)
        if self._file.due(now.mono_s):
            self._scan_files()
        self._poll_children(now)
        closed = [board.close_due() for board in self.boards.values()]
        if any(closed):
            self.streams.sync()
        self._seal_settled(now)
        self._rotate(now)
        self._tick_parts(now)
        self._leave_if_idle(now)
        self.proc.rest()

    def _tick_parts(self, now: Instant) -> None:
        for part in self.parts:
            part.tick(now)

    def slow_tables(self, factor: float) -> None:
        """Look at the tables this many times less often than configured."""
        self._table.every_s = self.config.node.table_interval_s * factor

    # -- the switch

    def _switched_off(self, now: Instant) -> bool:
        """Whether the kill switch is set; told when it changes."""
        file = self.switch.look(now)
        if file is not None and not self.off:
            for board in self.boards.values():
                board.close_all(now)
            self.event("switched-off", file=file)
            self.reader.close()  # it comes back by itself with the next question
            self.streams.close("rotate", now)
        elif self.off and file is None:
            for board in self.boards.values():
                board.resume(now)
            self.event("switched-on")
        self.off = file is not None
        if self.off:
            self._table.due(now.mono_s)
        return self.off

    # -- GPUs

    def _find_boards(self) -> None:
        """GPUs that NVML names now: it may come late; MIG instances may go, but none that a run has yet."""
        infos = self.reader.gpus()
        kept = {info.uuid for info in infos}.union(*(run.gpus or () for run in self.book.runs.values()))
        for uuid in set(self.boards) - kept if infos else ():
            if not self.boards[uuid].holders:
                self.boards.pop(uuid).close_all(self.now())
        for info in infos:
            if info.uuid not in self.boards:
                sure = self.holding.map.state
                self.boards[info.uuid] = Board(info, self._rules, self.config.node.window_s, self._emit, sure)
                self.event("gpu-found", gpu=info.uuid, index=info.gpu_index, model=info.model, mig=info.mig)
        self.holding.note(infos)
        for run in self.book.alive():
            self.holding.hold(run, self.now())

    def _emit(self, window: wire.Window) -> None:
        self.out(window.run, window)

    def _read_boards(self, now: Instant) -> None:
        if not self.boards:
            self._find_boards()
        stall_s = 0.0
        for board in self.boards.values():
            reading = self.reader.read(board.info)
            if reading is not None:
                stall_s = max(stall_s, board.add(reading) or 0.0)
        if stall_s > 0:
            self.event("stalled", stall_s=round(stall_s, 3))

    # -- runs

    def _take_begun(self, begun: list[Run]) -> None:
        for run in [*begun, *(run for run in self.book.runs.values() if run.key not in self.files)]:
            if run.key in self.files:
                continue
            self.streams.name_cluster(run.ticket.cluster, self.now())
            files = RunFiles(run.ticket, self.proc, self.helper, self.config.node.max_files)
            files.resume(files_of(self.place.folders.spool, run.key))
            self.files[run.key] = files
            self._reads[run.key] = Every(self.config.node.segment_s)
            self._reads[run.key].next_s = self.clock.mono_s() + min(FIRST_READ_S, self.config.node.segment_s)
            if run.ended_by in (None, "epilog", "superseded"):  # it may be over since the last round
                self.holding.hold(run, self.now())
        for name, reason in self.book.strange:
            self.event("file-refused", file=wire.clip(name, 256), reason=reason)
        self.book.strange.clear()

    def _release_ended(self, now: Instant) -> None:
        """Ended runs give their boards back and get a moment for the last bytes of their logs."""
        for run in list(self.book.runs.values()):
            if run.alive or run.key in self._settling:
                continue
            self.holding.release(run, now)
            self.tables.end(run, now)
            self.files[run.key].ask()
            self._settling[run.key] = now.mono_s + min(SETTLE_S, self.config.node.file_interval_s)

    def _seal_settled(self, now: Instant) -> None:
        for key, until_s in list(self._settling.items()):
            if now.mono_s < until_s:
                continue
            del self._settling[key]
            run = self.book.runs[key]
            files = self.files.pop(key)
            self.holding.close(run)
            self.tables.seal(key, now)
            if not self.streams.finish(key, run.ended_by or "processes-gone", now):
                self.out(None, wire.Event(now.at, key, "seal-failed", {}))
            self._request_reading(run, files, now)
            self.readers.forget(key)
            self._reads.pop(key, None)
            self.book.close(run)

    def _rotate(self, now: Instant) -> None:
        """Segments that are old enough are sealed; living runs' logs are read once in the same time."""
        self.streams.rotate(self.config.node.segment_s, now)
        for run in self.book.alive():
            if self._reads[run.key].due(now.mono_s):
                self._request_reading(run, self.files[run.key], now)
        if self._segment.due(now.mono_s):
            self.book.tidy(now.at)

    # -- files and children

    def _scan_files(self) -> None:
        for run in self.book.alive():
            self.files[run.key].scan(
                self.tables.processes.of_run(run.key), self.tables.processes.stepds(run.facts), self.now()
            )

    def _poll_children(self, now: Instant) -> None:
        self.helper.poll(now.at, now.mono_s)
        if self.helper.n_hung > self._n_hung:
            self._n_hung = self.helper.n_hung
            self.event("helper-hung", n=self._n_hung)
        for pid, uid in self.proc.hung():
            self.event("proc-hung", pid=pid, uid=uid)
        self._drain_files()
        failures = self.readers.poll(now.mono_s)
        for run, reading in self.readers.take_done():
            if run in self.files:
                self.files[run].take_up(walked(reading))
        for failure in failures:
            self.event("reader-failed", failure.run, read=failure.read, reason=failure.reason)

    def _drain_files(self) -> None:
        for key, files in self.files.items():
            for record in files.take_told():
                self.out(key, record)

    def _request_reading(self, run: Run, files: RunFiles, now: Instant) -> None:
        """Ask for a reading of the run's logs as they stand."""
        ticket = run.ticket
        request = {
            "run": ticket.run,
            "node": ticket.node,
            "cluster": ticket.cluster,
            "job_id": ticket.job_id,
            "uid": ticket.uid,
            "gid": ticket.gid,
            "at": now.at,
            "ticket_at": ticket.at,
            "ended_at": run.ended_at,
            "work_dir": ticket.work_dir,
            "comment": ticket.comment,
            "extra": ticket.extra,
            **run.authors.request(),
            "files": files.request(),
            **files.kept,
        }
        if not self.readers.submit(run.key, request):
            self.event("reader-failed", run.key, reason="too many readings wait")

    # -- leaving

    def _leave_if_idle(self, now: Instant) -> None:
        """With idle_exit_s: stop after that long without a run or a reading."""
        if self.config.node.idle_exit_s == 0 or self.book.runs or self.readers.busy:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now.mono_s
        elif now.mono_s - self._quiet_since_s >= self.config.node.idle_exit_s:
            self.stop_reason = "idle"
