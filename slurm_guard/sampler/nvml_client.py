"""NVML from children with a deadline (`nvml_child`): a call that hangs costs readings, never the sampler.

Once a round the child is asked for all boards together, and waited for a little. What comes later is taken in
a later round with its own times. A GPU at which the child says nothing for a third of the longest gap is left
to that child alone, and another one is started for the rest: so it costs its own readings, and its
neighbours' readings lie no farther apart than usual. Silent for the deadline, its child is killed and the GPU
left out for a while; then it is tried in a child of its own, until it answers as promptly as others.
"""

from __future__ import annotations

import gc
import time

from slurm_guard.light import Any, Callable
from slurm_guard.sampler.nvml_hangs import Hangs
from slurm_guard.sampler.nvml_lane import LEAST_PAUSE_S, Lane
from slurm_guard.sampler.nvml_lane import Pace as Pace
from slurm_guard.sampler.nvml_process import MOST_STUCK, NvmlProcess
from slurm_guard.sampler.reading import GpuFacts, GpuInfo, GpuProc, GpuReading, PastProc, silence

START_S = 30.0  # longest start of a child: judgement; NVML loads 40 MB of libraries from a cold disk
PATIENCE_S = 0.25  # most that a round waits for its answer: judgement, under 1/10 of the gap limit at 1 Hz
LATE = 3.0  # a gap's part of silence after which a GPU is asked apart: judgement; a start takes as long again
MOST_APART = 2  # GPUs asked apart at a time; each is a process: judgement
PROMPT = 10  # rounds in time after which a GPU is asked with the others again: judgement


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

        self._main = Lane(NvmlProcess(serve), None, wall())
        self._apart: dict[int, Lane] = {}  # NVML index -> its own lane
        self._hangs = Hangs()
        self.n_hung = 0
        self.why: str | None = NOT_ASKED  # why there are no GPUs; null: there are
        self._infos: dict[str, GpuInfo] = {}
        self._fresh: dict[str, GpuReading] = {}
        self._last_s: dict[str, float] = {}  # UUID -> the sampler's second of the last reading given out
        self._heard_s: dict[str, float] = {}  # … of the last one that NVML gave
        self._waited_s: dict[str, float] = {}  # … of the last time that an answer was still to come
        self._served: set[str] = set()
        self._lists: dict[str, tuple[float, list[GpuProc] | None]] = {}
        self._down_since_s: float | None = None
        self._notes: list[tuple[str, dict[str, Any]]] = []
        self._records: list[GpuFacts | PastProc] = []

    @property
    def process(self) -> NvmlProcess:
        """The process of all GPUs that are not asked apart."""
        return self._main.process

    def begin(self) -> None:
        """Start the child early, while there is little that it could share and we would write to.

        It leaves NVML alone until it is asked. A collection writes to all that it looks at: it shall not look
        at what is here now.
        """
        gc.freeze()
        self._begin_child(self._main)

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
        last_s = self._last_s.get(gpu.uuid, float("-inf"))
        reading = self._next(gpu, last_s)
        if reading is None:
            self._waited_s[gpu.uuid] = self._mono()
        else:
            self._last_s[gpu.uuid] = reading.mono_s
        return reading

    def _next(self, gpu: GpuInfo, last_s: float) -> GpuReading | None:
        reading = self._fresh.pop(gpu.uuid, None)
        if reading is None or reading.mono_s <= last_s:  # its time was given out as silence
            return self._silence(gpu, last_s)
        gap_s = min(last_s + self._pace.gap_limit_s, self._waited_s.get(gpu.uuid, last_s))
        if reading.mono_s - last_s > self._pace.gap_limit_s and gap_s > last_s > 0:
            self._fresh[gpu.uuid] = reading  # first the gap, with its reason: we were there and waited
            return self._silent(gap_s, self._why_silent(gpu))
        self._heard_s[gpu.uuid] = reading.mono_s
        return reading

    def _silence(self, gpu: GpuInfo, last_s: float) -> GpuReading | None:
        """Nothing observed, with the reason; null while an answer may still come.

        It never lies farther from the reading before than a gap: the sampler itself did run.
        """
        now_s, lane = self._mono(), self._lane_of(gpu.gpu_index)
        down = lane is self._main and self._down_since_s is not None
        if lane is not None and lane.pending and not down:
            return None
        mono_s = now_s if last_s < 0 else min(now_s, last_s + self._pace.gap_limit_s)
        return None if mono_s <= last_s else self._silent(mono_s, self._why_silent(gpu))

    def _silent(self, mono_s: float, text: str) -> GpuReading:
        return silence(self._wall() - (self._mono() - mono_s), mono_s, text)

    def _why_silent(self, gpu: GpuInfo) -> str:
        if self._lane_of(gpu.gpu_index) is None:
            return "left out: NVML hung at this GPU"
        if self._infos and gpu.uuid not in self._infos:
            return "NVML does not name this GPU any more"
        if len(self.process.stuck) >= MOST_STUCK:
            return f"{len(self.process.stuck)} NVML processes hang"
        now_s = self._mono()
        return f"NVML did not answer for {now_s - self._heard_s.get(gpu.uuid, now_s):.0f} s"

    def _lane_of(self, index: int) -> Lane | None:
        """Who is asked for a GPU; null: nobody, it is left out."""
        if index in self._apart:
            return self._apart[index]
        return None if index in self._hangs.doubted else self._main

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
            "left_out": sorted(self._hangs.doubted - set(self._apart)),
            "apart": sorted(self._apart),
        }

    def close(self) -> None:
        """End the children without waiting for one that hangs."""
        for index in list(self._apart):
            self._apart.pop(index).process.kill()
        self.process.close(0.1 if self._main.pending else 2.0)  # it may have a mode to put back
        self._main.pending = False

    # -- a round

    def _round(self) -> None:
        """Ask each lane unless an answer is awaited, wait a little, judge the silence."""
        self._try_again()
        patience_s = min(PATIENCE_S, self._pace.gap_limit_s / 4)
        lanes = [self._main, *self._apart.values()]
        late = [lane for lane in lanes if not self._begin(lane)]
        for lane in lanes:
            # Late already, or a GPU that has kept us waiting: others pay for none of it.
            self._wait(
                lane, patience_s / 5 if lane in late else patience_s if lane.only is None else patience_s / 2
            )
            lane.n_prompt = 0 if lane in late or lane.pending else lane.n_prompt + 1
            if lane.only is not None and lane.n_prompt >= PROMPT:
                lane.process.kill()  # not ended by a word: it would put back a mode that the others need
                self._apart.pop(lane.only, None)
        for lane in lanes:
            if self._is_alive(lane):
                self._judge(lane)

    def _begin(self, lane: Lane) -> bool:
        """Start its child where it has none, and ask; false: nothing was asked now."""
        if lane.process.child is None and not self._begin_child(lane):
            return False
        self._pump(lane, 0.0)
        if lane.pending or lane.process.child is None:
            return False
        left_out = [info for info in self._infos.values() if self._lane_of(info.gpu_index) is not lane]
        if not lane.ask(self._wall(), self._mono(), left_out, self._pace.lists_every_s):
            self._give_up("the NVML process ended", lane=lane)
        return True

    def _begin_child(self, lane: Lane) -> bool:
        """Start a lane's child; false: there is none now."""
        reason = lane.start()
        if reason and lane.only is None:
            self.why = reason
        return reason is None

    def _is_alive(self, lane: Lane) -> bool:
        """Whether it is still a lane, and not given up meanwhile."""
        return lane is self._main or lane in self._apart.values()

    def _wait(self, lane: Lane, patience_s: float) -> None:
        until_s = time.monotonic() + patience_s
        while lane.pending and (left_s := until_s - time.monotonic()) > 0:
            self._pump(lane, left_s)

    def _pump(self, lane: Lane, wait_s: float) -> None:
        """Take what the child has said, waiting for it at most `wait_s`."""
        try:
            said = lane.hear(wait_s)
            for words in said or []:
                self._take(lane, words)
        except (ValueError, TypeError, IndexError, KeyError):
            self._give_up("the NVML process said something else than an answer", lane=lane)
            return
        if said is None:
            self._give_up("the NVML process ended", lane=lane)

    def _take(self, lane: Lane, words: list[Any]) -> None:
        kind = words[0]
        if kind == "at":
            lane.where = (words[1], words[2], words[3])
        elif kind == "r":
            reading = lane.reading(words[1], words[2], words[3])
            if self._is_mine(lane, words[1]):
                self._fresh[words[1]] = reading
        elif kind == "p" and self._is_mine(lane, words[1]):
            told = None if words[2] is None else [GpuProc(*proc) for proc in words[2]]
            self._lists[words[1]] = (lane.sent[1], told)
            self._records += [PastProc(*past) for past in words[3]]
        elif kind == "gpus" and lane.only is None:
            self.why = words[1]
            self._infos = {info.uuid: info for info in (GpuInfo(*fields) for fields in words[2])}
        elif kind == "facts":
            info, answers, why = words[1]
            if self._is_mine(lane, GpuInfo(*info).uuid):
                self._records.append(GpuFacts(GpuInfo(*info), answers, why))
        elif kind == "done":
            self._finish(lane, words[1])
        elif kind == "hello":
            if tuple(words[1]) != GpuReading._fields:
                raise ValueError("the NVML process is of another version")
            lane.said_hello = True

    def _is_mine(self, lane: Lane, uuid: str) -> bool:
        """Whether a lane's word on a GPU counts: a child that was set apart may go on with the others."""
        info = self._infos.get(uuid)
        return lane is self._main if info is None else self._lane_of(info.gpu_index) is lane

    def _finish(self, lane: Lane, number: int) -> None:
        if not lane.finish(number):
            return
        if lane.only is None:
            gpu, since_s, self._down_since_s = None, self._down_since_s, None
        else:
            gpu, since_s = self._name(lane.only), self._hangs.clear(lane.only)
        if since_s is not None:
            self._notes.append(("nvml-back", {"gpu": gpu, "down_s": round(self._mono() - since_s, 3)}))

    def _name(self, index: int) -> str | None:
        """The UUID of a GPU; of the first of its MIG instances."""
        return next((info.uuid for info in self._infos.values() if info.gpu_index == index), None)

    # -- silence

    def _judge(self, lane: Lane) -> None:
        """Set a GPU apart that keeps the others waiting; kill a child that said nothing for the deadline."""
        silent_s = lane.count_silence(2 * self._pace.interval_s)
        deadline_s = self._pace.deadline_s if lane.said_hello else max(START_S, self._pace.deadline_s)
        if silent_s > deadline_s:
            self._give_up(f"NVML did not answer for {silent_s:.0f} s", hung=True, lane=lane)
        elif lane is self._main and silent_s > self._pace.gap_limit_s / LATE:
            self._set_apart(lane, silent_s)

    def _set_apart(self, lane: Lane, silent_s: float) -> None:
        """Leave the child to the GPU at which it is, and ask the others by a new one at once."""
        uuid, what, index = lane.where
        if index is None or len(self._apart) >= MOST_APART or not self._has_others(index):
            return
        lane.only, lane.n_prompt = index, 0
        self._apart[index] = lane
        self._main = Lane(NvmlProcess(lane.process.main, lane.process.stuck), None, lane.since_at)
        self._notes.append(
            ("nvml-apart", {"gpu": uuid or self._name(index), "at": what, "silent_s": round(silent_s, 3)})
        )
        if self._begin(self._main):
            self._wait(self._main, min(PATIENCE_S, self._pace.gap_limit_s / 4))

    def _has_others(self, index: int) -> bool:
        return any(
            info.gpu_index != index and self._lane_of(info.gpu_index) is self._main
            for info in self._infos.values()
        )

    def _try_again(self) -> None:
        """GPUs that were left out long enough are asked apart."""
        self.process.reap()
        for index in sorted(self._hangs.doubted - set(self._apart)):
            out = self._hangs.is_out(index, self._mono(), self.process.stuck)
            if len(self._apart) < MOST_APART and not out:
                process = NvmlProcess(self.process.main, self.process.stuck)
                self._apart[index] = Lane(process, index, self._main.since_at)

    def _give_up(self, reason: str, hung: bool = False, lane: Lane | None = None) -> None:
        """Kill the child; leave out the GPU at which it hung; start again after a pause."""
        lane = self._main if lane is None else lane
        uuid, what, index = lane.where if hung else (None, "", None)
        index = index if lane.only is None else lane.only
        self.n_hung += hung
        if hung or self._down_since_s is None:  # a program that cannot start is told once
            gpu = self._name(index) if uuid is None and index is not None else uuid
            detail = {"reason": reason, "gpu": gpu, "at": what or None, "n": self.n_hung}
            self._notes.append(("nvml-hung", detail))
        n = 0 if index is None else self._hangs.note(index, self._mono(), lane.process.child)
        lane.process.kill()
        lane.pending = False
        if lane.only is not None:
            self._apart.pop(lane.only, None)
            return
        if self._down_since_s is None:
            self._down_since_s = self._mono()
        lane.rest(LEAST_PAUSE_S if index is not None and n == 0 else lane.pause_s)
