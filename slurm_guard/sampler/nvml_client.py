"""NVML from a child with a deadline (`nvml_child`): a call that hangs costs readings, never the sampler.

Once a round the child is asked for all boards together, and waited for a little. What comes later is taken in
a later round with its own times. A child that is silent for the deadline is killed and started again; the GPU
at which it hung is left out for a while, so that the others go on.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable

from slurm_guard.light import Any, NamedTuple
from slurm_guard.sampler.children import Child
from slurm_guard.sampler.nvml_process import MOST_STUCK, NvmlProcess
from slurm_guard.sampler.reading import GpuFacts, GpuInfo, GpuProc, GpuReading, PastProc, silence

START_S = 30.0  # longest start of a child: judgement; NVML loads 40 MB of libraries from a cold disk
PATIENCE_S = 0.25  # most that a round waits for its answer: judgement, under 1/10 of the gap limit at 1 Hz
LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 300.0  # between a kill and the next start, doubling: judgement
LEAST_OUT_S, MOST_OUT_S = 60.0, 3600.0  # that a GPU is left out after a hang, doubling: judgement


class Pace(NamedTuple):
    """Time scales of [node]."""

    interval_s: float
    gap_limit_s: float
    lists_every_s: float
    deadline_s: float


class Hang(NamedTuple):
    """A GPU that is left out."""

    until_s: float
    n: int
    child: Child | None  # that hangs at it still; null: it is gone


NOT_ASKED = "NVML was not asked yet"


class NvmlClient:
    """The GpuReader of the sampler. `n_hung`: children that had to be killed."""

    def __init__(
        self,
        mono: Callable[[], float],
        wall: Callable[[], float],
        pace: Pace,
        folder: str,
        accounting: bool = False,
    ) -> None:
        self._mono, self._wall, self._pace = mono, wall, pace

        def serve(into: int, out: int) -> None:
            from slurm_guard.sampler import nvml_child  # here alone: the sampler never imports pynvml

            nvml_child.serve(into, out, folder, accounting)

        self.process = NvmlProcess(serve)
        self.n_hung = 0
        self.why: str | None = NOT_ASKED  # why there are no GPUs; null: there are
        self._since_at = wall()
        self._said_hello = False
        self._number = 0
        self._pending = False
        self._sent = (0.0, 0.0, 0.0)  # wall, the sampler's clock, CLOCK_MONOTONIC
        self._looked_s = self._silent_s = 0.0  # CLOCK_MONOTONIC; silence only counts while we look
        self._where: tuple[str | None, str] = (None, "start")
        self._pause_s, self._start_s = LEAST_PAUSE_S, 0.0
        self._lists_s: float | None = None
        self._infos: dict[str, GpuInfo] = {}
        self._fresh: dict[str, GpuReading] = {}
        self._last_s: dict[str, float] = {}  # UUID -> the sampler's second of the last reading given out
        self._heard_s: dict[str, float] = {}  # … of the last one that NVML gave
        self._served: set[str] = set()
        self._whys: dict[str, dict[str, str]] = {}
        self._lists: dict[str, tuple[float, list[GpuProc] | None]] = {}
        self._hangs: dict[int, Hang] = {}
        self._down_since_s: float | None = None
        self._notes: list[tuple[str, dict[str, Any]]] = []
        self._records: list[GpuFacts | PastProc] = []

    def begin(self) -> None:
        """Start the child early, while there is little that it could share and we would write to.

        It leaves NVML alone until it is asked. A collection writes to all that it looks at: it shall not look
        at what is here now.
        """
        gc.freeze()
        self._start()

    # -- what the loop asks

    def gpus(self) -> list[GpuInfo]:
        """The node's GPUs in NVML's order; empty with `why` while NVML cannot be had."""
        if not self._infos:
            self._round()
        return list(self._infos.values())

    def read(self, gpu: GpuInfo) -> GpuReading | None:
        """One GPU's counters; the first GPU asked for twice begins a new round for all."""
        if gpu.uuid in self._served or not self._served:
            self._served.clear()
            self._round()
        self._served.add(gpu.uuid)
        reading = self._fresh.pop(gpu.uuid, None)
        last_s = self._last_s.get(gpu.uuid, float("-inf"))
        if reading is not None and reading.mono_s > last_s:  # else its time was given out as silence
            self._heard_s[gpu.uuid] = reading.mono_s
        else:
            reading = self._silence(gpu, last_s)
        if reading is not None:
            self._last_s[gpu.uuid] = reading.mono_s
        return reading

    def _silence(self, gpu: GpuInfo, last_s: float) -> GpuReading | None:
        """Nothing observed, with the reason; null while an answer may still come.

        It never lies farther from the reading before than a gap: the sampler itself did run.
        """
        wall, now_s = self._wall(), self._mono()
        out = self._left_out(gpu.gpu_index)
        if not out and self._down_since_s is None and self._pending:
            return None
        mono_s = now_s if last_s < 0 else min(now_s, last_s + self._pace.gap_limit_s)
        if mono_s <= last_s:
            return None
        silent_s = now_s - self._heard_s.get(gpu.uuid, now_s)
        text = f"NVML did not answer for {silent_s:.0f} s"
        if out:
            text = "left out: NVML hung at this GPU"
        elif self._infos and gpu.uuid not in self._infos:
            text = "NVML does not name this GPU any more"
        elif len(self.process.stuck) >= MOST_STUCK:
            text = f"{len(self.process.stuck)} NVML processes hang"
        return silence(wall - (now_s - mono_s), mono_s, text)

    def processes(self, gpu: GpuInfo) -> list[GpuProc] | None:
        """Host pids with a context on the GPU; null: NVML gave no list lately. Utilisation is told once."""
        asked_s, listed = self._lists.get(gpu.uuid, (0.0, None))
        if listed is None or self._mono() - asked_s > 1.5 * self._pace.lists_every_s:
            return None
        self._lists[gpu.uuid] = asked_s, [told._replace(sm_pct=None) for told in listed]
        return listed

    def missing(self) -> str | None:
        """Why NVML names no GPU; null: it does, or was not asked yet."""
        return None if self._infos or self.why == NOT_ASKED else self.why

    def take_notes(self) -> list[tuple[str, dict[str, Any]]]:
        """Events since the last call: (name, detail)."""
        notes, self._notes = self._notes, []
        return notes

    def take_records(self) -> list[GpuFacts | PastProc]:
        """What the driver gives of a GPU, where that is new, and processes that only its accounting saw."""
        records, self._records = self._records, []
        return records

    def tell(self) -> dict[str, Any]:
        """For a status: what is asked and what hangs."""
        return {
            "child": None if self.process.child is None else self.process.child.pid,
            "gpus": len(self._infos),
            "why": self.why,
            "hung": self.n_hung,
            "stuck": len(self.process.stuck),
            "left_out": sorted(i for i in self._hangs if self._left_out(i)),
        }

    def close(self) -> None:
        """End the child without waiting for one that hangs."""
        self.process.close(0.1 if self._pending else 2.0)  # it may have a mode to put back
        self._pending = False

    # -- a round

    def _round(self) -> None:
        """Ask unless an answer is awaited, wait a little, judge the silence."""
        if self.process.child is None and not self._start():
            return
        self._pump(0.0)
        patience_s = min(PATIENCE_S, self._pace.gap_limit_s / 4)
        if self._pending:
            patience_s /= 5  # it is late already
        elif self.process.child is not None:
            self._ask()
        until_s = time.monotonic() + patience_s
        while self._pending and (left_s := until_s - time.monotonic()) > 0:
            self._pump(left_s)
        self._judge()

    def _start(self) -> bool:
        self.process.reap()
        if time.monotonic() < self._start_s:
            return False
        reason = self.process.start()
        if reason is not None:
            self.why = reason
            self._start_s = time.monotonic() + self._pause_s
            self._pause_s = min(MOST_PAUSE_S, 2 * self._pause_s)
            return False
        self._pending, self._said_hello, self._where = False, False, (None, "start")
        self._whys.clear()
        return True

    def _ask(self) -> None:
        now_s = self._mono()
        lists = self._lists_s is None or now_s >= self._lists_s - 1e-6
        if lists:
            self._lists_s = now_s + self._pace.lists_every_s
        self._number += 1
        left_out = [info for info in self._infos.values() if self._left_out(info.gpu_index)]
        line = json.dumps(["round", self._number, lists, left_out, self._since_at]).encode("ascii") + b"\n"
        self._sent = (self._wall(), now_s, time.monotonic())
        self._pending, self._silent_s, self._looked_s = True, 0.0, self._sent[2]
        if not self.process.send(line):
            self._give_up("the NVML process ended")

    def _pump(self, wait_s: float) -> None:
        """Take what the child has said, waiting for it at most `wait_s`."""
        lines = self.process.read(wait_s)
        if lines is None:
            self._give_up("the NVML process ended")
            return
        if lines:
            self._silent_s = 0.0
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, IndexError, KeyError):
                self._give_up("the NVML process said something else than an answer")
                return

    def _take(self, words: list[Any]) -> None:
        kind = words[0]
        if kind == "at":
            self._where = (words[1], words[2])
        elif kind == "r":
            self._take_reading(words[1], words[2], words[3])
        elif kind == "p":
            told = None if words[2] is None else [GpuProc(*proc) for proc in words[2]]
            self._lists[words[1]] = (self._sent[1], told)
            self._records += [PastProc(*past) for past in words[3]]
        elif kind == "gpus":
            self.why = words[1]
            self._infos = {info.uuid: info for info in (GpuInfo(*fields) for fields in words[2])}
        elif kind == "facts":
            info, answers, why = words[1]
            self._records.append(GpuFacts(GpuInfo(*info), answers, why))
        elif kind == "done":
            self._finish(words[1])
        elif kind == "hello":
            if tuple(words[1]) != GpuReading._fields:
                raise ValueError("the NVML process is of another version")
            self._said_hello = True

    def _take_reading(self, uuid: str, real_s: float, fields: list[Any]) -> None:
        """A reading's times are the question's, plus what the child needed since."""
        wall, mono_s, sent_s = self._sent
        late_s = max(0.0, real_s - sent_s)
        reading = GpuReading(wall + late_s, mono_s + late_s, *fields)
        if reading.why is None:  # as before: readings share the object, which saves memory
            reading = reading._replace(why=self._whys[uuid])
        self._whys[uuid] = reading.why
        self._fresh[uuid] = reading

    def _finish(self, number: int) -> None:
        if number != self._number:
            return
        self._pending, self._silent_s = False, 0.0
        self._since_at = self._sent[0]
        self._pause_s = LEAST_PAUSE_S
        if self._down_since_s is not None:
            down_s, self._down_since_s = self._mono() - self._down_since_s, None
            self._notes.append(("nvml-back", {"down_s": round(down_s, 3)}))

    # -- silence

    def _judge(self) -> None:
        """Kill a child that said nothing for the deadline. Time in which we did not run does not count."""
        now_s = time.monotonic()
        if self._pending:
            self._silent_s += min(now_s - self._looked_s, 2 * self._pace.interval_s)
            deadline_s = self._pace.deadline_s if self._said_hello else max(START_S, self._pace.deadline_s)
            if self._silent_s > deadline_s:
                self._give_up(f"NVML did not answer for {self._silent_s:.0f} s", hung=True)
        self._looked_s = now_s

    def _give_up(self, reason: str, hung: bool = False) -> None:
        """Kill the child; leave out the GPU at which it hung; start again after a pause."""
        uuid, what = self._where if hung else (None, "")
        info = self._infos.get(uuid) if uuid is not None else None
        self.n_hung += hung
        if hung or self._down_since_s is None:  # a program that cannot start is told once
            detail = {"reason": reason, "gpu": uuid, "at": what or None, "n": self.n_hung}
            self._notes.append(("nvml-hung", detail))
        if info is not None:
            before = self._hangs.get(info.gpu_index)
            n = 0 if before is None or self._mono() - before.until_s > MOST_OUT_S else before.n + 1
            until_s = self._mono() + min(MOST_OUT_S, LEAST_OUT_S * 2**n)
            self._hangs[info.gpu_index] = Hang(until_s, n, self.process.child)
        if self._down_since_s is None:
            self._down_since_s = self._mono()
        self.process.kill()
        self._pending = False
        pause_s = LEAST_PAUSE_S if info is not None and n == 0 else self._pause_s
        self._start_s = time.monotonic() + pause_s
        self._pause_s = min(MOST_PAUSE_S, 2 * self._pause_s)

    def _left_out(self, index: int) -> bool:
        """Whether a GPU is not to be touched: it hung lately, or a child hangs at it still."""
        hang = self._hangs.get(index)
        if hang is None:
            return False
        return self._mono() < hang.until_s or (hang.child is not None and hang.child in self.process.stuck)
