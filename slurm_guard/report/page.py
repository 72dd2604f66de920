"""A document to the page that is shown: sections, sums of the night, bounded lists."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timezone, tzinfo

from slurm_guard.model import Account, Audit, Judgement, Verdict
from slurm_guard.report import bars, decisions, repeats, words
from slurm_guard.report.cards import build_card, build_row, verdict_slug
from slurm_guard.report.narrow import only_job as only_job
from slurm_guard.report.safe import clean, clean_or_dash
from slurm_guard.report.view import Fact, LedgerRow, Line, Page, Section, Table
from slurm_guard.report.words import Times, Unit

# Shares of the allocated GPU time below which the headline says first how little was seen. Judgement.
LITTLE_SEEN, NEARLY_NOTHING = 0.5, 0.02
ORDER = (Verdict.ALERT, Verdict.REVIEW, Verdict.NOTE, Verdict.NOT_AUDITABLE, Verdict.CLEAR)


@dataclass(frozen=True, slots=True)
class Options:
    """How a page is cut; the limits keep a bad night readable, and what is cut is counted on the page."""

    site: str = ""
    zone: tzinfo = timezone.utc
    most_cards: int = 25  # per verdict (judgement: nobody reads more at eight in the morning)
    most_rows: int = 200  # per list
    scope: str = ""  # said above everything when the document was filtered


def build_page(audit: Audit, options: Options) -> Page:
    """All display strings of a document."""
    times = Times(options.zone)
    unit = words.unit_for(j.run.allocated_gpu_ms for j in audit.judgements)
    site = clean(options.site or audit.cluster, 80)
    ledger = _night_ledger(audit.judgements)
    total = sum(ledger.values())
    return Page(
        title=f"GPU-hours of {site}, {times.full(audit.from_at)[:10]}",
        cluster=clean(audit.cluster, 80),
        window=times.span(audit.from_at, audit.until_at),
        zone=times.zone_name(audit.from_at),
        scope=options.scope,
        headline=_headline(audit, ledger),
        coverage=_coverage(audit, ledger, times) + repeats.of_night(audit.judgements, unit),
        empty="" if audit.judgements else _empty(audit),
        unit=unit.name,
        n_runs=len(audit.judgements),
        total=unit.full(total),
        bar=bars.build_bar(ledger, unit),
        ledger=_ledger_rows(ledger, unit),
        sections=_sections(audit.judgements, unit, options),
        outside=_outside(audit, unit, options),
        skips=_skips(audit, options),
        nodes=_nodes(audit, unit, options),
        method=words.METHOD,
        glossary=tuple(Fact(a, words.GLOSSARY[a]) for a in words.BAR_ORDER),
        trusts=tuple(Fact(word, said) for word, said in words.TRUST.items()),
        ties=tuple(Fact(word, said) for word, said in words.TIES.items()),
        settings=tuple(Fact(clean(k, 80), clean(str(v), 120)) for k, v in _flat(audit.settings)),
        footer=f"slurm-guard {clean(audit.version, 40)}, cluster {clean(audit.cluster, 80)}",
        precision=decisions.precision(audit.site),
    )


def _flat(settings: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as (dotted key, value), sorted."""
    found: list[tuple[str, object]] = []
    for key, value in sorted(settings.items()):
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, value))
    return found


