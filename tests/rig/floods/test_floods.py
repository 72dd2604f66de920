"""The page of floods, without a cluster; and that the program can make each of them."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.rig.floods.page import render
from tests.rig.floods.table import FLOODS
from tests.rig.layout import CHECKOUT


def _line(flood: str, problems: list[str], cpu_pct: float = 1.0) -> str:
    cost = {"cpu_pct": cpu_pct, "worst_10s_pct": 2.0, "pss_mib": 17.3, "longest_cpu_s": 0.05}
    told = {"process records": 5, "flows-truncated": 1}
    rest = {"hooks_s": [0.02, 0.5], "kib": 12.4, "seen": 0.994, "told": told, "problems": problems}
    return json.dumps({"flood": flood, "cost": cost, **rest})


def test_a_row_has_the_last_outcome_of_its_flood_and_what_was_not_as_it_must_be() -> None:
    page = render([_line("churn", []), _line("forks", [], 9.0), _line("forks", ["drained: n1"], 3.0)])

    rows = [line.split(" | ") for line in page.splitlines() if line.startswith(("| forks", "| churn"))]
    assert [(row[0], row[2], row[7], row[8], row[9]) for row in rows] == [
        ("| forks", "3.0", "0.50", "99 %", "`flows-truncated`"),
        ("| churn", "1.0", "0.50", "99 %", "`flows-truncated`"),
    ]
    assert [row[10] for row in rows] == ["drained: n1 |", "stood |"]


def test_the_page_in_docs_has_every_flood_once_and_no_other() -> None:
    page = (CHECKOUT / "docs" / "floods.md").read_text("utf-8")

    rows = re.findall(r"^\| (\w+) \| ", page, re.MULTILINE)

    assert rows == ["flood", *(flood.name for flood in FLOODS)]


def test_the_program_knows_each_flood_and_refuses_others(tmp_path: Path) -> None:
    program = tmp_path / "flood"
    source = Path(__file__).with_name("flood.c")
    try:
        subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lpthread"], check=True)
    except FileNotFoundError:
        pytest.skip("no gcc")

    def run(*words: str) -> int:
        return subprocess.run([program, *words], check=False, capture_output=True, cwd=tmp_path).returncode

    # no time and no number: each kind begins and is done at once
    ended = {run(flood.words[0], "0", "0", "0") for flood in FLOODS}

    assert ended <= {0, 1}  # 1: a machine without namespaces for users
    assert run("nothing", "0") == 2
