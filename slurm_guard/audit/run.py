"""The audit: facts in, one document out. No I/O, no clock; the same facts give the same bytes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import polars as pl

from slurm_guard import sums
from slurm_guard.audit import alarms, exempt, judge, minutes, outside, past
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.divide import CELLS
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.night import Night, case_of, measure
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.remember import remember
from slurm_guard.audit.settled import said_of
from slurm_guard.audit.upkeep import Upkeep
from slurm_guard.audit.whole import Whole, whole_of
from slurm_guard.history import PastCost, PastGround, PastTrace
from slurm_guard.model import Audit, Judgement, NodeCoverage, Outside, Run, Skip
from slurm_guard.sitemodel import Site
from slurm_guard.siteword import digest_of


def audit_facts(facts: Facts) -> Audit:
    """One judgement per run with GPUs, in order of run id; runs without GPUs are counted in the settings."""
    return audit_and_remember(facts)[0]


def audit_and_remember(
    facts: Facts,
    take: Callable[[pl.LazyFrame], None] | None = None,
    leave: Callable[[PastGround], None] | None = None,
    leave_trace: Callable[[PastTrace], None] | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Audit, list[PastCost]]:
    """The same with the rows that it leaves for later audits; `leave` is handed those of what trainings have
    passed, `leave_trace` those of what losses are known by. `take` is handed the ledger by GPU and minute
    (minutes.SCHEMA) in batches of runs; null: it is not laid out. `tell` hears how many runs are judged, of
    how many."""
    runs, refused = split(facts.runs)
    night, told = measure(runs, facts, keeps_cells=take is not None)
    whole = whole_of(runs, facts, told)
    done = judge_runs(dict(enumerate(runs)), night, (whole, facts), take, tell)
    refusals = [judge.refused(run, why) for run, why in refused]
    if take is not None:
        lay_out_refused(refusals, take)
    return assembled(facts, refusals, [done], whole, (leave, leave_trace))


@dataclass(frozen=True, slots=True)
class Done:
    """What the audit has of some runs: of all of a night, or of a part of it."""

    judgements: tuple[Judgement, ...]
    costs: tuple[tuple[str, tuple[PastCost, ...]], ...]  # that each run leaves for later audits, by its id
    grounds: tuple[tuple[str, tuple[PastGround, ...]], ...]
    skips: tuple[Skip, ...]
    stints: tuple[outside.Stint, ...]  # on the nodes that this part speaks of; the runs by their place in it
    coverage: tuple[NodeCoverage, ...]


def judge_runs(
    runs: Mapping[int, Run],
    night: Night,
    given: tuple[Whole, Facts],
    take: Callable[[pl.LazyFrame], None] | None = None,
    tell: Callable[[int, int], None] | None = None,
) -> Done:
    """The runs at these places of a measured night; `take`, `tell`: see audit_and_remember."""
    whole, facts = given
    known = exempt.known(facts.words.exemptions, facts.config.burn_in)
    book = None if take is None else minutes.Book(night.cells, take)
    judgements: list[Judgement] = []
    skips: list[Skip] = []
    costs: list[tuple[str, tuple[PastCost, ...]]] = []
    grounds: list[tuple[str, tuple[PastGround, ...]]] = []
    for i, run in runs.items():
        case, judgement, missed = _judged(i, run, (night, whole, facts), known)
        if tell is not None:
            tell(len(judgements) + 1, len(runs))
        judgements.append(judgement)
        skips += missed
        if case is not None and not case.hearing.imported:
            costs.append((run.id, tuple(remember(case, judgement, (facts.from_at, facts.until_at)))))
            if case.repeats is not None:
                grounds.append((run.id, case.repeats.grounds))
        if book is not None:
            book.add(minutes.Entry(-1, judgement) if case is None else minutes.entry(case, judgement))
    if book is not None:
        book.close()
    skips += [*_refused_windows(night), *_not_compared(night.missed)]
    return Done(tuple(judgements), tuple(costs), tuple(grounds), tuple(skips), night.stints, night.coverage)


def lay_out_refused(refusals: Sequence[Judgement], take: Callable[[pl.LazyFrame], None]) -> None:
    """The rows of the ledger by GPU and minute of runs that accounting's row refuses."""
    book = minutes.Book(pl.DataFrame(schema=CELLS), take)
    for judgement in refusals:
        book.add(minutes.Entry(-1, judgement))
    book.close()