def _headline(audit: Audit, ledger: dict[str, int]) -> str:
    """What the night asks of the reader; first of all whether anybody looked."""
    open_ = [j for j in audit.judgements if not decisions.is_set_aside(j)]
    counts = Counter(j.verdict for j in open_)
    n_all = len(audit.judgements)
    if n_all == 0:
        return "No run to judge."
    alerts, reviews = counts[Verdict.ALERT], counts[Verdict.REVIEW]
    parts = _unseen_words(audit, ledger)
    if alerts:
        about = _about([j for j in open_ if j.verdict is Verdict.ALERT])
        parts.append(f"{words.plural(alerts, 'run needs', 'runs need')} a look today ({about})")
    if reviews:
        parts.append(f"{words.plural(reviews, 'run')} should be looked at")
    if audit.strangers:
        parts.append(_strangers_words(audit))
    if not parts:
        parts.append("no run needs a look today")
    if len(open_) < n_all:
        n = n_all - len(open_)
        parts.append(f"{words.plural(n, 'run was', 'runs were')} called and explained by the site")
    parts.append(
        f"{counts[Verdict.CLEAR]:,} of {n_all:,} {'is' if counts[Verdict.CLEAR] == 1 else 'are'} clear"
    )
    if counts[Verdict.NOT_AUDITABLE]:
        parts.append(f"{counts[Verdict.NOT_AUDITABLE]:,} could not be audited")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _strangers_words(audit: Audit) -> str:
    """Work of processes that belong to no run: nobody's verdict is about it."""
    found = audit.strangers
    n = len({(o.node, o.pid) for o in found})
    hours = sum(o.gpu_ms for o in found) / 3.6e6
    amount = f"{hours:.1f} GPU-hours" if hours >= 0.1 else f"{60 * hours:.0f} GPU-minutes"
    one = "a process of no run" if n == 1 else f"{n:,} processes of no run"
    return f"{one} used GPUs for {amount} and should be looked at"


def _unseen_words(audit: Audit, ledger: dict[str, int]) -> list[str]:
    total = sum(ledger.values())
    seen = total - bars.of(ledger, Account.UNOBSERVED.value)
    if total <= 0 or seen >= LITTLE_SEEN * total:
        return []
    said = "nothing" if seen == 0 else "nearly nothing" if seen < NEARLY_NOTHING * total else "little"
    share = "" if seen == 0 else f", {words.percent(seen, total)} of the GPU time"
    return [f"{said} was observed ({_heard(audit)}{share})"]


def _heard(audit: Audit) -> str:
    """Of all nodes that ran a run or were heard, those whose GPUs were read."""
    named = {node for j in audit.judgements for node in j.run.nodes} | {n.node for n in audit.nodes}
    heard = {n.node for n in audit.nodes if n.last_heard_at is not None}
    return f"readings from {len(heard):,} of {words.plural(len(named), 'node')}"


def _about(alerts: Sequence[Judgement]) -> str:
    """The alerts by kind of fact, most frequent first; a hard fact is not the same as unexplained work."""
    kinds = Counter(_kind(j) for j in alerts)
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) == 1:
        return ordered[0][0]
    return ", ".join(f"{n:,}: {kind}" for kind, n in ordered)


def _kind(judgement: Judgement) -> str:
    hard = [f.check for f in judgement.findings if f.hard and not decisions.of_finding(f, judgement)]
    known = [words.FACTS[check] for check in hard if check in words.FACTS]
    return known[0] if known else words.OTHER_FACT if hard else words.UNEXPLAINED_WORK


def _empty(audit: Audit) -> str:
    said = f"No run held a GPU of {clean(audit.cluster, 80)} in this window, so there is nothing to judge"
    return said + (
        f"; {words.plural(len(audit.skips), 'thing')} could not be read, listed below."
        if audit.skips
        else "."
    )


