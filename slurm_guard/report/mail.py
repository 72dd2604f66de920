"""One audit as a letter: text complete on its own, HTML in one column, cut to a size that arrives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from slurm_guard import document
from slurm_guard.model import Audit, Verdict
from slurm_guard.report import words
from slurm_guard.report.decisions import is_set_aside
from slurm_guard.report.images import draw
from slurm_guard.report.letter import DIGEST, Body, Heads, Image, Strand, assemble, check_address
from slurm_guard.report.letter import Envelope as Envelope
from slurm_guard.report.letter import Letter as Letter
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_mail_html
from slurm_guard.report.text import Style, render_text
from slurm_guard.report.view import Fact

MOST_BYTES = 300_000  # the project's budget; above it some providers clip and some sites refuse
WIDTH = 76  # RFC 5322 recommends at most 78
# (cards, rows) per verdict, tried in this order until the letter is small enough.
_CUTS = ((10, 40), (5, 25), (2, 15), (1, 5), (0, 5))


@dataclass(frozen=True, slots=True)
class Sort:
    """What a letter is beside its audit. `strand`: null: a first letter; `facts`: said above everything, as
    what was held back; `images`: pictures in place of those that are drawn."""

    kind: str = DIGEST
    strand: Strand | None = None
    facts: Sequence[Fact] = ()
    images: Sequence[Image] = ()


@dataclass(frozen=True, slots=True)
class Night:
    """The window of an audit, as letters know it. `day`: the date of its start in the site's zone; `key`:
    that and the window's own mark, so that an hour that was audited apart is no night."""

    day: str
    key: str


def night_of(audit: Audit, zone: tzinfo) -> Night:
    """The same window of the same cluster is the same night, however often it is audited."""
    day = words.Times(zone).full(audit.from_at, "0000-00-00")[:10]
    window = f"{audit.cluster}\0{audit.from_at!r}\0{audit.until_at!r}"
    return Night(day, f"{day}.{_short(window, 8)}")


def audit_digest(audit: Audit) -> str:
    """The document's SHA-256: the same audit, the same letters."""
    return hashlib.sha256(document.to_json(audit).encode()).hexdigest()


def letter_id(night: Night, digest: str, reader: tuple[str, str], sender: str) -> str:
    """The Message-ID: the night, what the letter says (`digest`), and its kind and reader. The same audit
    gives the same one; other content of the same night another, which begins alike."""
    domain = check_address(sender, "mail.sender").domain
    return f"<{night.key}.{digest[:16]}.{_short(chr(0).join(reader), 12)}@{domain}>"


def month_root(night: Night, reader: tuple[str, str], sender: str) -> str:
    """What the nights of a month hang from in the reader's mail program; there is no such letter."""
    domain = check_address(sender, "mail.sender").domain
    return f"<{night.day[:7]}.{_short(chr(0).join(reader), 12)}@{domain}>"


def compose(
    audit: Audit, options: Options, envelope: Envelope, date_at: float, sort: Sort | None = None
) -> Letter:
    """The digest of one audit for one reader, cut to MOST_BYTES; what is cut is counted in the letter.

    Raises GuardError mail-address.
    """
    sort = sort or Sort()
    to = check_address(envelope.to, "recipient").addr_spec
    strand = sort.strand or Strand(
        letter_id(night_of(audit, options.zone), audit_digest(audit), (sort.kind, to), envelope.sender)
    )
    facts = (*_replaces(strand), *sort.facts)
    for cards, rows in _CUTS:
        page = build_page(audit, replace(options, most_cards=cards, most_rows=rows))
        page = replace(page, coverage=(*facts, *page.coverage))
        again = " (audited again)" if strand.earlier else ""
        subject = f"{page.title}{again}: {counts(audit)}"
        text = render_text(page, Style(WIDTH, cards=("alert", "review"), commands=False))
        # Pictures go first where it becomes too much: the HTML says the same in words.
        images = (sort.images or draw(page)) if (cards, rows) == _CUTS[0] else ()
        body = Body(text, inline_css(render_mail_html(page, images)), images)
        letter = assemble(Heads(envelope, subject, strand, date_at, sort.kind, audit.cluster), body)
        if len(letter.content) <= MOST_BYTES:
            break
    return letter


def _replaces(strand: Strand) -> list[Fact]:
    if not strand.earlier:
        return []
    n = len(strand.earlier)
    said = "an earlier letter" if n == 1 else f"{n} earlier letters"
    return [Fact("Replaces", f"{said} about the same night", "it was audited again, with another result")]


def counts(audit: Audit) -> str:
    """What a subject says of a night."""
    called = [j.verdict for j in audit.judgements if not is_set_aside(j)]
    n_alerts, n_reviews = called.count(Verdict.ALERT), called.count(Verdict.REVIEW)
    n_runs = words.plural(len(audit.judgements), "run")
    n_aside = len(audit.judgements) - len(called)
    aside = f"{n_aside} explained, " if n_aside else ""
    n_strangers = len({(o.node, o.pid) for o in audit.strangers})
    stray = f"{words.plural(n_strangers, 'process', 'processes')} of no run, " if n_strangers else ""
    said = f"{words.plural(n_alerts, 'alert')}, {n_reviews} to review, {stray}{aside}{n_runs}"
    return said if audit.judgements else "no runs"


def is_alert(audit: Audit) -> bool:
    """Whether it must not wait for a working day: an ALERT that nobody explained, or work of no run."""
    open_alerts = any(j.verdict is Verdict.ALERT and not is_set_aside(j) for j in audit.judgements)
    return open_alerts or bool(audit.strangers)


def _short(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def inline_css(html: str) -> str:
    """The style sheet moved into the tags, because several mail programs drop the head. Fetches nothing."""
    import css_inline

    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)
    return str(inliner.inline(html))
