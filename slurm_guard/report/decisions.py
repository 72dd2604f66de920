"""The site's own word as the reader sees it: explained runs, recurrence, mode, alarm budget, precision."""

from collections.abc import Sequence

from slurm_guard.model import Audit, Finding, Judgement
from slurm_guard.report import words
from slurm_guard.report.safe import clean
from slurm_guard.report.view import Fact, Line, Table
from slurm_guard.report.words import Times
from slurm_guard.sitemodel import BURN_IN, AlarmBudget, Explained, Precision, Recurrence, Site
from slurm_guard.sums import EXPLAINED as EXPLAINED
from slurm_guard.sums import is_set_aside as is_set_aside

MOST_CHECKS = 12  # Judgement: rows of the table; the document has them all


def of_finding(finding: Finding, judgement: Judgement) -> str:
    """Who explained this finding; empty: nobody."""
    return next((f"explained by {clean(e.by, 40)}" for e in judgement.explained if _is_of(e, finding)), "")


def _is_of(said: Explained, finding: Finding) -> bool:
    against = finding.hard or finding.weight > 0
    return against and said.check == finding.check and (said.hard or not finding.hard)


def aside(judgement: Judgement, times: Times) -> str:
    """What the site said of an explained run; empty for others."""
    return " ".join(explanations(judgement, times)) if is_set_aside(judgement) else ""


def explanations(judgement: Judgement, times: Times) -> list[str]:
    """One sentence for each exemption: who, until when, for which runs and checks, and why."""
    by_id: dict[int, list[Explained]] = {}
    for said in judgement.explained:
        by_id.setdefault(said.id, []).append(said)
    word = f"{judgement.verdict.value}, explained" if is_set_aside(judgement) else "Explained"
    return [f"{word} {_explanation(group, times)}" for group in by_id.values()]


def _explanation(group: Sequence[Explained], times: Times) -> str:
    said = group[0]
    checks = ", ".join(dict.fromkeys(clean(e.check, 60) for e in group))
    if said.scope == BURN_IN:
        return f"as burn-in ({checks}): {clean(said.reason, 400)} in {clean(said.by, 40)}"
    scope = words.SCOPES.get(said.scope, clean(said.scope, 20))
    return (
        f"by {clean(said.by, 40)} until {times.full(said.until_at)} for {scope} ({checks}): "
        f"{clean(said.reason, 400)}"
    )


def remarks(judgement: Judgement, times: Times) -> tuple[str, ...]:
    """Everything that the site and the nights before say of a run."""
    said = explanations(judgement, times)
    if said and judgement.asks:
        rest = (judgement.left or judgement.verdict).value
        said.append(f"That is not all of it: what nobody explained is {rest} by itself.")
    return (*said, *_again(judgement.again), *_chance(judgement))


def _again(found: tuple[Recurrence, ...]) -> list[str]:
    """Checks that recurred alike are one sentence."""
    alike: dict[tuple[int, int, int, int], list[str]] = {}
    for r in found:
        key = (r.n_nights, r.of_nights, r.n_explained, r.n_wrong)
        alike.setdefault(key, []).append(clean(r.check, 60))
    return [_recurrence(*key, ", ".join(checks)) for key, checks in alike.items()]


def _recurrence(n: int, of_nights: int, n_explained: int, n_wrong: int, checks: str) -> str:
    many = "each" if n == of_nights else str(n)
    last = "the night before" if of_nights == 1 else f"{many} of the last {of_nights} nights"
    more = [f"explained on {n_explained} of them"] if n_explained else []
    more += [f"on {n_wrong} of them found to be called wrongly"] if n_wrong else []
    also = f"; {', '.join(more)}" if more else ""
    return f"Also on {last}, on jobs of this user with this name ({checks}){also}."


def _chance(judgement: Judgement) -> list[str]:
    if judgement.p_value is None:
        return []
    share = words.percent(judgement.p_value, 1.0)
    return [f"Earlier runs of others were called at this score or above in at most {share} of cases."]


def mode(audit: Audit) -> tuple[Fact, ...]:
    """Whether owners are written to: above everything, so that nobody believes that they know."""
    settings = audit.settings.get("audit", audit.settings)
    known = settings if isinstance(settings, dict) else {}
    return (_mode(known, audit.site),) if known.get("observe_only") is True else ()


def budget(audit: Audit) -> tuple[Fact, ...]:
    """What the alarm budget came to."""
    return () if audit.site is None else tuple(_alarms(audit.site.budget, audit.site.n_nights))


def _mode(settings: dict[str, object], site: Site | None) -> Fact:
    """The first weeks."""
    canary = settings.get("enforce_partitions")
    names = [clean(str(name), 40) for name in canary[:8]] if isinstance(canary, list) else []
    but = f", but for partition {', '.join(names)}" if names else ""
    since = (
        f"; {words.plural(site.n_nights, 'night')} audited before this one" if site and site.n_nights else ""
    )
    return Fact("Mode", f"observe only{but}", f"verdicts are kept, no owner is written to{since}")


def _alarms(budget: AlarmBudget, n_nights: int) -> list[Fact]:
    if budget.allowed <= 0 or budget.n_runs == 0:
        return []
    allowed = f"{budget.allowed:g} false alerts a night accepted"
    known = f"{words.plural(budget.n_references, 'run')} of {words.plural(n_nights, 'night')}"
    if budget.n_references < budget.n_needed or budget.expected is None:
        few = f"reference: {known}, {budget.n_needed:,} runs needed to say how many to expect"
        return [Fact("Alarms", allowed, f"{few}; nothing was changed")]
    demoted = words.plural(budget.n_demoted, "alert")
    said = f"; {demoted} beyond that shown as REVIEW" if budget.n_demoted else ""
    value = f"{budget.expected:.2g} of {budget.allowed:g} false alerts expected"
    return [Fact("Alarms", value, f"reference: {known}{said}")]


def precision(site: Site | None) -> Table:
    """How often runs were called rightly, as far as somebody found out."""
    heads = ("Called", "Found out", "Share right")
    rows = () if site is None else site.precision
    return Table(heads, tuple(map(_line, rows[:MOST_CHECKS])), _rest(site))


def _line(row: Precision) -> Line:
    n = row.n_right + row.n_wrong
    if row.lo is None or row.hi is None:
        share = "not known"
    else:
        share = f"{words.percent(row.n_right, n)} ({words.percent(row.lo, 1)} to {words.percent(row.hi, 1)})"
    found = f"{row.n_right:,} right, {row.n_wrong:,} wrong, {row.n_unclear:,} unclear"
    return Line((clean(row.name, 60), found, share))


def _rest(site: Site | None) -> str:
    """Those that nobody looked at may be otherwise: said beside the share."""
    if site is None or site.n_asked == 0:
        return ""
    asked, nights = words.plural(site.n_asked, "run"), words.plural(site.n_nights, "night")
    have = "has" if site.n_disposed == 1 else "have"
    return f"{asked} asked for a look in the last {nights}; {site.n_disposed} of them {have} a disposition."
