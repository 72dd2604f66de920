"""One case to one judgement: checks, denial, bounds, ledger, verdict."""

from dataclasses import replace
from math import isfinite

from slurm_guard.audit import analytic, bounds, exempt, ledger, timeline, verdict
from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.bounds import Left
from slurm_guard.audit.case import Case, cost_unit, risen_at
from slurm_guard.audit.checks import (
    claimed_checkpoints,
    dearer_than_peers,
    intent_held,
)
from slurm_guard.audit.compare import Compared
from slurm_guard.audit.denial import find_denial
from slurm_guard.audit.knownrises import KnownRises
from slurm_guard.audit.others import note as note_of
from slurm_guard.audit.others import spared
from slurm_guard.audit.others import summary as summary_of
from slurm_guard.audit.redonework import weigh
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.spans import Kind
from slurm_guard.audit.track import DOUBTFUL
from slurm_guard.audit.witnesses import lifts
from slurm_guard.model import (
    Account,
    Bounds,
    Comparison,
    Cost,
    Finding,
    Judgement,
    ProgressSummary,
    Run,
    Skip,
    Verdict,
)
from slurm_guard.sitemodel import BURN_IN

MOSTLY = 0.5  # of its claimed work denied: the log as a whole is contradicted. Judgement.


def judge(case: Case, known: exempt.Known = exempt.NOTHING) -> tuple[Judgement, list[Skip]]:
    """The judgement, and a Skip for each check that failed on this run. What the site said changes none of
    it but what is left to ask for a look.
    """
    findings, skips = run_checks(case)
    if case.hearing.imported:
        findings = spared(findings)
    denial = find_denial(case, findings)
    denied = denial.share >= MOSTLY
    books = ledger.book(case.sums, (case.left.mid, case.left.wait), denial.share)
    accounts = ledger.balance(books, case.run.allocated_gpu_ms)
    facts = (case.run.allocated_gpu_ms, _held(case, findings) if case.track.arcs else None)
    whole, mine = bounds.unexplained(case.study, case.sums, case.slots, (denial.share, denial.sure), facts)
    whole = _around(whole, accounts)
    if case.hearing.imported:
        whole, mine = replace(whole, lo_gpu_ms=0), replace(mine, lo_gpu_ms=0)
    ruling = verdict.rule(case, findings, whole, mine, accounts)
    shown = ruling.verdict is not Verdict.CLEAR
    explained, others = exempt.explained(case.run, findings, known)
    left = verdict.asks_for(case, others, mine) or Verdict.NOTE
    entry = known.burn_in_of(case.run)
    return Judgement(
        case.run,
        ruling.verdict,
        ruling.classes if entry is None else tuple(sorted({*ruling.classes, BURN_IN})),
        ruling.sentence,
        accounts,
        whole,
        bounds.smallest_visible_ms(case.study, case.sums, case.left, case.worth_us),
        _cost(case),
        ruling.score,
        findings,
        _progress(case, accounts, denied=denied),
        timeline.draw(case, denial) if shown else None,
        _coverage_pct(case),
        _notes(case, denied=denied),
        explained=explained,
        left=left if explained else None,
        burn_in=entry,
    ), skips


def _held(case: Case, findings: tuple[Finding, ...]) -> Left:
    """What is left over, the lower value without the kind reading of a lasting rise (larger steps) where
    anything that speaks of work, or of what steps cost, speaks against the run as well."""
    if not any(lifts(f) for f in findings):
        return case.left
    return replace(case.left, lo=max(case.left.lo, case.left.asked))


def run_checks(case: Case) -> tuple[tuple[Finding, ...], list[Skip]]:
    """Findings of every check, heaviest first; a check that fails is a Skip and stops nothing."""
    found: list[Finding] = []
    skips: list[Skip] = []
    for check in CHECKS:
        try:
            found += check.find(case, check.params)
        except Exception as error:  # noqa: BLE001 - one bad run must not stop the night (law 7 of style)
            skips.append(
                Skip(f"{check.id} on {case.run.id}", "check-failed", f"{type(error).__name__}: {error}")
            )
    order = {check.id: k for k, check in enumerate(CHECKS)}
    return tuple(sorted(found, key=lambda f: (not f.hard, -f.weight, order[f.check], f.sentence))), skips


def _around(whole: Bounds, accounts: dict[str, int]) -> Bounds:
    """Bounds whose middle is exactly what the ledger books as unexplained."""
    middle = sum(accounts[a.value] for a in (Account.FOREIGN, Account.CONTRADICTION, Account.RESIDUAL))
    return Bounds(min(whole.lo_gpu_ms, middle), middle, max(whole.hi_gpu_ms, middle))


def _cost(case: Case) -> Cost:
    theta = case.study.theta
    channel = case.study.channel
    unit = cost_unit(channel, case.track.unit)
    band = analytic.documented(case.band)
    if theta is None:
        return analytic.alone(band) or Cost(None, unit, channel, "none", None, 0)
    compared = case.compared
    used = theta if compared is None else compared.theta
    source = "own-cheapest" if compared is None else compared.used
    said = None if compared is None else _comparison(case, compared)
    return Cost(round(used.value, 6), unit, channel, source, round(used.rel_error, 6), theta.n, said, band)


def _comparison(case: Case, compared: Compared) -> Comparison:
    peers = compared.peers
    cost = peers.costs[case.study.channel]
    return Comparison(
        peers.kind,
        round(cost.value, 6),
        round(cost.error, 6),
        peers.n_runs,
        peers.n_nights,
        peers.n_users,
        peers.n_others,
        int(compared.visible * case.sums.get(Kind.TRAIN, "own") / 1000 + 0.5),
        compared.holds,
        compared.why,
    )