def assembled(
    facts: Facts,
    refusals: Sequence[Judgement],
    parts: Sequence[Done],
    whole: Whole,
    leave: tuple[Callable[[PastGround], None] | None, Callable[[PastTrace], None] | None],
) -> tuple[Audit, list[PastCost]]:
    """The document of a night from its parts, and the rows for later audits, in the order of the runs. Of
    `facts` the frames are not looked at. The stints of all parts name runs by their place in the night."""
    runs, refused = split(facts.runs)
    skips = [*facts.skips, *(Skip(run.id, "run-refused", why) for run, why in refused)]
    skips += [skip for part in parts for skip in part.skips]
    skips += _not_compared((*whole.missed, *([(LOSSES, why)] if (why := whole.traces.failed) else [])))
    leave_ground, leave_trace = leave
    if leave_ground is not None:
        for _, grounds in sorted((g for part in parts for g in part.grounds), key=lambda g: g[0]):
            for ground in grounds:
                leave_ground(ground)
    if leave_trace is not None:
        for i in sorted(whole.traces.rows):
            for trace in whole.traces.rows[i]:
                leave_trace(trace)
    judgements = [*refusals, *(j for part in parts for j in part.judgements)]
    judgements, site = _with_the_site(judgements, facts)
    judgements.sort(key=lambda j: j.run.id)
    window = (facts.from_at, facts.until_at)
    upkeep = Upkeep(facts.maintenance, facts.maintenance_uids)
    stints = sorted((s for part in parts for s in part.stints), key=outside.order)
    done = Audit(
        facts.cluster,
        facts.from_at,
        facts.until_at,
        facts.version,
        _settings(facts),
        tuple(judgements),
        _outside((stints, upkeep), runs, facts),
        tuple(sorted(set(skips), key=lambda s: (s.subject, s.reason, s.detail))),
        tuple(sorted((line for part in parts for line in part.coverage), key=lambda line: line.node)),
        site,
        sums.groups(judgements, facts.cluster),
        sums.trend((before.sums for before in facts.past), sums.of_night(judgements, window)),
        tuple(sorted(facts.maintenance, key=lambda w: (w.from_at, w.until_at, w.nodes, w.reason, w.source))),
    )
    costs = sorted((c for part in parts for c in part.costs), key=lambda c: c[0])
    return done, [cost for _, mine in costs for cost in mine]


LOSSES = "losses of other runs"


def _outside(given: tuple[list[outside.Stint], Upkeep], runs: list[Run], facts: Facts) -> tuple[Outside, ...]:
    """Work outside of any run's allocation."""
    stints, upkeep = given
    without_gpus = {run.job_id for run in facts.runs if run.n_gpus == 0}
    excused = {k for k, s in enumerate(stints) if upkeep.excuses(s, facts.config.slack_s)}
    return outside.documented(stints, runs, without_gpus, excused)


def _judged(
    i: int, run: Run, given: tuple[Night, Whole, Facts], known: exempt.Known
) -> tuple[Case | None, Judgement, list[Skip]]:
    """The run at place `i`; without a case where the audit failed on it: it has a verdict all the same."""
    night, whole, facts = given
    why = night.failed.get(i)
    if why is None:
        try:
            case = case_of(i, run, night, (whole, facts))
            judgement, missed = judge.judge(case, known)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the night (law 7 of style)
            why = said_of(error)
        else:
            return case, judgement, missed
    skip = Skip(run.id, "run-failed", why)
    return None, judge.refused(run, f"the audit failed on it ({why})"), [skip]


def _with_the_site(judgements: list[Judgement], facts: Facts) -> tuple[list[Judgement], Site]:
    """The second pass over all runs: alarm budget and recurrence, by the site's words and earlier nights."""
    words = facts.words.during(facts.from_at)
    spent, budget = alarms.spend(
        judgements, alarms.references(facts.past, facts.words), facts.config.alarm_budget
    )
    asked = [one for night in facts.past for one in night.asked]
    disposed = {d.subject.run for d in words.dispositions}
    return past.with_recurrence(spent, facts.past, words), Site(
        digest_of(words, facts.past),
        words.up_to,
        len(words.exemptions),
        len(facts.past),
        len({one.run for one in asked}),
        len({one.run for one in asked if one.run in disposed}),
        past.precision(words),
        budget,
    )


def _not_compared(missed: Iterable[tuple[str, str]]) -> list[Skip]:
    """Skips for what looks at all runs and failed: the logs held against each other, storage and the like."""
    return [Skip(what, "check-failed", why) for what, why in missed]


def _refused_windows(night: Night) -> list[Skip]:
    """One skip per node with windows that contradict themselves."""
    return [
        Skip(
            str(node),
            "window-refused",
            counted(n, "window contradicts itself", "windows contradict themselves"),
        )
        for node, n in night.refused
    ]


def _settings(facts: Facts) -> dict[str, object]:
    """What this audit was made with: time scales, thresholds, checks, and what was not audited."""
    return {
        "audit": asdict(facts.config),
        "network": asdict(facts.network),
        "checks": {check.id: asdict(check.params) for check in CHECKS},
        "history": _history(facts),
        "runs_without_gpus": sum(1 for run in {r.id: r for r in facts.runs}.values() if run.n_gpus == 0),
    }


def _history(facts: Facts) -> dict[str, object]:
    """Which rows of earlier nights this audit was given; the same digest is the same rows (rulings 24)."""
    costs, grounds, traces = facts.costs, facts.grounds, facts.traces
    return {
        "rows": 0 if costs is None else costs.costs.height,
        "nights": 0 if costs is None else costs.n_nights,
        "sha256": None if costs is None else costs.sha256,
        "ground_rows": 0 if grounds is None else grounds.grounds.height,
        "ground_sha256": None if grounds is None else grounds.sha256,
        "trace_rows": 0 if traces is None else traces.traces.height,
        "trace_sha256": None if traces is None else traces.sha256,
    }