def _night_ledger(judgements: Sequence[Judgement]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for judgement in judgements:
        sums.update(bars.shown_ledger(judgement))
    return dict(sums)


def _coverage(audit: Audit, ledger: dict[str, int], times: Times) -> tuple[Fact, ...]:
    total = sum(ledger.values())
    unobserved = ledger.get("unobserved", 0)
    noted = [n for n in audit.nodes if n.note]
    nodes = _heard(audit) + (f", {len(noted)} with a remark" if noted else "")
    reasons = Counter(skip.reason for skip in audit.skips)
    why = ", ".join(
        f"{clean(r, 40)} ({n})" for r, n in sorted(reasons.items(), key=lambda i: (-i[1], i[0]))[:6]
    )
    return (
        Fact("Window", times.span(audit.from_at, audit.until_at), times.zone_name(audit.from_at)),
        Fact("Observed", words.percent(total - unobserved, total), "of the allocated GPU time"),
        Fact("Nodes", nodes, ", ".join(f"{clean(n.node, 40)}: {clean(n.note, 80)}" for n in noted[:3])),
        Fact("Not judged", words.plural(len(audit.skips), "skip"), why or "nothing was skipped"),
        *decisions.header(audit),
    )


def _ledger_rows(ledger: dict[str, int], unit: Unit) -> tuple[LedgerRow, ...]:
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


def _sections(judgements: Sequence[Judgement], unit: Unit, options: Options) -> tuple[Section, ...]:
    """One a verdict; after REVIEW those that the site explained, where there are any."""
    found = []
    for verdict in ORDER:
        own = [j for j in judgements if j.verdict is verdict and not decisions.is_set_aside(j)]
        n_cards = 0 if verdict is Verdict.CLEAR and not options.scope else options.most_cards
        kind = (verdict.value, verdict_slug(verdict), words.VERDICT_WORDS[verdict])
        found.append(_section(kind, own, unit, replace(options, most_cards=n_cards)))
    aside = [j for j in judgements if decisions.is_set_aside(j)]
    if aside:
        kind = (decisions.EXPLAINED.upper(), decisions.EXPLAINED, words.EXPLAINED_WORDS)
        found.insert(2, _section(kind, aside, unit, options))
    return tuple(found)


def _section(kind: tuple[str, str, str], own: list[Judgement], unit: Unit, options: Options) -> Section:
    verdict, slug, said = kind
    times = Times(options.zone)
    own.sort(key=lambda j: (-j.unexplained.lo_gpu_ms, -j.score, -j.run.allocated_gpu_ms, j.run.id))
    rest = own[options.most_cards :]
    return Section(
        verdict=verdict,
        slug=slug,
        words=said,
        count=len(own),
        allocated=unit.full(sum(j.run.allocated_gpu_ms for j in own)),
        cards=tuple(build_card(j, unit, times) for j in own[: options.most_cards]),
        rows=tuple(build_row(j, unit, times) for j in rest[: options.most_rows]),
        more=_more(len(rest) - options.most_rows, "run"),
    )


_MANY = {"stretch": "stretches"}


def _more(count: int, word: str) -> str:
    return (
        f"… and {count:,} more {word if count == 1 else _MANY.get(word, word + 's')}, in the JSON "
        f"{'and CSV ' if word == 'run' else ''}of this audit."
        if count > 0
        else ""
    )


def _outside(audit: Audit, unit: Unit, options: Options) -> Table:
    times = Times(options.zone)
    lines = [
        Line(
            (
                f"{clean(o.node, 40)} {clean(o.gpu, 60)}",
                times.span(o.start_at, o.end_at),
                unit.full(o.gpu_ms),
                clean(o.sentence),
            )
        )
        for o in sorted(audit.outside, key=lambda o: (-o.gpu_ms, o.node, o.start_at))[: options.most_rows]
    ]
    heads = ("GPU", "When", "GPU time", "What was seen")
    return Table(heads, tuple(lines), _more(len(audit.outside) - options.most_rows, "stretch"))


def _skips(audit: Audit, options: Options) -> Table:
    lines = [
        Line((clean(s.subject, 200), clean(s.reason, 60), clean(s.detail, 400)))
        for s in audit.skips[: options.most_rows]
    ]
    return Table(
        ("What", "Reason", "Detail"), tuple(lines), _more(len(audit.skips) - options.most_rows, "skip")
    )


def _nodes(audit: Audit, unit: Unit, options: Options) -> Table:
    times = Times(options.zone)
    ordered = sorted(audit.nodes, key=lambda n: (not n.note, n.node))[: options.most_rows]
    lines = [
        Line(
            (
                clean(n.node, 60),
                str(n.n_gpus),
                unit.full(n.observed_gpu_ms),
                times.full(n.last_heard_at, "never"),
                clean_or_dash(n.note, 200),
            )
        )
        for n in ordered
    ]
    heads = ("Node", "GPUs", "Observed", "Last heard", "Remark")
    return Table(heads, tuple(lines), _more(len(audit.nodes) - options.most_rows, "node"))
