"""The one Jinja environment: autoescape on, undefined is an error; templates of the checkout or the wheel."""

import dataclasses
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

import slurm_guard
from slurm_guard.errors import GuardError
from slurm_guard.report.bars import Bar
from slurm_guard.report.charts import Chart
from slurm_guard.report.view import Page, Picture

METHOD = Path("/usr/share/doc/slurm-guard-node/docs/method.md")  # tools/packages/tree.py puts it there
MOST_BYTES = 2_000_000  # the project's budget: a phone on a train still loads it


def templates_dir() -> Path:
    """Where the templates lie: inside an installed package, or at the top of a checkout.

    Raises GuardError templates-missing.
    """
    package = Path(slurm_guard.__file__).parent
    for folder in (package / "share" / "reports", package.parent / "reports"):
        if (folder / "page.html.j2").is_file():
            return folder
    raise GuardError(
        "templates-missing",
        f"the report's templates are neither in {package / 'share'} nor beside the package",
        "install slurm-guard again",
    )


def find_method(path: Path = METHOD) -> str:
    """docs/method.md as a package puts it; empty: there is none here, as with pip."""
    return str(path) if path.is_file() else ""


_AMOUNT = re.compile(r"[\d.,]+ (?:GPU-(?:h|min|s)\b|%)")


def _unbroken(text: str) -> Markup:
    """Amounts of a sentence in one piece: a line would end behind the hyphen of GPU-h."""
    said = _AMOUNT.sub(lambda found: f'<span class="amt">{found[0]}</span>', str(escape(text)))
    return Markup(said)  # noqa: S704 - escaped above; what is put in has digits, dots and a unit alone


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["unbroken"] = _unbroken
    return found


def render_html(page: Page) -> str:
    """The nightly page: one self-contained file without scripts, of at most MOST_BYTES: of a night with very
    many or very large cards the last ones of each section become lines."""
    while True:
        html = _render("page.html.j2", page=page)
        if len(html.encode()) <= MOST_BYTES or not any(s.cards for s in page.sections):
            return html
        page = _with_fewer_cards(page)


def _with_fewer_cards(page: Page) -> Page:
    sections = []
    for section in page.sections:
        kept, rest = (
            section.cards[: len(section.cards) * 2 // 3],
            section.cards[len(section.cards) * 2 // 3 :],
        )
        rows = (*(card.row for card in rest), *section.rows)
        sections.append(dataclasses.replace(section, cards=kept, rows=rows))
    return dataclasses.replace(page, sections=tuple(sections))


def render_mail_html(page: Page, pictures: Sequence[Picture] = ()) -> str:
    """The mail's HTML with its style sheet still in the head; `mail.inline_css` moves it into the tags.

    A picture stands in place of the bar of the night (cid `ledger`) or of a run (its anchor).
    """
    return _render("mail.html.j2", page=page, pictures={picture.cid: picture for picture in pictures})


def render_picture(
    width: int, height: int, css: str, bar: Bar | None = None, chart: Chart | None = None
) -> str:
    """One drawing as an SVG file of its own."""
    sheet = Markup(css)  # noqa: S704 - our own style sheet, in which quotes must stay quotes
    return _render("picture.svg.j2", width=width, height=height, css=sheet, bar=bar, chart=chart)


def render_nights_html(view: object) -> str:
    """Several nights (nights_page.NightsView): sums, trend and runs, without cards."""
    return _environment().get_template("nights.html.j2").render(view=view)


def render_owner_html(view: object) -> str:
    """The letter to an owner (owner.OwnerView), likewise."""
    return _environment().get_template("owner.html.j2").render(view=view)


def _render(name: str, **given: object) -> str:
    return _environment().get_template(name).render(**given)
