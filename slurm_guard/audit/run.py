"""The audit: facts in, one document out. No I/O, no clock; the same facts give the same bytes."""

from collections.abc import Callable
from dataclasses import asdict

import polars as pl

from slurm_guard import sums
from slurm_guard.audit import alarms, exempt, hear, judge, minutes, outside, past
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.facts import Facts, split
from slurm_guard.audit.night import Night, case_of, measure
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.remember import remember
from slurm_guard.audit.settled import said_of
from slurm_guard.history import PastCost, PastGround, PastTrace
from slurm_guard.model import Audit, Judgement, Outside, Run, Skip
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
    night = measure(runs, facts, keeps_cells=take is not None)
    book = None if take is None else minutes.Book(night.cells, take)
    judgements: list[Judgement] = [judge.refused(run, why) for run, why in refused]
    skips = [*facts.skips, *(Skip(run.id, "run-refused", why) for run, why in refused)]
    known = exempt.known(facts.words.exemptions, facts.config.burn_in)
    costs: list[PastCost] = []
    for i, run in enumerate(runs):
        case, judgement, missed = _judged(i, run, (night, facts), known)
        if tell is not None:
            tell(i + 1, len(runs))
        judgements.append(judgement)
        skips += missed
        if case is not None and not case.hearing.imported:
            costs += remember(case, judgement, (facts.from_at, facts.until_at))
            if leave is not None and case.repeats is not None:
                for ground in case.repeats.grounds:
                    leave(ground)
        if book is not None:
            book.add(minutes.Entry(-1, judgement) if case is None else minutes.entry(case, judgement))
    if book is not None:
        for judgement in judgements[: len(refused)]:
            book.add(minutes.Entry(-1, judgement))
        book.close()
    if leave_trace is not None:
        for i in sorted(night.traces.rows):
            for trace in night.traces.rows[i]:
                leave_trace(trace)
    skips += [*_refused_windows(night), *_not_compared(night)]
    judgements, site = _with_the_site(judgements, facts)
    judgements.sort(key=lambda j: j.run.id)
    window = (facts.from_at, facts.until_at)
    done = Audit(
        facts.cluster,
        facts.from_at,
        facts.until_at,
        facts.version,
        _settings(facts),
        tuple(judgements),
        _outside(night, runs, facts),
        tuple(sorted(set(skips), key=lambda s: (s.subject, s.reason, s.detail))),
        hear.coverage(dict(facts.frames), night.tables.good, runs, (night.upkeep, window)),
        site,
        sums.groups(judgements, facts.cluster),
        sums.trend((before.sums for before in facts.past), sums.of_night(judgements, window)),
        tuple(sorted(facts.maintenance, key=lambda w: (w.from_at, w.until_at, w.nodes, w.reason, w.source))),
    )
    return done, costs


def _outside(night: Night, runs: list[Run], facts: Facts) -> tuple[Outside, ...]:
    """Work outside of any run's allocation."""
    without_gpus = {run.job_id for run in facts.runs if run.n_gpus == 0}
    excused = {k for k, s in enumerate(night.stints) if night.upkeep.excuses(s, facts.config.slack_s)}
    return outside.documented(list(night.stints), runs, without_gpus, excused)


def _judged(
    i: int, run: Run, given: tuple[Night, Facts], known: exempt.Known
) -> tuple[Case | None, Judgement, list[Skip]]:
    """The run at place `i`; without a case where the audit failed on it: it has a verdict all the same."""
    night, facts = given
    why = night.failed.get(i)
    if why is None:
        try:
            case = case_of(i, run, night, facts)
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


def _not_compared(night: Night) -> list[Skip]:
    """Skips for what looks at all runs and failed: the logs held against each other, storage and the like."""
    found = [("losses of other runs", night.traces.failed)] if night.traces.failed else []
    return [Skip(what, "check-failed", why) for what, why in (*found, *night.missed)]


def _refused_windows(night: Night) -> list[Skip]:
    """One skip per node with windows that contradict themselves."""
    counts = night.tables.refused.group_by("node").len().sort("node")
    return [
        Skip(
            str(node),
            "window-refused",
            counted(n, "window contradicts itself", "windows contradict themselves"),
        )
        for node, n in counts.iter_rows()
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
