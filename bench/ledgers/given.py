"""What the core of the ledger is given of a night: what the audit reads from logs, processes and accounting.

That part is decided run by run in Python and is the same for all three ledgers, so it is made once, by the
audit itself, and left in small Parquet files: `python -m bench.ledgers.given MADE GIVEN`. Beside it stands
what the document says of each run.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from bench.ledgers.night import WINDOW
from slurm_guard.audit import bounds, denial, judge, owners
from slurm_guard.audit.bind import bind
from slurm_guard.audit.case import Case
from slurm_guard.audit.exempt import NOTHING
from slurm_guard.audit.facts import Facts, runs_frame, split
from slurm_guard.audit.night import Night, case_of, measure
from slurm_guard.audit.whole import whole_of
from slurm_guard.cli.audit import load_facts
from slurm_guard.config import Config
from slurm_guard.lake.frames import read_frames
from slurm_guard.model import Account, Judgement, Run

RUNS = {
    "i": pl.Int64,
    "run_id": pl.String,
    "uid": pl.Int64,
    "n_gpus": pl.Int64,
    "from_at": pl.Float64,
    "until_at": pl.Float64,
    "allocated_ms": pl.Int64,
    "blur_s": pl.Float64,  # how far a usual record may be off; null: no progress
    "agreed": pl.Boolean,  # whether anything outside the job agrees with its log
}
CLASSES = {"i": pl.Int64, "node": pl.String, "pid": pl.Int64, "start_ticks": pl.Int64, "cls": pl.String}
SPANS = {"i": pl.Int64, "a": pl.Float64, "b": pl.Float64, "kind": pl.String}
ARCS = {
    "i": pl.Int64,
    "place": pl.Int64,  # in the run's order
    "from_at": pl.Float64,
    "until_at": pl.Float64,
    "units": pl.Float64,
    "named": pl.Boolean,  # the log names a phase that is not training inside it, ends included
}
DOCUMENT = {
    "i": pl.Int64,
    **dict.fromkeys((f"{a.value}_ms" for a in Account), pl.Int64),
    **dict.fromkeys(("u_lo_ms", "u_ms", "u_hi_ms"), pl.Int64),
    "theta": pl.Float64,
    "more": pl.String,  # what the audit knew of the run beyond the core; empty: nothing
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A night, measured by the audit."""

    runs: list[Run]
    facts: Facts
    night: Night
    cases: list[Case]
    judgements: list[Judgement]


def measured(made: Path) -> Measured:
    """The night of a folder that `slurm-guard simulate` made."""
    facts = load_facts(WINDOW, Config(), (made / "sacct.txt", None), made / "lake")
    frames, skips = read_frames(made / "lake", facts.cluster, *WINDOW)
    facts = replace(facts, frames=frames, skips=skips)
    runs = split(facts.runs)[0]
    night, told = measure(runs, facts)
    whole = whole_of(runs, facts, told)
    cases = [case_of(i, run, night, (whole, facts)) for i, run in enumerate(runs)]
    return Measured(runs, facts, night, cases, [judge.judge(case, NOTHING)[0] for case in cases])


def write(made: Path, folder: Path) -> None:
    """The files, in `folder`."""
    found = measured(made)
    table = runs_frame(found.runs)
    frames = found.facts.frames
    people = owners.process_facts(frames["processes"])
    tables = {
        "runs": _frame([_run(i, run, found.night) for i, run in enumerate(found.runs)], RUNS),
        "keys": bind(table, dict(frames)).select("run", "i"),
        "people": people.select("node", "pid", "start_ticks", "run", "uid", "start_at", "exe"),
        "classes": _frame(_classes(found.night), CLASSES),
        "spans": _frame(
            [
                (i, s.from_at, s.until_at, s.kind.value)
                for i, study in found.night.studies.items()
                for s in study.spans
            ],
            SPANS,
        ),
        "arcs": _frame(_arcs(found.night), ARCS),
        "document": _frame(
            [(i, *_said(c, j)) for i, (c, j) in enumerate(zip(found.cases, found.judgements, strict=True))],
            DOCUMENT,
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        rows.write_parquet(folder / f"{name}.parquet", compression="zstd")


def _frame(rows: list[tuple[object, ...]], schema: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema, orient="row")


def _run(i: int, run: Run, night: Night) -> tuple[object, ...]:
    track = night.tracks[i]
    blurs = pl.Series([arc.blur_s for arc in track.arcs], dtype=pl.Float64)
    times = (run.from_at, run.until_at, run.allocated_gpu_ms)
    return (i, run.id, run.uid, run.n_gpus, *times, blurs.median(), night.studies[i].agreement.agreed)


def _classes(night: Night) -> list[tuple[object, ...]]:
    return [
        (i, u.node, u.pid, u.start_ticks, "beside" if owners.in_doubt(u, people) else u.cls)
        for i, people in night.users.items()
        for u in people
    ]


def _arcs(night: Night) -> list[tuple[object, ...]]:
    return [
        (
            i,
            k,
            arc.from_at,
            arc.until_at,
            arc.units,
            any(arc.from_at <= t <= arc.until_at for t in track.named_at),
        )
        for i, track in night.tracks.items()
        for k, arc in enumerate(track.arcs)
    ]


def _said(case: Case, judgement: Judgement) -> tuple[object, ...]:
    """What the document says of a run."""
    accounts, u = judgement.ledger_gpu_ms, judgement.unexplained
    theta = case.study.theta
    return (
        *(accounts[a.value] for a in Account),
        u.lo_gpu_ms,
        u.mid_gpu_ms,
        u.hi_gpu_ms,
        None if theta is None else theta.value,
        ", ".join(_more(case, judgement)),
    )


def _more(case: Case, judgement: Judgement) -> list[str]:
    """What the audit weighs and the core does not."""
    fits = case.study.own.values()
    known = {
        "claims that are denied": denial.find_denial(case, judgement.findings).share > 0,
        "a counter that began anew": any(b.stage for fit in fits for b in fit.blocks),
        "lasting rises": any(fit.refit for fit in fits),
        "work beside the training that recurs, or of unlisted processes": case.own_left != _bare(case),
        "a cost by arithmetic": case.left != case.own_left,
    }
    return [word for word, there in known.items() if there]


def _bare(case: Case) -> bounds.Left:
    return bounds.left_over(case.study.own, is_split=case.study.is_split, pipes=case.study.pipes)


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]))
