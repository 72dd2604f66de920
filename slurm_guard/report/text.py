"""The page for a terminal, a pipe and a mail's text part: a verdict table, and every card in words."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from slurm_guard.report.safe import display_width, fit
from slurm_guard.report.text_sums import group_lines, ledger_line, trend_lines
from slurm_guard.report.text_table import verdict_lines
from slurm_guard.report.view import Card, FindingView, Page, Section, Table

_COLORS = {
    "alert": "1;31",
    "review": "33",
    "note": "36",
    "not-auditable": "35",
    "clear": "32",
    "explained": "34",
    "parked": "36",
    "burn-in": "35",
}
ALL = tuple(_COLORS)
LEAST_WIDTH = 40  # a phone's terminal; in less no line of the ledger is whole
_NARROW = 88  # judgement: below this the ledger's words are left out


@dataclass(frozen=True, slots=True)
class Style:
    """How wide, whether in colour, and whether with cards."""

    width: int = 100
    color: bool = False
    cards: tuple[str, ...] = ()  # slugs of the verdicts whose runs are shown in full
    commands: bool = True  # beside each number the one that shows it; otherwise one that shows them all
    sparks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # lines by the anchor of the run


def render_text(page: Page, style: Style) -> str:
    """The whole page; the last line ends in a newline. Nothing but our own colours can reach a terminal."""
    width = max(LEAST_WIDTH, style.width)
    out = [*_wrap(page.title, width), "=" * min(width, display_width(page.title))]
    out += _wrap(page.scope, width) if page.scope else []
    for fact in page.coverage:
        note = f" ({fact.note})" if fact.note else ""
        out += _wrap(f"{fact.label + ':':<11} {fact.value}{note}", width, " " * 12)
    out += ["", *_wrap(page.empty or page.headline, width)]
    if page.n_runs:
        out += ["", *_ledger(page, width), *group_lines(page, width)]
        out += ["", *_verdicts(page, width, style.color)]
    for section in page.sections:
        for card in section.cards if section.slug in style.cards else ():
            out += ["", *_card(card, section, width, style)]
    out += trend_lines(page, width)
    out += _table(
        "GPU work outside any allocation (beside the ledger, never in its sums)", page.outside, width
    )
    out += _table("Not judged, and why", page.skips, width)
    out += _table("How often it was right, with 95 % intervals", page.precision, width)
    out += _list("About this audit", [f"{f.label}: {f.value} ({f.note})" for f in page.about], width)
    out += _legend(page, style, width)
    out += ["", *_wrap(page.method, width)]
    if page.night_page:
        out += ["", "The night's page, with every run in full:", page.night_page]
    out += ["", *_wrap(page.footer, width)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _legend(page: Page, style: Style, width: int) -> list[str]:
    """Words that the table and the cards use, as far as they stand in this text."""
    shown = [row.trust for s in page.sections for row in (*(c.row for c in s.cards), *s.rows)]
    cards = [c for s in page.sections if s.slug in style.cards for c in s.cards]
    ties = {tie for c in cards if c.timeline is not None for tie in c.timeline.ties}
    logs = [f"{f.label}: {f.value}" for f in page.trusts if f.label in shown]
    processes = [f"{f.label}: {f.value}" for f in page.ties if f.label in ties]
    return [*_list("What the log word says", logs, width), *_list("Processes", processes, width)]


def paint(text: str, slug: str, color: bool) -> str:
    """A verdict's word in its colour."""
    return f"\x1b[{_COLORS[slug]}m{text}\x1b[0m" if color else text


def _wrap(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True
    ) or [""]


def _block(text: str, width: int, indent: str) -> list[str]:
    return [indent + line for line in _wrap(text, width - len(indent))]


def _ledger(page: Page, width: int) -> list[str]:
    out = [f"Where {page.total} went"]
    for row in page.ledger:
        head = ledger_line(row.account, (row.amount, page.unit, row.share), width)
        out.append(head if width < _NARROW else fit(f"{head}  {row.words}", width))
    return out


