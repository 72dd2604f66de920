"""The network benchmark's tables: what is counted, and where it is put."""

import argparse
from pathlib import Path

import pytest

from bench.net.page import BEGIN, END, tables, write_page
from bench.net.plays import Played
from bench.net.shape import BRIDGE, NONE, Situation
from bench.net.stage import Stage


def reverse(stage: Stage) -> None:
    """A tunnel."""


def copier(stage: Stage) -> None:
    """A copier."""


SITUATIONS = [Situation(reverse, BRIDGE), Situation(copier, NONE)]


def _play(
    name: str, shape: str, k: int, seen: tuple[str, ...], *, n_uses: int = 3, late: int | None = None
) -> Played:
    event_s = None if late is None else 10.0 * late
    return Played(name, shape, k, "c", seen, False, n_uses, late, late, 6, "", event_s)


PLAYED = [
    _play("reverse", BRIDGE, 0, ("bridge", "other"), late=1),
    _play("reverse", BRIDGE, 1, ("bridge",), late=4),
    _play("reverse", BRIDGE, 2, ("other",)),
    _play("reverse", BRIDGE, 3, (), n_uses=0),
    _play("copier", NONE, 0, ("other",)),
    _play("copier", NONE, 1, ("bridge",), late=2),
]


def test_shapes_delay_and_situations_are_counted_without_void_plays() -> None:
    text = "\n".join(tables(SITUATIONS, PLAYED))

    assert "| bridge | 3 | 2 | 0.667 (20.8 – 93.9 %) | 0.667 (20.8 – 93.9 %) | 0.667 |" in text
    assert "| honest, called either | 2 | 1 | | 0.500 (9.5 – 90.5 %) | |" in text
    assert "1 of 6 plays were void." in text
    assert (
        "of 3: 1 within 1, 1 within 2, 1 within 3, 2 within 5 looks, the worst 4; in seconds 25 in the"
        in text
    )
    assert "| `reverse` | A tunnel. | 2 of 3 | 3 | 2 / 4 | 25 / 40 |" in text
    assert "| `copier` | A copier. | 1 of 2 | 2 |" in text


def test_tables_stand_between_the_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nwhat stood here\n{END}\nafter\n")
    options = argparse.Namespace(held_out=False, look_s=10.0, seconds=60.0, n=10, seed="7", at_once=30)

    write_page(page, SITUATIONS, PLAYED, options)

    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "what stood here" not in text
    assert "--look-s 10 --seconds 60 --n 10 --seed 7" in text


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    options = argparse.Namespace(held_out=True, look_s=1.0, seconds=1.0, n=1, seed="1", at_once=1)

    with pytest.raises(ValueError, match="held out"):
        write_page(page, SITUATIONS, PLAYED, options)

    assert page.read_text() == "nothing\n"
