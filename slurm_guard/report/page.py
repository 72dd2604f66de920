"""A document to the page that is shown: sections, sums of the night, bounded lists."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timezone, tzinfo

from slurm_guard import sums
from slurm_guard.model import Audit
from slurm_guard.readings import READ_BY, UNSEEN
from slurm_guard.report import bars, decisions, headline, lists, repeats, upkeep, words
from slurm_guard.report.accounts import build_groups
from slurm_guard.report.beyond import by_run
from slurm_guard.report.narrow import only_job as only_job
from slurm_guard.report.safe import clean
from slurm_guard.report.sections import Bounds, Frame, alerts_of, build_sections
from slurm_guard.report.trend import build_trend
from slurm_guard.report.view import Fact, LedgerRow, Page
from slurm_guard.report.words import Times, Unit

MOST_ASKS = 12  # lines above everything. Judgement: the cards follow, in the same order


@dataclass(frozen=True, slots=True)
class Options:
    """How a page is cut; the limits keep a bad night readable, and what is cut is counted on the page."""

    site: str = ""
    zone: tzinfo = timezone.utc
    most_cards: int = 25  # per verdict (judgement: nobody reads more at eight in the morning)
    most_rows: int = 200  # per list
    scope: str = ""  # said above everything when the document was filtered
    method_url: str = ""  # where the site has docs/method.md; empty: it is named, not linked
    method_file: str = ""  # where a package put it on this machine; empty: none did
    night_page: str = ""  # of a mail: the page's file or address; empty: nothing is said of one


def build_page(audit: Audit, options: Options) -> Page:
    """All display strings of a document."""
    times = Times(options.zone)
    unit = words.unit_for(j.run.allocated_gpu_ms for j in audit.judgements)
    site, night = clean(options.site or audit.cluster, 80), times.full(audit.from_at)[:10]
    found = sums.groups(audit.judgements, audit.cluster)
    ledger = found[0].ledger_gpu_ms
    alerts, beyond = alerts_of(audit.judgements), by_run(audit.outside)
    n_asks = min(MOST_ASKS, options.most_cards)
    bounds = Bounds(options.most_cards, options.most_rows, bool(options.scope))
    return Page(
        title=f"GPU-hours of {site}, {night}",
        cluster=clean(audit.cluster, 80),
        window=times.span(audit.from_at, audit.until_at),
        zone=times.zone_name(audit.from_at),
        scope=options.scope,
        headline=headline.headline(audit, ledger, unit),
        asks=headline.asks(alerts, unit, n_asks, beyond),
        more_asks=lists.more_words(len(alerts) - n_asks, "run") if n_asks else "",
        coverage=(
            *_coverage(audit, ledger, times),
            *upkeep.maintenance(audit, unit, times),
            *upkeep.burn_in(audit.judgements, unit),
        ),
        about=(*decisions.budget(audit), *repeats.of_night(audit.judgements, unit)),
        empty="" if audit.judgements else headline.empty_line(audit),
        unit=unit.name,
        n_runs=len(audit.judgements),
        total=unit.full(sum(ledger.values())),
        bar=bars.build_bar(ledger, unit),
        ledger=ledger_rows(ledger, unit),
        groups=() if options.scope else build_groups(found, unit),
        sections=build_sections(audit.judgements, Frame(unit, times, beyond, night), bounds),
        # A part of a night is no night among others.
        trend=None if options.scope else build_trend(audit.trend, times, unit),
        outside=lists.outside(audit, unit, times, options.most_rows),
        skips=lists.skips(audit, options.most_rows),
        nodes=lists.nodes(audit, unit, times, options.most_rows),
        method=words.METHOD + (words.METHOD_OF_OTHERS if _has_others(audit) else ""),
        method_url=options.method_url if options.method_url.startswith(("https://", "http://")) else "",
        method_file=clean(options.method_file, 200),
        night_page=clean(options.night_page, 400),
        glossary=tuple(Fact(a, words.GLOSSARY[a]) for a in words.BAR_ORDER),
        trusts=tuple(Fact(word, said) for word, said in words.TRUST.items()),
        ties=tuple(Fact(word, said) for word, said in words.TIES.items()),
        settings=lists.settings(audit.settings),
        footer=f"slurm-guard {clean(audit.version, 40)}, cluster {clean(audit.cluster, 80)}",
        precision=decisions.precision(audit.site),
    )


def _coverage(audit: Audit, ledger: Mapping[str, int], times: Times) -> tuple[Fact, ...]:
    total = sum(ledger.values())
    unobserved = ledger.get("unobserved", 0)
    noted = [n for n in audit.nodes if n.note and not n.note.startswith(READ_BY)]
    nodes = headline.heard(audit) + (f", {len(noted)} with a remark" if noted else "")
    reasons = Counter(skip.reason for skip in audit.skips)
    why = ", ".join(
        f"{clean(r, 40)} ({n})" for r, n in sorted(reasons.items(), key=lambda i: (-i[1], i[0]))[:6]
    )
    return (
        Fact("Window", times.span(audit.from_at, audit.until_at), times.zone_name(audit.from_at)),
        Fact("Observed", words.percent(total - unobserved, total), "of the allocated GPU time"),
        Fact("Nodes", nodes, ", ".join(f"{clean(n.node, 40)}: {clean(n.note, 80)}" for n in noted[:3])),
        *_read_by_others(audit),
        Fact("Not judged", words.plural(len(audit.skips), "skip"), why or "nothing was skipped"),
        *decisions.mode(audit),
    )


def _read_by_others(audit: Audit) -> tuple[Fact, ...]:
    """What another monitor's readings cannot show, beside the nodes that they are of."""
    sources = _sources(audit)
    if not sources:
        return ()
    whose = "; ".join(f"{clean(source, 80)} ({n})" for source, n in sorted(sources.items()))
    nodes = f"{words.plural(sum(sources.values()), 'node')} of {len(audit.nodes):,}"
    return (Fact("Read by another monitor", nodes, f"{whose}. This cannot show {UNSEEN}."),)


def _has_others(audit: Audit) -> bool:
    """A user's own document has no remarks of nodes: there the runs' classes tell."""
    return bool(_sources(audit)) or any(words.NOT_READ in j.classes for j in audit.judgements)


def _sources(audit: Audit) -> Counter[str]:
    """Other monitors, by how many nodes they read."""
    notes = (n.note.removeprefix(READ_BY) for n in audit.nodes if n.note.startswith(READ_BY))
    return Counter(note.partition(";")[0] for note in notes)


def ledger_rows(ledger: Mapping[str, int], unit: Unit) -> tuple[LedgerRow, ...]:
    """Every account with its amount, its share and what it is."""
    total = sum(ledger.values())
    return tuple(
        LedgerRow(
            a,
            words.GLOSSARY[a],
            unit.show(bars.of(ledger, a)),
            words.percent(bars.of(ledger, a), total),
        )
        for a in words.BAR_ORDER
    )
