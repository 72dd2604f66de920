"""What is looked at: every page by a name of its own, a mail as it is sent, and a high page to its end."""

from pathlib import Path
from typing import cast

import pytest

from slurm_guard.report import images
from tests.unit.report import builders
from tools.browser import MOST_PX, Browser
from tools.screenshots import DEMO, README, SAMPLE, label, looks, shoot_whole, write_mail

ROOT = Path(__file__).parents[2]


def test_pages_of_the_same_name_in_two_folders_have_pictures_of_their_own() -> None:
    sample, demo = looks(SAMPLE / "report.html"), looks(DEMO / "report.html")

    assert label(DEMO / "report.html") == "demo-report"
    assert not set(sample) & set(demo)
    assert len(sample) == len(demo) == 7


def test_a_mail_is_looked_at_with_its_images_without_them_and_in_colours_turned_by_its_reader() -> None:
    found = looks(Path("mails/sample/mail.html")).values()

    assert {(look.images, look.forced_dark) for look in found} == {
        (True, False),
        (True, True),
        (False, False),
    }


def test_a_mail_that_is_looked_at_has_the_drawings_that_are_sent(tmp_path: Path) -> None:
    if not images.can_draw():
        pytest.skip("resvg-py or a font is not installed")

    path = write_mail(builders.night(), "Aurora", tmp_path / "mail")

    html = path.read_text("utf-8")
    drawn = sorted(picture.name for picture in path.parent.glob("*.png"))
    assert len(drawn) == 2
    assert all(f'src="{name}"' in html for name in drawn)
    assert "cid:" not in html


class _Shots:
    """Stands in for a browser: keeps what it is asked for."""

    def __init__(self) -> None:
        self.found: list[tuple[str, int, int]] = []

    def shoot(self, path: Path, width: int, from_px: int = 0, until_px: int = MOST_PX) -> None:
        self.found.append((path.name, from_px, until_px))


@pytest.mark.parametrize(
    ("height", "tops"), [(1, [0]), (MOST_PX, [0]), (MOST_PX + 1, [0, MOST_PX]), (40_000, [0, 16_000, 32_000])]
)
def test_a_page_that_is_too_high_for_one_picture_is_shot_in_parts(height: int, tops: list[int]) -> None:
    shots = _Shots()

    parts = shoot_whole(cast("Browser", shots), Path("x/mail.png"), 390, height)

    assert [top for _, top, _ in shots.found] == tops
    assert [part.name for part in parts] == [name for name, _, _ in shots.found]
    assert len({part.name for part in parts}) == len(tops)


def test_the_readmes_pictures_are_those_that_are_made() -> None:
    shown = (ROOT / "README.md").read_text("utf-8")

    assert {path.name for path in (ROOT / "docs" / "img").iterdir()} == {name for name, *_ in README}
    assert all(f"docs/img/{name}" in shown for name, *_ in README)
