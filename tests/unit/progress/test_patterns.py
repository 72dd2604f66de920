"""The site's own patterns: what they read, how they stand beside our formats, and where they come from."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from slurm_guard.configpatterns import compile_pattern
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.patterns import PatternLines, fixed_part
from slurm_guard.progress.protocol import Claim
from slurm_guard.progress.request import parse_request
from slurm_guard.progress.unit import Input, Told, read_unit

CYCLES = r"mycode: ^cycle (?P<step>[\d,.-]+) of (?P<total>\d+)(?: at (?P<time>[^|]+))?(?:\| e=(?P<loss>\S+))?"


def read(data: bytes, *patterns: str) -> tuple[Told, list[Mark]]:
    """The whole way."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        one = Input(0, file.fileno(), "/w/slurm-1.out", "stdout", os.fstat(file.fileno()).st_size, 1 << 26)
        told, marks = read_unit([one], patterns)
    return told[0], marks


def claim(pattern: str, line: str) -> Claim | None:
    return PatternLines("mycode", compile_pattern(pattern)).read(line, 1)


def test_a_pattern_gives_counter_total_time_and_loss() -> None:
    told, marks = read(
        b"hello\ncycle 1 of 9 at 2026-08-01T07:19:37Z | e=-1.5\ncycle 2 of 9 at Sat Aug  1 07:20:37 2026\n"
        b"cycle 3 of 9 at 1785568897| e=nan\n",
        CYCLES,
    )

    assert (told.source, told.track.partition("~")[0], told.problems) == ("mycode", "mycode:slurm-1.out", [])
    assert [(m.step, m.total, m.at, m.naive, m.loss) for m in marks] == [
        (1, 9, 1_785_568_777.0, False, -1.5),
        (2, 9, 1_785_568_837.0, True, None),
        (3, 9, 1_785_568_897.0, False, None),
    ]


def test_a_match_without_a_usable_counter_is_a_problem_and_no_point() -> None:
    told, marks = read(b"cycle 1 of 9\ncycle -- of 9\ncycle 2 of 9\n", CYCLES)

    assert [mark.step for mark in marks] == [1, 2]
    assert told.problems == [
        "unreadable-mycode: lines that look like mycode's and have no number that can be used: 1"
    ]


def test_a_sites_pattern_goes_before_our_formats() -> None:
    text = b"".join(b"cycle %d of 99 step=%d loss=1\n" % (n, 7 * n) for n in range(5))

    assert read(text, CYCLES)[0].source == "mycode"
    assert [mark.step for mark in read(text, CYCLES)[1]] == [0, 1, 2, 3, 4]
    assert read(text)[0].source == "keyvalue"


@pytest.mark.parametrize(("group", "key"), [("samples", "samples"), ("tokens", "tokens")])
def test_samples_and_tokens_are_clocks_of_their_own(group: str, key: str) -> None:
    found = claim(rf"^seen (?P<{group}>[\d,]+)", "seen 12,000 of them")

    assert found is not None
    assert (found.key, found.clock()) == (key, 12_000)


def test_a_name_of_one_of_our_formats_is_not_taken() -> None:
    assert read(b"cycle 1 of 9\ncycle 2 of 9\n", CYCLES.replace("mycode", "jsonl"))[0].source == "sitejsonl"


@pytest.mark.parametrize("text", ["no pattern", "ab: (", "ab: (?P<step>\\d{1,99999999999})"])
def test_what_is_no_pattern_never_reaches_a_line(text: str) -> None:
    assert read(b"step=1 loss=2\n", text)[0].source == "keyvalue"


@pytest.mark.parametrize(
    ("regex", "needle"),
    [
        (r"^cycle (?P<step>\d+)", b"cycle "),
        (r"E\.T\. (?P<step>\d+)", b"E.T. "),
        (r"cycles? (?P<step>\d+)", b"cycle"),
        (r"cycle: *(?P<step>\d+)", b"cycle:"),
        (r"a{3}(?P<step>\d+)", b""),
        (r"cycle (?P<step>\d+)|sweep \d", b""),
        (r"(?i)cycle (?P<step>\d+)", b""),
        (r"(?P<step>\d+) done", b""),
        (r"\d+ (?P<step>\d+)", b""),
        ("zyklus\u00e4 (?P<step>.)", b"zyklus"),
    ],
)
def test_a_fixed_beginning_is_looked_for_first(regex: str, needle: bytes) -> None:
    assert fixed_part(regex) == needle


def test_patterns_travel_with_the_request_and_nothing_else_does() -> None:
    body = {"run": "r", "node": "n", "cluster": "c", "at": 1, "ticket_at": 1, "read": 0, "out": "/o"}

    asked = parse_request(json.dumps({**body, "patterns": [CYCLES, 7, None, {}]}).encode())

    assert asked.patterns == (CYCLES,)
    assert parse_request(json.dumps({**body, "patterns": "x"}).encode()).patterns == ()


def test_show_reads_with_the_sites_patterns(tmp_path: Path) -> None:
    (tmp_path / "guard.toml").write_text(f"[progress]\npatterns = ['''{CYCLES}''']\n")
    log = tmp_path / "a.out"
    log.write_text("cycle 1 of 9\ncycle 2 of 9\n")
    command, config = "from slurm_guard.cli.app import main; main()", str(tmp_path / "guard.toml")

    done = subprocess.run(
        [sys.executable, "-c", command, "progress", "show", "--config", config, str(log)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "source mycode" in done.stdout
    assert "step 1 to step 2" in done.stdout
