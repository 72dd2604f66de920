"""docs/formats.md is true: tables from the code, every slug and event named."""

import ast
import re
from pathlib import Path

from slurm_guard.document import FORMAT as DOCUMENT_FORMAT
from slurm_guard.lake.schema import FORMAT as LAKE_FORMAT
from slurm_guard.wire import FORMAT as SPOOL_FORMAT
from tools import genformats

ROOT = Path(__file__).parents[2]
TEXT = genformats.PAGE.read_text(encoding="utf-8")


def test_the_tables_are_what_the_code_says() -> None:
    assert genformats.render() == TEXT, "run python -m tools.genformats"


def test_every_record_and_table_stands_on_the_page_once() -> None:
    assert sorted(name for _, name, _ in genformats.MARKED.findall(TEXT)) == sorted(genformats.names())


def test_the_format_numbers_are_those_of_the_code() -> None:
    assert re.findall(r"\*\*(spool|lake|audit\s+document)\*\*, format (\d+)", TEXT) == [
        ("spool", str(SPOOL_FORMAT)),
        ("lake", str(LAKE_FORMAT)),
        ("audit document", str(DOCUMENT_FORMAT)),
    ]


def test_every_reason_for_quarantine_is_explained() -> None:
    raised = set()
    for path in (ROOT / "slurm_guard" / "lake").glob("*.py"):
        raised |= set(re.findall(r"BadRecord\(\s*\"([a-z-]+)\"", path.read_text(encoding="utf-8")))

    section = TEXT.partition("### Quarantine")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == raised


def test_every_event_of_the_sampler_is_named() -> None:
    told: set[str] = set()
    for path in (ROOT / "slurm_guard" / "sampler").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                told |= {
                    part.value
                    for part in (node.args[:1] if node.func.attr == "event" else [])
                    + (node.args[2:3] if node.func.attr == "Event" else [])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    section = TEXT.partition("### Event: `event`")[2].partition("<!-- generated")[0]

    assert sorted(name for name in told if f"`{name}`" not in section) == []
    assert len(told) > 5
