"""One night of one family on one GPU class: its runs live, the audit judges them, and all is kept as records.

The k-th run of a family depends on seed, class, family and k alone, and a night holds NIGHT runs, always the
same ones: what a board's neighbours of the night teach the audit is the same in every selection.
"""

import sys
import traceback
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import polars as pl

from bench.detect import past, senses, wire
from bench.detect.classes import GpuClass, of_name
from bench.detect.equip import LARGE, ORDINARY, equip
from bench.detect.scenarios import SHARES, Scenario
from bench.detect.scenarios import of_name as scenario_of
from bench.detect.violations import VIOLATIONS
from bench.world.draw import at
from bench.world.physics import Truth, World
from bench.world.spec import Spec
from bench.world.tables import EPOCH_AT, Place, Tables, write_run
from slurm_guard.audit.facts import Facts, Snapshot
from slurm_guard.audit.run import audit_facts
from slurm_guard.config import AuditConfig
from slurm_guard.history import PastCost
from slurm_guard.model import Judgement, Run

NIGHT = 10  # runs; two of each share
_LARGE = 0.2  # of honest runs and those that divert a share: where a small share is many GPU-hours
_LONGEST_S = 60_000.0
_SUM_MS = 1000.0  # per GPU
_PROCESS_TABLES = ("shares", "processes", "held", "accounted")
_NETWORK_TABLES = ("flows", "relays")
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """Which night. `part`: honest, diverting or violated; `violation` empty but for the last."""

    part: str
    gpu: str
    family: str
    night: int
    seed: str
    violation: str = ""
    ablate: bool = False
    earlier: int = 0  # nights before it, in which each training ran as other users'

    @property
    def key(self) -> str:
        """Names the night in the file of records."""
        past = f"/after{self.earlier}" if self.earlier else ""
        return f"{self.part}/{self.violation}/{self.gpu}/{self.family}/{self.night}{past}"


@dataclass(slots=True)
class _Lived:
    run: Run
    scenario: Scenario
    share: float | None
    hardship: str
    truth: Truth
    channels: list[str]
    seen: dict[str, Any]


def play(order: Order) -> list[Record]:
    """All runs of a night as records."""
    scenario, gpu = scenario_of(order.family), of_name(order.gpu)
    tables = Tables()
    lived = [
        _live(order, (scenario, gpu), tables, k)
        for k in range(order.night * NIGHT, (order.night + 1) * NIGHT)
    ]
    frames = tables.frames()
    runs = tuple(one.run for one in lived)
    known = past.snapshot(_earlier(order, (scenario, gpu))) if order.earlier else None
    whole = judge_night(frames, runs, known)
    bare = judge_night(_without(frames, _PROCESS_TABLES), runs, known) if order.ablate else {}
    mute = (
        judge_night(_without(frames, _NETWORK_TABLES), runs, known) if order.ablate and scenario.net else {}
    )
    return [
        _record(order, k, one, (whole.get(one.run.id), bare.get(one.run.id), mute.get(one.run.id)))
        for k, one in enumerate(lived, order.night * NIGHT)
    ]


def _drawn(order: Order, kind: tuple[Scenario, GpuClass], k: int) -> tuple[Spec, float | None, str, Random]:
    """The k-th run before it lives, its share, its hardship, and what it draws from."""
    scenario, gpu = kind
    rng = Random(f"{order.seed}/{order.part}{order.violation}/{order.gpu}/{order.family}/{k}")
    share = None if scenario.how in ("honest", "log", "network") else SHARES[k % len(SHARES)]
    size = Random(f"size/{order.seed}/{order.gpu}/{order.family}/{k}").random()
    may = scenario.is_honest or share is not None
    with at(LARGE if may and order.part != "violated" and size < _LARGE else ORDINARY):
        spec = scenario.draw(rng, 0.25 if share is None else share)
    hardship = equip(spec, gpu, rng)
    for violation in VIOLATIONS:
        if violation.name == order.violation:
            violation.bend(spec, rng)
    return spec, share, hardship, rng


def _place(order: Order, k: int) -> Place:
    """Each run of a family is a training of its own, which earlier nights may know."""
    return Place(f"n{k}", 100 + k, f"run{k}.yaml" if order.earlier else "")


def _earlier(order: Order, kind: tuple[Scenario, GpuClass]) -> list[PastCost]:
    """What audits left of the nights before: each training without what diverts, on other boards, by three
    users in turn; nothing of those that are nothing else."""
    rows: list[PastCost] = []
    for m in range(order.earlier):
        tables, runs = Tables(), []
        for k in range(order.night * NIGHT, (order.night + 1) * NIGHT):
            spec = _drawn(order, kind, k)[0]
            if spec.is_log_forged or any(stage.diverted for stage in spec.stages):
                continue
            spec.sides = [side for side in spec.sides if not side.diverted]
            world = World(spec, Random(f"{order.seed}/{order.gpu}/{order.family}/{k}/before{m}"))
            world.live()
            runs.append(write_run(tables, world, _place(order, k)))
        if runs:
            night = _facts(tables.frames(), tuple(runs), past.snapshot(rows))
            rows += past.remembered(night, m, order.earlier)
    return rows


