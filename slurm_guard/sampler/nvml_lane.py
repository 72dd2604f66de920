"""One NVML process with what it was asked: a lane. A GPU that keeps others waiting gets a lane of its own."""

from __future__ import annotations

import time

from slurm_guard.light import Any, NamedTuple, from_json, to_plain_json
from slurm_guard.sampler.nvml_process import NvmlProcess
from slurm_guard.sampler.reading import GpuInfo, GpuReading

LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 300.0  # between a kill and the next start, doubling: judgement


class Pace(NamedTuple):
    """Time scales of [node]."""

    interval_s: float
    gap_limit_s: float
    lists_every_s: float
    deadline_s: float


class Lane:
    """`only`: the NVML index that it alone is asked for; null: all that have no lane of their own."""

    def __init__(self, process: NvmlProcess, only: int | None, since_at: float) -> None:
        self.process, self.only = process, only
        self.since_at = since_at  # accounting is asked since then
        self.said_hello = self.pending = False
        self.sent = (0.0, 0.0, 0.0)  # wall, the sampler's clock, CLOCK_MONOTONIC
        # what the child does next: a GPU's UUID where it knows it, what, NVML index where it is a GPU's
        self.where: tuple[str | None, str, int | None] = (None, "start", None)
        self.whys: dict[str, dict[str, str]] = {}  # of the last reading of each GPU
        self.silent_s = 0.0  # without a word; only while we look
        self.n_prompt = 0  # rounds in a row that ended when they were asked
        self._number = 0
        self._looked_s = 0.0  # CLOCK_MONOTONIC
        self._lists_s: float | None = None
        self._pause_s, self._start_s = LEAST_PAUSE_S, 0.0

    def start(self) -> str | None:
        """Start the child when that may be tried. Returns why there is none; null: there is."""
        self.process.reap()
        if time.monotonic() < self._start_s:
            return ""
        reason = self.process.start()
        if reason is not None:
            self.rest(self._pause_s)
            return reason
        self.pending, self.said_hello, self.where = False, False, (None, "start", None)
        self.whys.clear()
        return None

    def rest(self, pause_s: float) -> None:
        """No start for so long; the next pause is longer."""
        self._start_s = time.monotonic() + pause_s
        self._pause_s = min(MOST_PAUSE_S, 2 * self._pause_s)

    @property
    def pause_s(self) -> float:
        """What the next kill is followed by."""
        return self._pause_s

    def ask(self, at: float, now_s: float, left_out: list[GpuInfo], lists_every_s: float) -> bool:
        """A round's question; false: the child ended."""
        lists = self._lists_s is None or now_s >= self._lists_s - 1e-6
        if lists:
            self._lists_s = now_s + lists_every_s
        self._number += 1
        line = to_plain_json(["round", self._number, lists, left_out, self.since_at]).encode("ascii") + b"\n"
        self.sent = (at, now_s, time.monotonic())
        self.pending, self.silent_s, self._looked_s = True, 0.0, self.sent[2]
        return self.process.send(line)

    def hear(self, wait_s: float) -> list[list[Any]] | None:
        """What the child has said, waited for at most so long; null: it ended. ValueError: nonsense."""
        lines = self.process.read(wait_s)
        if lines:
            self.silent_s = 0.0
        return None if lines is None else [from_json(line) for line in lines]

    def reading(self, uuid: str, real_s: float, fields: list[Any]) -> GpuReading:
        """A reading's times are the question's, plus what the child needed since."""
        wall, mono_s, sent_s = self.sent
        late_s = max(0.0, real_s - sent_s)
        reading = GpuReading(wall + late_s, mono_s + late_s, *fields)
        if reading.why is None:  # as before: readings share the object, which saves memory
            reading = reading._replace(why=self.whys[uuid])
        self.whys[uuid] = reading.why
        return reading

    def finish(self, number: int) -> bool:
        """The round's last word; false: of another round."""
        if number != self._number:
            return False
        self.pending, self.silent_s, self.since_at, self._pause_s = False, 0.0, self.sent[0], LEAST_PAUSE_S
        return True

    def count_silence(self, most_s: float) -> float:
        """Seconds of silence so far; time in which we did not run does not count."""
        now_s = time.monotonic()
        if self.pending:
            self.silent_s += min(now_s - self._looked_s, most_s)
        self._looked_s = now_s
        return self.silent_s if self.pending else 0.0
