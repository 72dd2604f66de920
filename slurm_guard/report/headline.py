"""What a night asks of its reader, in one sentence and a few lines."""

from collections import Counter
from collections.abc import Mapping, Sequence

from slurm_guard.model import Account, Audit, Judgement, Verdict
from slurm_guard.report import bars, decisions, words
from slurm_guard.report.beyond import Beyond
from slurm_guard.report.beyond import amount as amount_beyond
from slurm_guard.report.cards import anchor_of
from slurm_guard.report.safe import clean, clean_or_dash
from slurm_guard.report.view import Ask
from slurm_guard.report.words import Unit
from slurm_guard.sitemodel import IN_MAINTENANCE

# Shares of the allocated GPU time below which the headline says first how little was seen. Judgement.
LITTLE_SEEN, NEARLY_NOTHING = 0.5, 0.02


def headline(audit: Audit, ledger: Mapping[str, int], unit: Unit) -> str:
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
        parts.append(f"{words.plural(alerts, 'run needs', 'runs need')} a look today{about}")
    if reviews:
        parts.append(f"{words.plural(reviews, 'run')} should be looked at")
    if audit.strangers:
        parts.append(_strangers_words(audit, unit))
    if not parts:
        parts.append("no run needs a look today")
    if len(open_) < n_all:
        n = n_all - len(open_)
        parts.append(f"{words.plural(n, 'run was', 'runs were')} called and explained by the site")
    n_clear = counts[Verdict.CLEAR]
    if n_all > 1:
        parts.append(f"{n_clear:,} of {n_all:,} {'is' if n_clear == 1 else 'are'} clear")
    elif n_clear:
        parts.append("it is clear")
    if counts[Verdict.NOT_AUDITABLE]:
        parts.append(f"{counts[Verdict.NOT_AUDITABLE]:,} could not be audited")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _strangers_words(audit: Audit, unit: Unit) -> str:
    """Work of processes that belong to no run: nobody's verdict is about it."""
    found = audit.strangers
    n = len({(o.node, o.pid) for o in found})
    amount = unit.full(sum(o.gpu_ms for o in found))
    one = "a process of no run" if n == 1 else f"{n:,} processes of no run"
    return f"{one} used GPUs for {amount} and should be looked at"


def _unseen_words(audit: Audit, ledger: Mapping[str, int]) -> list[str]:
    total = sum(ledger.values())
    seen = total - bars.of(ledger, Account.UNOBSERVED.value)
    if total <= 0 or seen >= LITTLE_SEEN * total:
        return []
    said = "nothing" if seen == 0 else "nearly nothing" if seen < NEARLY_NOTHING * total else "little"
    share = "" if seen == 0 else f", {words.percent(seen, total)} of the GPU time"
    return [f"{said} was observed ({heard(audit)}{share})"]


def heard(audit: Audit) -> str:
    """Of all nodes that ran a run or were heard, those whose GPUs were read."""
    named = {node for j in audit.judgements for node in j.run.nodes} | {n.node for n in audit.nodes}
    heard = {n.node for n in audit.nodes if n.last_heard_at is not None}
    kept = sum(n.note.startswith(IN_MAINTENANCE) for n in audit.nodes)
    meanwhile = f", {kept:,} in maintenance" if kept else ""
    return f"readings from {len(heard):,} of {words.plural(len(named), 'node')}{meanwhile}"


def _about(alerts: Sequence[Judgement]) -> str:
    """What they are about, where it is one kind of fact: a hard fact is not the same as unexplained work. Of
    several kinds the lines below the headline speak."""
    kinds = {_kind(judgement) for judgement in alerts}
    return f" ({kinds.pop()})" if len(kinds) == 1 else ""


def _kind(judgement: Judgement) -> str:
    hard = [f.check for f in judgement.findings if f.hard and not decisions.of_finding(f, judgement)]
    known = [words.FACTS[check] for check in hard if check in words.FACTS]
    return known[0] if known else words.OTHER_FACT if hard else words.UNEXPLAINED_WORK


def empty_line(audit: Audit) -> str:
    """The one honest line of a night without runs."""
    said = f"No run held a GPU of {clean(audit.cluster, 80)} in this window, so there is nothing to judge"
    return said + (
        f"; {words.plural(len(audit.skips), 'thing')} could not be read, listed below."
        if audit.skips
        else "."
    )


def asks(alerts: Sequence[Judgement], unit: Unit, most: int, beyond: Beyond) -> tuple[Ask, ...]:
    """The alerts in the order of their cards: what each is about, what of it lies outside its allocation and
    how much of that is not explained."""
    return tuple(_ask(judgement, unit, beyond) for judgement in alerts[:most])


def _ask(judgement: Judgement, unit: Unit, beyond: Beyond) -> Ask:
    run, bounds = judgement.run, judgement.unexplained
    outside = amount_beyond(run, beyond, unit)
    amount = f"; {outside}" if outside else ""
    if bounds.hi_gpu_ms > 0 and not bars.is_unmatched(judgement):
        lo, hi = unit.show(bounds.lo_gpu_ms), unit.show(bounds.hi_gpu_ms)
        amount += f"; {lo} to {hi} of {unit.full(run.allocated_gpu_ms)} not explained"
    return Ask(
        anchor_of(run.id),
        f"{clean(run.job, 40)} {clean_or_dash(run.name, 60)}",
        f"{_kind(judgement)}{amount}",
    )
