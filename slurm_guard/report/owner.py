"""The letter to the owner of runs: his own alone, in neutral words, made of amounts and fixed sentences."""

import hashlib
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from slurm_guard.model import Account, Audit, Judgement, Verdict
from slurm_guard.report import bars, ownerwords, words
from slurm_guard.report.decisions import is_set_aside
from slurm_guard.report.letter import OWNER, Body, Envelope, Heads, Letter, Strand, assemble
from slurm_guard.report.mail import WIDTH, Sort, inline_css
from slurm_guard.report.ownerwords import Said
from slurm_guard.report.render import render_owner_html
from slurm_guard.report.safe import clean
from slurm_guard.report.words import Times, Unit

MOST_RUNS = 20  # judgement; the rest is counted
_UNITS = {"GPU-h": "GPU-hours", "GPU-min": "GPU-minutes", "GPU-s": "GPU-seconds"}


@dataclass(frozen=True, slots=True)
class OwnerRun:
    """One run in words."""

    title: str
    when: str
    seen: tuple[str, ...]
    helps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnerView:
    """The whole letter as display strings."""

    subject: str
    again: str  # empty: no earlier letter
    greeting: str
    intro: str
    runs: tuple[OwnerRun, ...]
    more: str
    contact: str
    seen_by: str
    method: str


@dataclass(frozen=True, slots=True)
class Desk:
    """How a site writes to owners. `told`: the verdicts and classes that it enables; `open_`: the partitions
    of which owners are written to, null: all."""

    site: str
    zone: tzinfo
    told: Collection[str]
    open_: Collection[str] | None
    contact: str = ""
    has_coordinators: bool = False


_CALLED = (Verdict.ALERT, Verdict.REVIEW)


def told_runs(audit: Audit, desk: Desk) -> dict[str, list[Judgement]]:
    """By user, the runs of which their owner is told: enabled, not only observed, not explained by the site,
    and no burn-in, with which he does what he was asked to."""
    found: dict[str, list[Judgement]] = {}
    for judgement in audit.judgements:
        run = judgement.run
        enabled = judgement.verdict.value in desk.told or not set(judgement.classes).isdisjoint(desk.told)
        observed_only = desk.open_ is not None and run.partition not in desk.open_
        if enabled and not observed_only and not is_set_aside(judgement) and judgement.burn_in is None:
            found.setdefault(run.user, []).append(judgement)
    return found


def build_view(audit: Audit, own: Sequence[Judgement], desk: Desk) -> OwnerView:
    """The letter about `own`, which are one user's runs. Takes nothing else of the audit but its window."""
    times, site = Times(desk.zone), clean(desk.site or audit.cluster, 60)
    unit = words.unit_for(j.run.allocated_gpu_ms for j in own)
    ordered = sorted(own, key=lambda j: (j.run.from_at, j.run.job_id, j.run.id))
    day = times.full(audit.from_at)[:10]
    one = f"your job {clean(ordered[0].run.job, 40)}" if len(own) == 1 else f"{len(own):,} runs of yours"
    n_more = len(own) - MOST_RUNS
    return OwnerView(
        subject=f"About {one} on {site}, {day}",
        again="",
        greeting="Hello,",
        intro=ownerwords.INTRO.format(
            runs=words.plural(len(own), "run"),
            site=site,
            window=times.span(audit.from_at, audit.until_at),
            zone=times.zone_name(audit.from_at),
        ),
        runs=tuple(_run(j, desk, unit, times) for j in ordered[:MOST_RUNS]),
        more=f"… and {words.plural(n_more, 'more run')} like these." if n_more > 0 else "",
        contact=f"Questions: {clean(desk.contact, 120)}" if desk.contact else "",
        seen_by=ownerwords.SEEN_BY.format(also=ownerwords.ALSO if desk.has_coordinators else ""),
        method=ownerwords.METHOD,
    )


def view_digest(view: OwnerView) -> str:
    """Of what the owner reads: a re-audit that changes nothing for him writes no second letter."""
    return hashlib.sha256(render_text(view).encode("utf-8", "replace")).hexdigest()


