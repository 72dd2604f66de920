"""Pictures for a mail: what is drawn, what they say in words, and that a mail does without them."""

import re
import sys
from dataclasses import replace
from types import ModuleType
from xml.etree import ElementTree

import pytest

from slurm_guard.report import images, mail
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_mail_html
from slurm_guard.report.view import Page
from tests.unit.report import builders, hostile


def _page(n_alerts: int = 1) -> Page:
    of = builders.alert()
    more = tuple(
        replace(of, run=replace(of.run, id=f"aurora/{i}/0", job=str(i))) for i in range(n_alerts - 1)
    )
    return build_page(replace(builders.night(), judgements=(*builders.night().judgements, *more)), Options())


class _Fake(ModuleType):
    """A library whose pictures are as large as they are asked to be."""

    def __init__(self, size: int, writes: bool = True) -> None:
        super().__init__("resvg_py")
        self.size, self.writes = size, writes

    def svg_to_bytes(self, svg_string: str, zoom: float, **_: object) -> bytes:
        words = b"letters" if self.writes and "<text" in svg_string and "GPU" in svg_string else b""
        return words + b"x" * int(self.size * zoom)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", _Fake(1000))


@pytest.mark.usefixtures("small")
def test_the_nights_bar_and_each_alert_are_drawn_with_their_words() -> None:
    ledger, alert = images.draw(_page())

    assert ledger.cid == "ledger"
    assert ledger.alt.startswith("Where 264.6 GPU-h went: progress: 179.1 GPU-h (67.7 %)")
    assert alert.cid == _page().asks[0].anchor
    assert "Timeline of job 48112: progress 47.3 GPU-h" in alert.alt
    assert "Unexplained: 2026-09-22 05:00 to 06:50" in alert.alt


@pytest.mark.usefixtures("small")
def test_a_mail_shows_a_picture_in_place_of_its_bar_with_the_same_in_words() -> None:
    page = _page()
    found = images.draw(page)

    html = mail.inline_css(render_mail_html(page, found))

    tags = re.findall(r"<img [^>]*>", html)
    shown = [(re.findall(r'src="cid:([^"]+)"', tag)[0], re.findall(r'alt="([^"]+)"', tag)[0]) for tag in tags]
    assert shown == [(p.cid, p.alt) for p in found]
    assert html.count("<img") == 2


def test_the_words_behind_a_picture_say_less_and_more_in_words() -> None:
    assert images.read_aloud("<0.01 GPU-h (<0.1 %), >99.9 %") == "under 0.01 GPU-h (under 0.1 %), over 99.9 %"
    assert images.read_aloud("job <script>") == "job ‹script›"
    of = builders.alert()
    ledger = {**of.ledger_gpu_ms, "idle": 3, "wait": of.ledger_gpu_ms["idle"]}
    night = replace(builders.night(), judgements=(replace(of, ledger_gpu_ms=ledger),))
    said = [alt for _, alt, _ in images._drawings(build_page(night, Options()))]
    assert all("under 0.01 GPU-h" in alt and not set(alt) & set("<>‹›") for alt in said)


def test_without_the_library_or_a_font_a_mail_has_its_bars_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    page = _page()

    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert images.draw(page) == ()
    monkeypatch.setitem(sys.modules, "resvg_py", _Fake(1000, writes=False))
    assert images.draw(page) == ()
    assert "<img" not in render_mail_html(page, ())


@pytest.mark.parametrize(("size", "n"), [(1000, 6), (18_000, 6), (30_000, 3), (200_000, 0)])
def test_pictures_shrink_and_then_are_left_out_beyond_their_share_of_the_mail(
    monkeypatch: pytest.MonkeyPatch, size: int, n: int
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", _Fake(size))

    found = images.draw(_page(9))

    assert len(found) == n
    assert sum(len(p.png) for p in found) <= images.MOST_BYTES


def test_a_picture_has_the_light_colours_and_no_variable() -> None:
    css = images.picture_css()

    assert "var(" not in css
    assert ".a-progress { fill: #1f5f99; }" in css
    assert "@media" not in css


@pytest.mark.parametrize("nasty", hostile.STRINGS, ids=lambda s: ascii(s[:24]))
def test_a_picture_of_a_hostile_night_is_well_formed_and_refers_to_nothing(nasty: str) -> None:
    page = build_page(hostile.night(nasty), Options(site=nasty))

    for _, alt, svg in images._drawings(page):
        tree = ElementTree.fromstring(svg)
        assert {e.tag.rpartition("}")[2] for e in tree.iter()} <= {
            *("svg", "style", "rect", "defs", "pattern", "circle", "g", "text", "title", "path"),
        }
        assert not re.search(r"(?:href|src)\s*=", re.sub(r">[^<]*<", "><", svg))
        assert not [char for char in hostile.RAW if char in alt + svg]
        assert not set(alt) & set("<>")


def test_the_real_library_makes_png_of_it() -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    if not images.can_draw():
        pytest.skip("no font on this machine")

    found = images.draw(_page())

    assert [p.png[:8] for p in found] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert images.draw(_page()) == found
