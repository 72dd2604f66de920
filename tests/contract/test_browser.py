"""The sample page and mail in a real browser: nothing to scroll sideways, and no serious finding of axe-core.

Skips, loudly, where there is no Chromium or axe-core is not installed (`tools/bootstrap pictures`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.browser import Browser, Look, find_browser
from tools.screenshots import AXE, GRAVE, SAMPLE, looks

PAGES = [SAMPLE / "report.html", SAMPLE / "nights.html", SAMPLE / "mail.html"]
EVERY = [pytest.param(page, look, id=name) for page in PAGES for name, look in looks(page).items()]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with Browser(program) as found:
        yield found


@pytest.mark.parametrize(("page", "look"), EVERY)
def test_nothing_has_to_be_scrolled_sideways(browser: Browser, page: Path, look: Look) -> None:
    browser.show(page, look)

    assert browser.sideways_px(look.width) == 0


@pytest.mark.parametrize(("page", "look"), EVERY)
def test_no_head_and_no_number_of_a_table_is_broken_inside_and_no_label_hangs_into_the_next(
    browser: Browser, page: Path, look: Look
) -> None:
    browser.show(page, look)

    assert browser.broken_words("th, .n, td[align=right]") == []
    assert browser.overhanging_labels(".stack td[data-head]") == []


@pytest.mark.parametrize(("page", "look"), [p for p in EVERY if "print" not in str(p.id)])
def test_axe_core_has_no_serious_finding(browser: Browser, page: Path, look: Look) -> None:
    path = Path(os.environ.get("AXE_CORE", AXE))
    if not path.is_file():
        pytest.skip(f"axe-core is not installed ({path})")
    browser.show(page, look)

    faults = browser.find_faults(path.read_text(encoding="utf-8"))

    assert [fault for fault in faults if fault[0] in GRAVE] == []


def test_a_page_that_is_too_wide_and_one_with_faults_are_found(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<html><body><div style='width:2000px'>x</div><img src=x></body></html>")
    browser.show(page, Look(390))

    assert browser.sideways_px(390) > 1000
    path = Path(os.environ.get("AXE_CORE", AXE))
    if path.is_file():
        assert any(f[0] in GRAVE for f in browser.find_faults(path.read_text(encoding="utf-8")))