def compose(view: OwnerView, envelope: Envelope, date_at: float, sort: Sort) -> Letter:
    """Raises GuardError mail-address."""
    strand = sort.strand or Strand("<owner@localhost>")
    greeting = f"Hello {clean(envelope.name, 60)}," if envelope.name else view.greeting
    again = ownerwords.AGAIN if strand.earlier else ""
    subject = f"{view.subject}{' (measured again)' if again else ''}"
    shown = replace(view, greeting=greeting, again=again, subject=subject)
    body = Body(render_text(shown), inline_css(render_owner_html(shown)))
    return assemble(Heads(envelope, subject, strand, date_at, OWNER), body)


def render_text(view: OwnerView) -> str:
    """Complete on its own."""
    out = [view.greeting, "", *_wrap(view.intro)]
    out += ["", *_wrap(view.again)] if view.again else []
    for run in view.runs:
        out += ["", *_wrap(run.title), *_wrap(run.when)]
        out += [line for said in run.seen for line in _wrap(f"  - {said}", "    ")]
        out += ["  What you can do:"] if run.helps else []
        out += [line for said in run.helps for line in _wrap(f"  - {said}", "    ")]
    for part in (view.more, view.contact, view.seen_by, view.method):
        out += ["", *_wrap(part)] if part else []
    return "\n".join(line.rstrip() for line in out) + "\n"


def _wrap(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def _run(judgement: Judgement, desk: Desk, unit: Unit, times: Times) -> OwnerRun:
    run = judgement.run
    name = f" “{clean(run.name, 60)}”" if run.name.strip() else ""
    gpus = words.plural(run.n_gpus, "GPU")
    said = _said(judgement, desk)
    amounts = _amounts(judgement, unit)
    return OwnerRun(
        title=f"Job {clean(run.job, 40)}{name}",
        when=f"{gpus}, {times.span(run.from_at, run.until_at)}, {amounts['allocated']}",
        seen=tuple(part.seen.format(**amounts) for part in said),
        helps=tuple(dict.fromkeys(part.helps for part in said)),
    )


def _amounts(judgement: Judgement, unit: Unit) -> dict[str, str]:
    ledger, bounds = judgement.ledger_gpu_ms, judgement.unexplained
    amounts = {
        "allocated": judgement.run.allocated_gpu_ms,
        "idle": bars.of(ledger, Account.IDLE.value),
        "wait": bars.of(ledger, Account.WAIT.value),
        "foreign": bars.of(ledger, Account.FOREIGN.value),
        "lo": bounds.lo_gpu_ms,
        "hi": bounds.hi_gpu_ms,
    }
    return {name: _spoken(unit, gpu_ms) for name, gpu_ms in amounts.items()}


def _spoken(unit: Unit, gpu_ms: int) -> str:
    """Whole words: owners have no glossary."""
    return f"{unit.show(gpu_ms)} {_UNITS.get(unit.name, unit.name)}"


def _said(judgement: Judgement, desk: Desk) -> list[Said]:
    """Of an enabled verdict everything that there are words for, else the enabled classes alone."""
    whole = judgement.verdict.value in desk.told
    classes = [c for c in judgement.classes if (whole or c in desk.told) and c in ownerwords.BY_CLASS]
    said = [ownerwords.BY_CLASS[c] for c in classes if c not in ownerwords.ASIDE]
    aside = [ownerwords.BY_CLASS[c] for c in classes if c in ownerwords.ASIDE]
    if whole and judgement.verdict in _CALLED:
        amount = judgement.unexplained.hi_gpu_ms > 0 and not bars.is_unmatched(judgement)
        some = ownerwords.UNMATCHED if judgement.unexplained.lo_gpu_ms > 0 else ownerwords.PERHAPS_UNMATCHED
        said += [some] if amount else []
        said = said or [ownerwords.MARKED]
    elif whole and not said and ownerwords.UNSEEN.isdisjoint(classes):
        unseen = judgement.verdict is Verdict.NOT_AUDITABLE
        said = [ownerwords.NOT_SEEN if unseen else ownerwords.MARKED]
    return said + aside or [ownerwords.MARKED]
