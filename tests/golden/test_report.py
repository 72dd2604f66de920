"""reports/sample/ is what the templates make of the hand-written night, byte for byte.

To renew: `UPDATE_GOLDEN=1 pytest tests/golden/test_report.py`, then read the difference before committing it.
"""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from slurm_guard.model import Audit
from slurm_guard.report import formats, mail, page, text
from slurm_guard.report.narrow import parse_narrow
from slurm_guard.report.nights import Nights, nights_between, read_parts
from slurm_guard.report.nights_page import build_nights
from slurm_guard.report.render import render_html, render_mail_html, render_nights_html
from tests.unit.report import builders

TODAY = date(2026, 9, 22)
SAMPLE = Path(__file__).parents[2] / "reports" / "sample"


def _rendered() -> dict[str, str]:
    night, options = builders.night(), page.Options(site="Aurora (invented)")
    built = page.build_page(night, options)
    # A mail's parts, not its encoding: how headers fold is the standard library's affair and changes with it.
    return {
        "report.html": render_html(built),
        "nights.html": render_nights_html(build_nights(_nights(), options)),
        "report.txt": text.render_text(built, text.Style(100)),
        "runs.csv": formats.render_csv(night),
        "mail.html": mail.inline_css(render_mail_html(built)),
        "mail.txt": text.render_text(built, text.Style(76, cards=("alert", "review"), commands=False)),
        "empty.txt": text.render_text(page.build_page(builders.empty_night(), options), text.Style(100)),
    }


def _nights() -> Nights:
    """Three of four nights, each the hand-written one on its day."""
    night, found = builders.night(), Nights("2026-09-19", parse_narrow())
    names, missing = nights_between(["2026-09-19", "2026-09-21", "2026-09-22"], date(2026, 9, 19), TODAY)

    def read(name: str) -> Audit:
        back_s = 86_400.0 * (TODAY - date.fromisoformat(name)).days
        return replace(night, from_at=night.from_at - back_s, until_at=night.until_at - back_s)

    list(read_parts(names, found, read))
    found.missing += missing
    return found


@pytest.mark.parametrize("name", sorted(_rendered()))
def test_the_sample_is_what_the_templates_make(name: str, tmp_path: Path) -> None:
    made = _rendered()[name].encode()

    if os.environ.get("UPDATE_GOLDEN"):
        SAMPLE.mkdir(exist_ok=True)
        (SAMPLE / name).write_bytes(made)
    kept = (SAMPLE / name).read_bytes()
    (tmp_path / name).write_bytes(made)  # pytest keeps it for looking at
    assert made == kept, f"differs from reports/sample/{name}; made: {tmp_path / name}"


def test_the_sample_holds_nothing_else() -> None:
    assert {path.name for path in SAMPLE.iterdir()} == set(_rendered())