def _verdicts(page: Page, width: int, color: bool) -> list[str]:
    """One row a run with its sentence below; clear runs need no sentence."""
    rows = [row for s in page.sections for row in (*(card.row for card in s.cards), *s.rows)]
    lines = verdict_lines(rows, page.unit, width, lambda row: paint(row.verdict, row.slug, color))
    out = []
    for row, own in zip((None, *rows), lines, strict=True):
        out += own
        if row is not None and row.slug != "clear":
            out += _block(row.aside, width, "    ") if row.aside else []
            out += _block(row.sentence, width, "    ")
    out += [line for s in page.sections if s.more for line in _wrap(f"{s.verdict}: {s.more}", width)]
    reasons = [
        f"{reason.count} run{'' if reason.count == '1' else 's'}, {reason.allocated}: {reason.words}. "
        f"{reason.remedy}"
        for s in page.sections
        for reason in s.reasons
    ]
    return out + _list("What would make the others auditable", reasons, width)


def _card(card: Card, section: Section, width: int, style: Style) -> list[str]:
    """A run in full: everything the HTML card says, drawings in words and small bars."""
    verdict = paint(section.verdict, section.slug, style.color)
    title = fit(card.title, width - len(section.verdict) - 2).rstrip()
    out = ["-" * min(width, 72), f"{verdict}  {title}", ""]
    out += _wrap(card.row.sentence, width)
    out += [line for said in card.site for line in _wrap(f"> {said}", width, "  ")]
    out += _wrap(card.unexplained, width)
    if card.remedy:
        out += _wrap(f"What would make it auditable: {card.remedy}", width)
    if card.imbalance:
        out += _wrap(card.imbalance, width)
    sparks = style.sparks.get(card.row.anchor, ())
    out += ["", *(fit(line, width) for line in sparks)] if sparks else []
    out += _list("Ledger", (f"{f.label}: {f.value} ({f.note})" for f in card.ledger), width)
    if card.timeline is not None:
        out += _list("Unexplained stretches", card.timeline.stretches, width)
        events = [f"{e.when} [{e.lane}] {e.text}" for e in card.timeline.events]
        out += _list("Events", [*events, *filter(str.strip, (card.timeline.more_events,))], width)
    out += _findings("What the numbers show", card.against, width, commands=style.commands)
    out += _findings("What speaks for the job", card.favour, width, commands=style.commands)
    if card.no_favour:
        out += ["", "What speaks for the job:", *_wrap(f"  {card.no_favour}", width, "  ")]
    if not style.commands and (card.against or card.favour):
        out += ["", "How to see these numbers yourself:", f"  {card.see}"]
    out += _list("What would clear it", card.clears, width)
    out += _list("What could not be seen", (*card.unseen, card.smallest), width)
    facts = (f"{f.label}: {f.value}" + (f" ({f.note})" if f.note else "") for f in card.facts)
    out += _list("The run", facts, width)
    return out + _list("Remarks on its files", card.remarks, width)


def _list(title: str, items: Iterable[str], width: int) -> list[str]:
    lines = [line for item in items for line in _wrap(f"  - {item}", width, "    ")]
    return ["", *_wrap(f"{title}:", width), *lines] if lines else []


def _findings(title: str, findings: tuple[FindingView, ...], width: int, *, commands: bool) -> list[str]:
    out: list[str] = []
    for finding in findings:
        parts = (finding.check, finding.strength, finding.attack, finding.explained)
        said = "; ".join(part for part in parts if part)
        out += _wrap(f"  - {finding.sentence} [{said}]", width, "    ")
        for e in finding.evidence:
            out += _block(f"{e.what}: {e.value} (from {e.source})", width, "      ")
            # Not wrapped: a command that is broken into lines cannot be pasted.
            out += [f"        see: {e.see}"] if e.see and commands else []
    return ["", f"{title}:", *out] if out else []


def _table(title: str, table: Table, width: int) -> list[str]:
    if not table.lines:
        return []
    lines = [" · ".join(cell for cell in line.cells if cell) for line in table.lines]
    return [*_list(title, lines, width), *(_wrap(f"  {table.more}", width) if table.more else [])]