def _live(order: Order, kind: tuple[Scenario, GpuClass], tables: Tables, k: int) -> _Lived:
    scenario = kind[0]
    spec, share, hardship, rng = _drawn(order, kind, k)
    world = World(spec, rng)
    truth = world.live()
    begun = {name: len(rows) for name, rows in tables.rows.items()}
    place = _place(order, k)
    run = write_run(tables, world, place)
    if scenario.net is not None and (scenario.net != wire.POOL or rng.random() < 0.5):
        wire.write_network(tables, place, scenario.net, spec.length_s, rng)
    new = {name: rows[begun[name] :] for name, rows in tables.rows.items()}
    seen = {
        "names": senses.is_named(new["processes"], new["flows"]),
        "silent_s": senses.busy_while_silent_s(new["windows"], new["points"]),
        "longer": round(senses.longer_steps(new["points"]), 4),
        "features": senses.features(world, new["windows"], rng),
    }
    return _Lived(run, scenario, share, hardship, truth, sorted(spec.measured), seen)


def _without(frames: dict[str, pl.DataFrame], names: tuple[str, ...]) -> dict[str, pl.DataFrame]:
    return {name: frame.clear() if name in names else frame for name, frame in frames.items()}


def _facts(frames: dict[str, pl.DataFrame], runs: tuple[Run, ...], known: Snapshot | None) -> Facts:
    until_at = EPOCH_AT + _LONGEST_S
    return Facts("c", EPOCH_AT - 60, until_at, "0", runs, frames, AuditConfig(), costs=known)


class Judged(NamedTuple):
    """What the document has of one run. `guests_gpu_ms`: work of other users' processes on the run's nodes,
    which it lists outside all ledgers."""

    judgement: Judgement
    n_skips: int
    guests_gpu_ms: int = 0


def judge_night(
    frames: dict[str, pl.DataFrame], runs: tuple[Run, ...], known: Snapshot | None = None
) -> dict[str, Judged]:
    """What the document has of each run, by the run's id; empty: the audit failed."""
    try:
        audit = audit_facts(_facts(frames, runs, known))
    except Exception:  # noqa: BLE001 - a benchmark counts what the engine cannot do, and shows it
        traceback.print_exc(file=sys.stderr)
        return {}
    return {
        j.run.id: Judged(
            j,
            sum(s.subject.endswith(j.run.id) or s.subject == j.run.nodes[0] for s in audit.skips),
            sum(w.gpu_ms for w in audit.outside if w.node in j.run.nodes and w.uid != j.run.uid),
        )
        for j in audit.judgements
    }


def _record(
    order: Order, k: int, one: _Lived, judged: tuple[Judged | None, Judged | None, Judged | None]
) -> Record:
    truth, (whole, bare, mute) = one.truth, judged
    record: Record = {
        "night": order.key,
        "part": order.part,
        "violation": order.violation,
        "gpu": order.gpu,
        "family": order.family,
        "k": k,
        "how": one.scenario.how,
        "share": one.share,
        "hardship": one.hardship,
        "channels": one.channels,
        "n_gpus": one.run.n_gpus,
        "hours": round((one.run.until_at - one.run.from_at) / 3600, 3),
        "diverted_h": truth.diverted_gpu_ms / 3.6e6,
        "unseen_h": truth.unseen_gpu_ms / 3.6e6,
        "work_h": truth.work_gpu_ms / 3.6e6,
        "allocated_h": truth.allocated_gpu_ms / 3.6e6,
        **one.seen,
    }
    if whole is None:
        return {**record, "verdict": None, "faults": 1}
    judgement, n_skips, guests_gpu_ms = whole
    off_ms = abs(sum(judgement.ledger_gpu_ms.values()) - truth.allocated_gpu_ms)
    smallest = judgement.smallest_visible_gpu_ms
    return {
        **record,
        "verdict": judgement.verdict.value,
        "lo_h": judgement.unexplained.lo_gpu_ms / 3.6e6,
        "mid_h": judgement.unexplained.mid_gpu_ms / 3.6e6,
        "hi_h": judgement.unexplained.hi_gpu_ms / 3.6e6,
        "guests_h": guests_gpu_ms / 3.6e6,
        "smallest_h": None if smallest is None else smallest / 3.6e6,
        "theta": judgement.cost.source,
        "trust": judgement.progress.trust,
        "score": judgement.score,
        "checks": sorted({f.check for f in judgement.findings if f.weight > 0}),
        "hard": any(f.hard and f.weight > 0 for f in judgement.findings),
        "no_process": None if bare is None else bare.judgement.verdict.value,
        "no_network": None if mute is None else mute.judgement.verdict.value,
        "faults": n_skips + int(off_ms > _SUM_MS * one.run.n_gpus),
    }
