"""A night to its index, and what the index of earlier nights says of a run: recurrence and precision."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.exact import interval
from slurm_guard.model import Audit, Finding, Judgement, Verdict
from slurm_guard.sitemodel import Precision, Recurrence
from slurm_guard.siteword import Asked, Cell, PastNight, SiteWords
from slurm_guard.sums import of_night

MOST_CELLS, MOST_ASKED = 2000, 2000  # Judgement: at 100 bytes each an index stays far below a megabyte
NIGHTS = 7  # that a card looks back on. Judgement: a week has every kind of day
BEYOND = "beyond-budget"  # class of a run that the alarm budget made a REVIEW


def speaks(finding: Finding) -> bool:
    """Whether it is part of why a run is called."""
    return finding.hard or finding.weight >= SPEAKS


def night_of(audit: Audit) -> PastNight:
    """What later nights need to know of this one."""
    asked = [_asked(j) for j in audit.judgements if _rule(j) in (Verdict.ALERT, Verdict.REVIEW)]
    asked.sort(key=lambda a: (not a.hard, a.verdict is not Verdict.ALERT, -a.score, a.run))
    calm = (j for j in audit.judgements if j.verdict in (Verdict.NOTE, Verdict.CLEAR) and j.burn_in is None)
    counts = Counter(
        (j.run.gpu_type or "", j.run.n_gpus, j.run.user, j.verdict.value, round(j.score, 1)) for j in calm
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    cells = tuple(Cell(g, k, u, Verdict(v), s, n) for (g, k, u, v, s), n in ordered[:MOST_CELLS])
    left_out = sum(n for _, n in ordered[MOST_CELLS:]) + len(asked[MOST_ASKED:])
    window = (audit.from_at, audit.until_at)
    sums = of_night(audit.judgements, window)
    return PastNight(audit.cluster, *window, cells, tuple(asked[:MOST_ASKED]), left_out, sums)


def _rule(judgement: Judgement) -> Verdict:
    """The verdict before the alarm budget."""
    return Verdict.ALERT if BEYOND in judgement.classes else judgement.verdict


def _asked(judgement: Judgement) -> Asked:
    run = judgement.run
    spoke = tuple(dict.fromkeys(f.check for f in judgement.findings if speaks(f)))
    covered = tuple(dict.fromkeys(e.check for e in judgement.explained if e.check in spoke))
    hard = any(f.hard and f.weight > 0 for f in judgement.findings)
    return Asked(
        run.id,
        run.user,
        run.name,
        run.gpu_type or "",
        run.n_gpus,
        _rule(judgement),
        hard,
        judgement.score,
        spoke,
        covered,
        judgement.left is not None and not judgement.asks,
    )


Rows = dict[tuple[str, str], list[tuple[int, Asked]]]


def by_owner(past: Sequence[PastNight]) -> Rows:
    """The calls of the last NIGHTS nights by user and job name, each with its night's place."""
    found: Rows = {}
    for k, night in enumerate(past[-NIGHTS:]):
        for asked in night.asked:
            found.setdefault((asked.user, asked.name), []).append((k, asked))
    return found


def recurrences(judgement: Judgement, rows: Rows, of_nights: int, words: SiteWords) -> tuple[Recurrence, ...]:
    """For each check that speaks here and spoke on the same user's jobs of the same name before."""
    earlier = rows.get((judgement.run.user, judgement.run.name), []) if judgement.run.user else []
    wrong = {d.subject.run for d in words.dispositions if d.word == "wrong"}
    found = []
    for check in dict.fromkeys(f.check for f in judgement.findings if speaks(f)):
        same = [(k, a) for k, a in earlier if check in a.checks]
        nights = {k for k, _ in same}
        if nights:
            explained = {k for k, a in same if check in a.explained}
            denied = {k for k, a in same if a.run in wrong}
            found.append(Recurrence(check, len(nights), of_nights, len(explained), len(denied)))
    return tuple(found)


def with_recurrence(
    judgements: Sequence[Judgement], past: Sequence[PastNight], words: SiteWords
) -> list[Judgement]:
    """Those that were called, with what earlier nights say of the same."""
    rows, of_nights = by_owner(past), len(past[-NIGHTS:])
    called = (Verdict.ALERT, Verdict.REVIEW)
    return [
        replace(j, again=recurrences(j, rows, of_nights, words)) if rows and j.verdict in called else j
        for j in judgements
    ]


def precision(words: SiteWords) -> tuple[Precision, ...]:
    """By verdict and by check, what looking at it had shown; a run counts for each check that called it."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for said in words.dispositions:
        for key in (("verdict", said.verdict.value), *(("check", c) for c in dict.fromkeys(said.checks))):
            counts.setdefault(key, Counter())[said.word] += 1
    return tuple(
        _precision(kind, name, counts[kind, name])
        for kind, name in sorted(counts, key=lambda key: (key[0] != "verdict", key[1]))
    )


def _precision(kind: str, name: str, n: Counter[str]) -> Precision:
    bounds = interval(n["right"], n["right"] + n["wrong"])
    low, high = (None, None) if bounds is None else (round(bounds[0], 6), round(bounds[1], 6))
    return Precision(kind, name, n["right"], n["wrong"], n["unclear"], low, high)
