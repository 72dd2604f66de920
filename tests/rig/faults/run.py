"""Runs the faults: a few side by side first, then one after the other on each node, both nodes at once."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from slurm_guard.document import from_json
from slurm_guard.model import Audit
from tests.rig import cluster, procs, stages
from tests.rig.faults.case import Case, Fault
from tests.rig.faults.evidence import left_open, read_rows, read_seals, read_windows, said_by
from tests.rig.faults.inject import Bench
from tests.rig.faults.judge import Found, Outcome, judge
from tests.rig.faults.site import install
from tests.rig.faults.table import CONTROL
from tests.rig.guardconf import make_config
from tests.rig.jobs import drained_nodes
from tests.rig.layout import NODES, Rig, RigError
from tests.rig.workloads.witness import last_line

MOST_BESIDE = 3  # faults at once on a node: it has four GPUs, and the machine two cores


class Session:
    """All faults of one run of the program."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.begun = rig, time.monotonic()
        self.since_at = time.time() - 1
        sites = install(rig, tuple(node.name for node in NODES))
        self.benches = [Bench(rig, sites[node.name]) for node in NODES]
        self.cases: list[Case] = []
        self.drained: dict[int, list[str]] = {}  # seed -> words
        self._lock = threading.Lock()

    def say(self, words: str) -> None:
        """A line of the course, with the seconds since the beginning."""
        print(f"{time.monotonic() - self.begun:6.1f} s  {words}", flush=True)

    def run(self, faults: Sequence[Fault]) -> None:
        """Controls and side-by-side faults, then those that need the node for themselves."""
        beside = [fault for fault in faults if not fault.alone]
        alone = [fault for fault in faults if fault.alone]
        queues: list[list[list[Fault]]] = [[[CONTROL]] for _ in self.benches]
        for place, bench in enumerate(self.benches):
            mine = beside[place :: len(self.benches)]
            queues[place] += [mine[i : i + MOST_BESIDE] for i in range(0, len(mine), MOST_BESIDE)]
            queues[place] += [[fault] for fault in alone[place :: len(self.benches)]]
            bench.heal(renew=True)
        self._all([(self._serve, (bench, queue)) for bench, queue in zip(self.benches, queues, strict=True)])
        for bench in self.benches:
            bench.heal(renew=True)
            bench.watch.over.set()

    def _serve(self, bench: Bench, queue: list[list[Fault]]) -> None:
        for group in queue:
            self._all([(self._one, (bench, fault)) for fault in group])
            try:
                bench.heal(renew=any(fault.where == "NVML" for fault in group))
            except (RigError, OSError) as error:
                self.say(f"{bench.node}: not healed: {error}")

    def _all(self, calls: list) -> None:  # type: ignore[type-arg]
        """All at once, until all are done."""
        threads = [threading.Thread(target=call, args=args) for call, args in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, bench: Bench, fault: Fault) -> None:
        with self._lock:
            case = Case(fault, bench, 1000 + len(self.cases))
            self.cases.append(case)
        begun = time.monotonic()
        try:
            fault.run(case)
            case.finish()
        except Exception as error:  # noqa: BLE001  one fault's trouble is a row, not the end
            case.troubles.append(f"{type(error).__name__}: {error}"[:200])
            if case.who is not None and not case.ended:
                procs.call(self.rig, ["scancel", str(case.job)])
        case.settle()
        with self._lock:
            self.drained[case.seed] = [
                f"out of service: {line}" for line in drained_nodes(self.rig) if line.startswith(bench.node)
            ]
        mark = "" if not case.troubles else f"  {case.troubles}"
        self.say(f"{bench.node} {fault.name:18} {time.monotonic() - begun:5.1f} s{mark}")

    def judge(self) -> tuple[list[Outcome], str]:
        """collect and audit as the night does, then every row."""
        with_job = [case for case in self.cases if case.who is not None]
        collected = stages.run_guard(self.rig, ["collect"])
        self.say("collect: " + collected.strip().splitlines()[0])
        document = self._audit()
        rows = read_rows(self.rig, {case.job for case in with_job})
        window_s = make_config(self.rig).node.window_s
        outcomes = []
        for case in with_job:
            assert case.who is not None
            found = Found(
                rows.get(case.job, []),
                read_windows(self.rig, case.bench.node, case.job),
                read_seals(self.rig, case.bench.node, case.job),
                said_by(self.rig, case.who.user, case.job),
                [one for one in document.judgements if one.run.job_id == case.job],
                self.drained.get(case.seed, []),
                collected,
                [one for one in document.judgements if one.run.job_id in {who.job for who in case.victims}],
                left_open(self.rig, case.bench.node, case.job),
            )
            outcomes.append(judge(case, found, last_line(case.seed, case.fault.steps), window_s))
        never = [case for case in self.cases if case.who is None]
        outcomes += [
            Outcome(case, None, None, 0.0, None, "–", "", case.troubles or ["no witness"]) for case in never
        ]
        return outcomes, collected

    def _audit(self) -> Audit:
        path = self.rig.path / "reports" / "faults.json"
        window = ["--since", f"{self.since_at:.3f}", "--until", f"{time.time():.3f}"]
        self.say("audit: " + stages.run_guard(self.rig, ["audit", *window, "-o", str(path)], 300.0).strip())
        return from_json(path.read_text("utf-8"))


def start(folder: Path, proctrack: str) -> Rig:
    """The rig of the faults."""
    return cluster.up(folder, proctrack, "rig", 1)
