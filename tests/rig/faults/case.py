"""One fault as it runs: its witness, when nobody could see, and what proves that it took place."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.rig.faults.evidence import Told, read_seals, read_told
from tests.rig.faults.inject import STEPS, Bench, Witness
from tests.rig.layout import RigError

SEAL_S = 20.0  # judgement: settling takes 2 s at the rig's scale, on a busy machine some more
END_S = 120.0


class Fault(NamedTuple):
    """A row of the table. `traces`: any one of them must be there.

    Traces are `event:NAME`, `syslog:WORDS`, `why:WORDS` (a window's), `seal:ENDED_BY`, `collect` (its words),
    `proof` (the injector looked itself; `proof:WORDS` what it must have said), `any` event, `none` where
    nothing is lost and nothing is to be said.
    """

    name: str
    where: str
    does: str
    run: Callable[["Case"], None]
    traces: tuple[str, ...]
    alone: bool = True  # no other fault on the node at the same time
    steps: int = STEPS  # of the witness


class Case:
    """A fault on a bench."""

    def __init__(self, fault: Fault, bench: Bench, seed: int) -> None:
        self.fault, self.bench, self.seed = fault, bench, seed
        self.since_at = time.time()
        self.until_at = self.since_at
        self.who: Witness | None = None
        self.begun_at: float | None = None
        self.blind: list[tuple[float, float]] = []
        self.proofs: list[str] = []
        self.victims: list[Witness] = []  # honest jobs that the fault may end: nobody may accuse them either
        self.troubles: list[str] = []  # of the harness: the fault did not take place, a command failed
        self.ended = False
        self.told: list[Told] = []

    @property
    def job(self) -> int:
        """The witness's number."""
        if self.who is None:
            raise RigError(f"{self.fault.name}: no witness was submitted")
        return self.who.job

    def submit(self, beside: str = "") -> None:
        """The witness, without waiting."""
        self.who = self.bench.submit(self.seed, beside, self.fault.steps)

    def begin(self, beside: str = "", wait_s: float = 5.0) -> None:
        """The witness, until it has been at work for `wait_s`."""
        self.submit(beside)
        assert self.who is not None
        self.begun_at = self.bench.wait_begun(self.who)
        time.sleep(wait_s)

    def finish(self) -> None:
        """Until the job is over for Slurm."""
        if self.who is not None and not self.ended:
            if self.begun_at is None:
                self.begun_at = self.bench.wait_begun(self.who)
            self.bench.wait_ended(self.who, END_S)
            self.ended = True

    def settle(self) -> None:
        """Until each run of the job has its seal, or will not get one; then what was told is kept."""
        until = time.monotonic() + SEAL_S
        while self.who is not None and time.monotonic() < until:
            tickets = list((self.bench.spool / "tickets").glob(f"*_{self.job}_*.json"))
            if len(read_seals(self.bench.rig, self.bench.node, self.job)) >= max(1, len(tickets)):
                break
            time.sleep(0.5)
        self.until_at = time.time()
        self.told = read_told(self.bench.rig, self.bench.node, self.since_at)

    @contextmanager
    def unseen(self, afterwards_s: float = 0.0) -> Iterator[None]:
        """The fault itself lets nobody see the GPU; `afterwards_s`: until the product looks again."""
        begun_at = time.time()
        try:
            yield
        finally:
            self.blind.append((begun_at, time.time() + afterwards_s))

    def must(self, took_place: bool, what: str) -> None:
        """A fault that did not take place proves nothing: the row fails."""
        if not took_place:
            self.troubles.append(f"not injected: {what}")

    def gpu(self) -> int:
        """The witness's GPU by NVML index."""
        assert self.who is not None
        return self.bench.gpu_of(self.who)
