"""The collection's benchmark: open files are bounded, a second call takes only the rest."""

import argparse
from pathlib import Path

from bench.collect import _collect, _seal, add_options


def _made(folder: Path, nodes: list[str]) -> Path:
    for node in nodes:
        _seal(folder / "spool", node, 0, 2)
    return folder / "spool"


def test_ten_times_the_nodes_need_no_more_open_files(tmp_path: Path) -> None:
    few = _collect(_made(tmp_path / "few", [f"g{i}" for i in range(4)]), tmp_path / "a", None)
    many = _collect(_made(tmp_path / "many", [f"g{i}" for i in range(40)]), tmp_path / "b", None)

    assert (few[1], many[1]) == (8, 80)
    assert many[3] <= few[3] + 4


def test_a_call_after_one_that_was_cut_short_takes_the_rest(tmp_path: Path) -> None:
    spool = _made(tmp_path, [f"g{i}" for i in range(10)])

    cut = _collect(spool, tmp_path / "lake", 7)
    rest = _collect(spool, tmp_path / "lake", None)
    again = _collect(spool, tmp_path / "lake", None)

    assert (cut[1], rest[1], rest[2]) == (7, 13, 7)
    assert again[1:3] == (0, 20)


def test_it_is_for_two_thousand_nodes() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)

    assert parser.parse_args([]).nodes == 2_000
