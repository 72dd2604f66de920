"""The runs of a page by section: cards for those that are to be read, lines for the rest, all counted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from slurm_guard import sums
from slurm_guard.model import Judgement, Verdict
from slurm_guard.report import sentences, words
from slurm_guard.report.beyond import Beyond, sentence
from slurm_guard.report.cards import build_card, build_row
from slurm_guard.report.lists import more_words
from slurm_guard.report.view import Card, Reason, Section
from slurm_guard.report.words import Times, Unit

ORDER = (
    Verdict.ALERT.value,
    Verdict.REVIEW.value,
    sums.EXPLAINED,
    sums.PARKED,
    Verdict.NOTE.value,
    Verdict.NOT_AUDITABLE.value,
    sums.BURN_IN,
    Verdict.CLEAR.value,
)
_ALWAYS = tuple(v.value for v in Verdict)  # shown with a zero, too
_SAID: Mapping[str, str] = {
    sums.EXPLAINED: words.EXPLAINED_WORDS,
    sums.PARKED: words.PARKED_WORDS,
    sums.BURN_IN: words.BURN_IN_WORDS,
    **{v.value: said for v, said in words.VERDICT_WORDS.items()},
}
SOME = 15  # cards of REVIEW. Judgement: who has looked at fifteen takes the rest from the list
FEW = 8  # cards of sections that ask for nothing. Judgement: their lines say enough

SHORT = 12  # lines of such a section in a mail. Judgement: the page has more


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the lists may be."""

    cards: int
    rows: int
    everything: bool  # a part of a night, asked for: clear runs have cards, too


@dataclass(frozen=True, slots=True)
class Frame:
    """What every run of a page is shown in and beside."""

    unit: Unit
    times: Times
    beyond: Beyond  # work outside the allocations
    night: str  # the date that its document is kept under


def build_sections(judgements: Iterable[Judgement], frame: Frame, bounds: Bounds) -> tuple[Section, ...]:
    """By seriousness; after REVIEW those that the site explained, then the parked; burn-in before CLEAR."""
    parts: dict[str, list[Judgement]] = {name: [] for name in ORDER}
    for judgement in judgements:
        parts[sums.section_of(judgement)].append(judgement)
    return tuple(
        _section(name, ordered(own), frame, bounds) for name, own in parts.items() if own or name in _ALWAYS
    )


def alerts_of(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Those that need a look today, in the order of their cards."""
    return ordered(j for j in judgements if sums.section_of(j) == Verdict.ALERT.value)


def ordered(own: Iterable[Judgement]) -> list[Judgement]:
    """Those with a hard fact first, then by what is unexplained at least."""
    return sorted(
        own,
        key=lambda j: (
            not any(f.hard for f in j.findings),
            -j.unexplained.lo_gpu_ms,
            -j.score,
            -j.run.allocated_gpu_ms,
            j.run.id,
        ),
    )


def _section(name: str, own: Sequence[Judgement], frame: Frame, bounds: Bounds) -> Section:
    unit, times = frame.unit, frame.times
    n = _n_cards(name, bounds)
    rest = own[n:]
    return Section(
        verdict=name.upper(),
        slug=name.lower().replace(" ", "-"),
        words=_SAID[name],
        count=len(own),
        allocated=unit.full(sum(j.run.allocated_gpu_ms for j in own)),
        cards=tuple(_card(j, frame) for j in own[:n]),
        rows=tuple(build_row(j, unit, times) for j in rest[: bounds.rows]),
        more=more_words(len(rest) - bounds.rows, "run"),
        short=tuple(build_row(j, unit, times) for j in own[: min(SHORT, bounds.rows)]),
        more_short=more_words(len(own) - min(SHORT, bounds.rows), "run"),
        reasons=_reasons(own, unit) if name == Verdict.NOT_AUDITABLE.value else (),
    )


def _card(judgement: Judgement, frame: Frame) -> Card:
    """The run in full, with what stands beside it on this page."""
    beyond = sentence(judgement.run, frame.beyond, frame.unit)
    see = f"slurm-guard report --night {frame.night} --job {judgement.run.job_id}"
    return replace(build_card(judgement, frame.unit, frame.times, beyond), see=see)


def _n_cards(name: str, bounds: Bounds) -> int:
    if bounds.everything or name == Verdict.ALERT.value:
        return bounds.cards
    if name == Verdict.REVIEW.value:
        return min(SOME, bounds.cards)
    return 0 if name == Verdict.CLEAR.value else min(FEW, bounds.cards)


def _reasons(own: Sequence[Judgement], unit: Unit) -> tuple[Reason, ...]:
    """The reasons, the most GPU time first, each with the one thing that would help."""
    parts: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in own:
        parts.setdefault((sentences.reason(judgement), sentences.remedy(judgement)), []).append(judgement)
    size = {key: sum(j.run.allocated_gpu_ms for j in runs) for key, runs in parts.items()}
    keys = sorted(parts, key=lambda key: (-size[key], key))
    return tuple(Reason(*key, f"{len(parts[key]):,}", unit.full(size[key])) for key in keys[:FEW])