def _progress(case: Case, accounts: dict[str, int], *, denied: bool) -> ProgressSummary:
    track = case.track
    agreement = case.study.agreement
    if not track.arcs:
        trust = "none"
    elif denied:
        trust = "contradicted"
    elif agreement.agreed:
        # One that came in a lump, or at odds with its own time, was found on disk and not seen to come.
        seen = sum(m.observed and not DOUBTFUL.intersection(m.flags) for m in track.marks)
        seen_most = seen >= 0.5 * len(track.marks)
        trust = "observed" if seen_most else "consistent"
    else:
        trust = "claimed-only"
    return ProgressSummary(
        track.sources,
        track.n_points,
        track.n_tracks,
        track.marks[0].at if track.marks else None,
        track.marks[-1].at if track.marks else None,
        round(sum(case.study.units), 3) if track.arcs else None,
        track.unit,
        trust,
        track.problems,
        weigh(case, accounts[Account.PROGRESS.value]),
    )


def _coverage_pct(case: Case) -> float:
    if case.allocated_us <= 0:
        return 0.0
    seen = case.sums.total("cov") - case.sums.total("blind")
    return round(min(100.0, 100.0 * seen / case.allocated_us), 2)


def _notes(case: Case, *, denied: bool) -> tuple[str, ...]:
    """What could not be seen, in plain words."""
    notes = list(case.track.notes)
    study = case.study
    if case.track.arcs and not denied and not study.agreement.agreed:
        notes.append(
            "Nothing outside the job could confirm or deny the logged progress: it is credited, "
            "and the upper bound holds it too."
        )
    if study.theta is not None and case.compared is not None:
        notes.append(_beside(case, case.compared))
    elif study.theta is not None:
        notes.append(
            "The cost of progress comes from this run alone: extra work from the first step to the last "
            "inside the training process cannot be seen without comparable runs."
        )
    elif case.track.arcs and case.sums.get(Kind.TRAIN, "own") > 0:
        notes.append("Too little progress to learn its cost; work during training is credited whole.")
    if case.band is not None and study.theta is None:
        notes.append(analytic.note(case.band))
    if case.rises is not None:
        notes.append(_risen(case, case.rises))
    if not study.power_believed:
        notes.append("The boards report the power of an idle GPU while busy: power was not used.")
    doubt = 1000 * sum(case.slots.doubt)
    if doubt > 0.01 * case.allocated_us:
        notes.append(f"{spoken(doubt)} were by processes that may or may not be part of the training.")
    if case.hearing.refused_windows:
        n = counted(
            case.hearing.refused_windows, "window contradicts itself", "windows contradict themselves"
        )
        notes.append(f"{n}: not used.")
    if case.sums.get(Kind.STARTUP, "own") > 0.05 * case.allocated_us:
        notes.append(
            f"{spoken(case.sums.get(Kind.STARTUP, 'own'))} of work before the first record that was seen on "
            "disk count as start-up."
        )
    if case.hearing.upkeep:
        notes.append(
            f"{counted(len(case.hearing.upkeep), 'node', 'nodes')} of the run were in maintenance as long as "
            "it was there. It is judged as ever."
        )
    if case.hearing.imported:
        notes.append(note_of(case.hearing.imported))
    if case.hearing.summary:
        notes.append(summary_of(case.hearing.summary))
    if case.net.cut or case.net.left_out:
        notes.append("The run had more connections than were followed: some are not in the network lane.")
    return (*notes, *claimed_checkpoints.notes(case), *intent_held.notes(case))


def _beside(case: Case, compared: Compared) -> str:
    """What the comparison with earlier runs could have seen."""
    least = spoken(compared.visible * case.sums.get(Kind.TRAIN, "own"))
    who = dearer_than_peers.who(case, compared)
    said = f"The cost of progress was compared with {who}: {least} of extra work from the first step to the "
    if compared.holds:
        return f"{said}last inside the training process would have shown."
    return f"{said}last would have shown, but nothing would be held against the run: {compared.why}."


def _risen(case: Case, rises: KnownRises) -> str:
    who = f"{counted(rises.n_runs, 'earlier run', 'earlier runs')} of the same settings"
    why = "which a person found right" if rises.by_word else f"by {rises.n_users} other users"
    return (
        f"Progress cost more from {risen_at(case)} on, as it did in {who}, {why}: that is held to be the "
        "training's own way, and only the upper bound knows of it."
    )


def refused(run: Run, why: str) -> Judgement:
    """A run that accounting itself contradicts: a verdict and accounts that sum, nothing more."""
    try:
        allocated = run.allocated_gpu_ms
    except (ValueError, OverflowError):  # times that are not numbers
        allocated = 0
    accounts = dict.fromkeys((a.value for a in Account), 0)
    accounts[Account.UNOBSERVED.value] = allocated
    return Judgement(
        _writable(run),
        Verdict.NOT_AUDITABLE,
        ("refused",),
        f"This run cannot be judged: {why}.",
        accounts,
        Bounds(0, 0, 0),
        None,
        Cost(None, "", "none", "none", None, 0),
        verdict.PRIOR,
        (),
        ProgressSummary((), 0, 0, None, None, None, None, "none"),
        None,
        0.0,
        (why,),
    )


def _writable(run: Run) -> Run:
    """The run with 0 for times that are not numbers, which no document can hold."""
    from_at, until_at, start_at = (
        t if isfinite(t) else 0.0 for t in (run.from_at, run.until_at, run.start_at)
    )
    end_at = run.end_at if run.end_at is None or isfinite(run.end_at) else None
    return replace(run, from_at=from_at, until_at=until_at, start_at=start_at, end_at=end_at)
