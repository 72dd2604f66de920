"""The process that holds NVML: one question a round, answers as they come. It may hang; the sampler may not.

Forked and killed by `nvml_client`. One JSON array a line.
In:   ["round", id, lists wanted, [GpuInfo to leave out…], accounting since]
Out:  ["hello", fields of a reading] · ["gpus", why, [GpuInfo…]] when they change · ["facts", GpuFacts] too
      ["at", UUID, what, index]      what it does next, so that a hang has a name; null: of no one GPU
      ["r", UUID, monotonic second, reading without its times; `why` null: as before]
      ["p", UUID, [GpuProc…] or null, [PastProc…]]
      ["done", id]
It leaves when its input ends, and puts back then what it changed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` itself loads enum and functools
import os
import time

from slurm_guard.light import Any, from_json, to_plain_json
from slurm_guard.sampler.accounting import Accounting
from slurm_guard.sampler.nvml import NvmlReader
from slurm_guard.sampler.reading import GpuFacts, GpuInfo, GpuReading


class Server:
    """Answers the sampler's questions, one after the other."""

    def __init__(self, reader: NvmlReader, accounting: Accounting, out: int) -> None:
        self._reader, self._accounting, self._out = reader, accounting, out
        reader.announce = lambda index: self.say("at", None, "start", index)
        self._gpus: tuple[str | None, list[GpuInfo]] | None = None
        self._facts: dict[str, GpuFacts] = {}
        self._whys: dict[str, dict[str, str]] = {}

    def say(self, *words: Any) -> None:
        """One line. OSError: the sampler is gone."""
        line = to_plain_json(words).encode("ascii") + b"\n"
        while line:
            line = line[os.write(self._out, line) :]

    def round(self, number: int, lists: bool, left_out: list[list[Any]], since_at: float) -> None:
        """Everything once."""
        self.say("at", None, "start", None)
        self._reader.leave_out([GpuInfo(*words) for words in left_out])
        gpus = self._reader.gpus()
        self.say("at", None, "start", None)  # what settles modes blames no GPU
        if self._gpus != (self._reader.why, gpus):
            self._gpus = (self._reader.why, gpus)
            self.say("gpus", self._reader.why, gpus)
            self._accounting.settle(self._reader.open_boards())
        away = {words[0] for words in left_out}
        for gpu in gpus:
            if gpu.uuid not in away:
                self.say("at", gpu.uuid, "counters", gpu.gpu_index)
                self._tell_reading(gpu)
        for gpu in gpus if lists else []:
            if gpu.uuid not in away:
                self.say("at", gpu.uuid, "lists", gpu.gpu_index)
                procs = self._reader.processes(gpu)
                self.say("p", gpu.uuid, procs, self._reader.past(gpu, since_at))
                self._tell_facts(gpu)
        self.say("done", number)

    def _tell_reading(self, gpu: GpuInfo) -> None:
        reading = self._reader.read(gpu)
        same = self._whys.get(gpu.uuid) == reading.why
        self._whys[gpu.uuid] = reading.why
        told = reading if not same else reading._replace(why=None)  # type: ignore[arg-type]
        self.say("r", gpu.uuid, reading.mono_s, told[2:])

    def _tell_facts(self, gpu: GpuInfo) -> None:
        facts = self._reader.facts(gpu)
        if facts is not None and facts != self._facts.get(gpu.uuid):
            self._facts[gpu.uuid] = facts
            self.say("facts", facts)

    def close(self) -> None:
        """Leave NVML as it was found."""
        self._accounting.put_back(self._reader.open_boards())
        self._reader.close()


def serve(into: int, out: int, folder: str, accounting: bool) -> None:
    """Serve until the input ends. `folder`: for what must be put back."""
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        _signal.signal(number, _signal.SIG_IGN)  # the end of the input is the word to leave
    own = os.dup(out)
    os.dup2(2, out)  # a library that prints must not be taken for an answer
    server = Server(NvmlReader(time.monotonic), Accounting(folder, accounting), own)
    try:
        server.say("hello", GpuReading._fields)
        with open(into, "rb") as questions:
            for line in questions:
                _, number, lists, left_out, since_at = from_json(line)
                server.round(number, lists, left_out, since_at)
    except BrokenPipeError:
        pass
    server.close()
