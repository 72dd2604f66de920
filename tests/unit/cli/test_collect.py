"""`slurm-guard collect`: one line, and the refused files by name."""

import json
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.cli.collect import collect
from tests.spools import RUN, digest, make, put, segment, single

Captured = pytest.CaptureFixture[str]


def said(tmp_path: Path, capsys: Captured) -> str:
    collect(spool=[tmp_path / "spool"], lake=tmp_path / "lake")
    return capsys.readouterr().out


def test_one_line_says_what_was_done_and_the_second_time_that_nothing_was(
    tmp_path: Path, capsys: Captured
) -> None:
    put(tmp_path / "spool", "tickets", f"{wire.stem(RUN)}.json", single(make(wire.Ticket)))

    outputs = [said(tmp_path, capsys), said(tmp_path, capsys)]

    assert outputs == [
        f"1 files new (1 rows), 0 known, 0 in quarantine: {tmp_path / 'lake'}\n",
        f"0 files new (0 rows), 1 known, 0 in quarantine: {tmp_path / 'lake'}\n",
    ]


def test_a_refused_file_is_named_with_its_reason_and_cannot_paint_the_terminal(
    tmp_path: Path, capsys: Captured
) -> None:
    put(tmp_path / "spool", "tickets", "a\x1b[31m.json", '{"k":"ticket","run":"\x1b[2J"}\n')

    outputs = [said(tmp_path, capsys), said(tmp_path, capsys)]

    assert all("\x1b" not in output for output in outputs)
    assert "json: " in outputs[0]
    assert outputs[1].rstrip().endswith("(as before)")


def test_records_that_were_left_out_are_said(tmp_path: Path, capsys: Captured) -> None:
    name, text = segment([make(wire.Event)])
    put(tmp_path / "spool", "sealed", name, relabelled(text))

    assert "\n  left out, of kinds that only a later release knows: 1 'omen'\n" in said(tmp_path, capsys)


def relabelled(text: str) -> str:
    """The segment with its one record's kind changed, and a digest that holds."""
    lines = text.splitlines(keepends=True)
    lines[1] = lines[1].replace('"k":"event"', '"k":"omen"')
    tail = json.loads(lines[2]) | {"sha256": digest("".join(lines[:2]))}
    return "".join(lines[:2]) + json.dumps(tail) + "\n"


def test_folders_come_from_the_configuration(tmp_path: Path, capsys: Captured) -> None:
    put(tmp_path / "spool", "tickets", f"{wire.stem(RUN)}.json", single(make(wire.Ticket)))
    config = tmp_path / "guard.toml"
    config.write_text(f'[lake]\npath = "{tmp_path / "lake"}"\nspools = ["{tmp_path / "spool"}"]\n')

    collect(config=config)

    assert capsys.readouterr().out.startswith("1 files new (1 rows)")
