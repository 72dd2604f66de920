"""The site's resolver log: names for addresses, bounded, and whatever is no line of it is counted."""

import os
from pathlib import Path

import pytest

from slurm_guard.lake import resolver
from slurm_guard.lake.resolver import EARLY_S, MOST_NAMES, read_names

AT = 1_780_000_000.0
FIRST = (32, (203 << 24) + (113 << 8) + 9)


def _read(path: Path, *lines: str) -> tuple[resolver.Names, list[str]]:
    path.write_text("".join(f"{line}\n" for line in lines))
    names, skips = read_names(str(path), AT, AT + 3600)
    return names, [skip.detail for skip in skips]


def test_names_of_the_window_are_read_the_newest_first(tmp_path: Path) -> None:
    found = _read(
        tmp_path / "log",
        f"{AT - 2 * EARLY_S} 203.0.113.9 long-ago.example",
        f"{AT - 60} 203.0.113.9 One.Example.",
        f"{AT + 60} 203.0.113.9 two.example",
        f"{AT + 7200} 203.0.113.9 later.example",
        f"{AT} 2001:db8::9 six.example",
    )
    six = (128, 0x20010DB8 << 96 | 9)
    assert found == ({FIRST: ("two.example", "one.example"), six: ("six.example",)}, [])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        "now 203.0.113.9 a.b",
        f"{AT} 999.1.1.1 a.b",
        f"{AT} 203.0.113.9 <b>",
        f"{AT} 203.0.113.9 a.b c",
    ],
)
def test_what_is_no_line_of_it_is_counted(tmp_path: Path, line: str) -> None:
    found = _read(tmp_path / "log", line, f"{AT} 203.0.113.9 good.example")
    assert found == ({FIRST: ("good.example",)}, ["1 lines are not EPOCH ADDRESS NAME"])


def test_an_address_has_so_many_names_and_a_log_so_many_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MOST_ADDRESSES", 3)
    lines = [f"{AT} 203.0.113.9 n{k}.example" for k in range(50)]
    lines += [f"{AT} 10.0.0.{k} x.example" for k in range(50)]
    names, _ = _read(tmp_path / "log", *lines)
    assert names[FIRST] == tuple(f"n{k}.example" for k in range(49, 49 - MOST_NAMES, -1))
    assert len(names) == 3


def test_a_long_log_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MOST_B", 100)
    names, why = _read(tmp_path / "log", *(f"{AT} 203.0.113.{k} n.example" for k in range(100)))
    assert why == []
    assert 0 < len(names) < 4


def test_no_log_a_missing_one_and_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_names("", AT, AT + 1) == ({}, ())
    for name, why in (("absent", "No such file or directory"), ("pipe", "is no regular file")):
        names, (skip,) = read_names(str(tmp_path / name), AT, AT + 1)
        assert (names, skip.reason, skip.detail) == ({}, "resolver-log", why)
