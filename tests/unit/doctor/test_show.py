"""What is printed: problems first, hostile text harmless, JSON as its schema says."""

import json
from dataclasses import replace

import pytest

from slurm_guard.doctor.examine import Examination, examine
from slurm_guard.doctor.finding import Finding, Level, Role
from slurm_guard.doctor.registry import CHECKS
from slurm_guard.doctor.show import render_json, render_text
from tests.unit.doctor import builders as b
from tools import genschema

jsonschema = pytest.importorskip("jsonschema")
EVIL = "\x1b[31m\u202eevil\n\udcff"


def _examination(*findings: Finding) -> Examination:
    return Examination(1.0, "n1", "0.1.0", (Role.NODE,), findings)


def test_the_worst_comes_first_and_the_last_line_counts() -> None:
    levels = (Level.OK, Level.UNSEEN, Level.WARNING, Level.PROBLEM)
    found = [Finding(f"c-{level.value}", "n1", level, "A sentence", "do it") for level in levels]

    lines = list(render_text(_examination(*found)))

    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "problem",
        "warning",
        "could",
        "n1,",
    ]
    assert lines[-1] == "n1, as node: 1 problem, 1 warning, 1 could not be looked at, 1 in order"
    assert any("c-ok" in line for line in render_text(_examination(*found), everything=True))


def test_what_could_not_be_looked_at_for_one_reason_is_said_once() -> None:
    found = [Finding(f"c-{i}", "n1", Level.UNSEEN, "It is not there", "do it") for i in range(3)]
    found += [Finding("d", "n1", Level.UNSEEN, "Another reason", "do it")]
    found += [Finding(f"p-{i}", "n1", Level.PROBLEM, "The same", "do it") for i in range(2)]

    heads = [line for line in render_text(_examination(*found)) if not line.startswith(" ")]
    full = [line for line in render_text(_examination(*found), everything=True) if not line.startswith(" ")]

    assert [head.split("  ")[-2].strip() for head in heads[:-1]] == ["p-0", "p-1", "c-0 and 2 more", "d"]
    assert len(full) == len(found) + 1
    assert heads[-1] == full[-1]
    assert ", 4 could not be looked at, " in full[-1]


def test_no_text_steers_a_terminal() -> None:
    lines = list(render_text(_examination(Finding("x", EVIL, Level.PROBLEM, EVIL * 100, EVIL))))

    assert all(line.isprintable() for line in lines)
    assert all(len(line) < 500 for line in lines)


@pytest.mark.parametrize("text", ["plain", EVIL])
def test_json_keeps_to_its_schema(text: str) -> None:
    found = examine(b.healthy(host=text), CHECKS, tuple(Role))
    found = replace(found, findings=(*found.findings, Finding("x", text, Level.PROBLEM, text, text)))
    schema = json.loads((genschema.FOLDER / "doctor-1.schema.json").read_text("utf-8"))

    data = json.loads(render_json(found))

    jsonschema.Draft202012Validator(schema).validate(data)
    assert data["counts"]["problem"] == 1
    assert render_json(found).isascii()


def test_the_schema_refuses_another_level() -> None:
    schema = json.loads((genschema.FOLDER / "doctor-1.schema.json").read_text("utf-8"))
    data = json.loads(render_json(_examination(Finding("x", "n1", Level.OK, "s", ""))))
    data["findings"][0]["level"] = "fine"

    assert not jsonschema.Draft202012Validator(schema).is_valid(data)
