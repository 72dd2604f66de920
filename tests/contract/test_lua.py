"""One language, two readers: what the audit reads from a text is what slurmctld's Lua reads from it.

Each Lua on this machine (Slurm of Debian 12 has 5.1, newer ones 5.4) gets the same table, hostile rows and
random ones; fold and problems are compared to the byte.
"""

import random
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

from slurm_guard.declaration import fold
from slurm_guard.intent import Intent, parse_intent
from tests.contract.intents import SCRIPTS, TEXTS

ROOT = Path(__file__).parents[2]
ENV = {"LUA_PATH": "packaging/lua/?.lua"}
LUAS = [name for name in ("lua5.1", "lua5.3", "lua5.4", "luajit") if shutil.which(name)]


class Case(NamedTuple):
    """What a job comes with."""

    comment: str | None
    extra: str | None
    script: bytes | None
    field: str = "comment"


def _table() -> Iterable[Case]:
    for text in TEXTS:
        yield Case(text, None, None)
        yield Case(None, text, b"#GUARD kind=pretrain\n#GUARD target=steps:20k\n#GUARD progress=a b\n")
        yield Case(text, "guard:kind=z", b"#GUARD kind=pretrain\n#GUARD budget=3\n", "extra")
        yield Case(text, "guard:kind=z", b"#GUARD kind=pretrain\n#GUARD budget=3\n")
    for script in SCRIPTS:
        for text in (None, "my note", "guard:kind=z", '{"team":"nlp"}', 'guard={"kind":"z"}'):
            yield Case(text, None, script)


def _random_cases(n: int) -> Iterable[Case]:
    """Texts of the table with pieces of others put in; drawn from one seed."""
    draw = random.Random(8)
    pieces = [text for text in TEXTS if text and len(text) < 200] + list(';=:{}"\\, \n#\t')
    for _ in range(n):
        text = draw.choice(pieces)
        for _ in range(draw.randrange(4)):
            at = draw.randrange(len(text) + 1)
            text = text[:at] + draw.choice(pieces)[: draw.randrange(1, 30)] + text[at + draw.randrange(3) :]
        lines = "".join(f"#GUARD {draw.choice(pieces)}\n" for _ in range(draw.randrange(3)))
        extra, field = draw.choice((None, draw.choice(pieces))), draw.choice(("comment", "extra"))
        yield Case(text, extra, lines.encode(), field)


CASES = (*_table(), *_random_cases(6000))


def _hex(text: str | bytes | None) -> str:
    if text is None:
        return "-"
    return "x" + (text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")).hex()


def _about(intent: Intent) -> str:
    unit, amount = intent.target or ("-", None)
    egress = "-" if intent.egress is None else "x" + ",".join(intent.egress)
    numbers = ["-" if value is None else f"{value:.17g}" for value in (amount, intent.budget_gpu_h)]
    return f"{_hex(intent.kind)} {unit} {numbers[0]} {egress} {numbers[1]} {_hex(intent.progress)}"


def _expected(case: Case) -> str:
    intent, folded = parse_intent(case.comment, case.extra), fold(*case)
    texts = f"{_hex(folded.comment)} {_hex(folded.extra)}"
    return "\t".join((_about(intent), "\x1f".join(intent.problems), texts, "\x1f".join(folded.problems)))


def _same(line: str) -> str:
    """Without the names of unknown claims, whose odd characters the two escape in their own ways."""
    return re.sub("(no claim is called )[^\t\x1f]*", r"\1", line)


@pytest.mark.skipif(
    not LUAS, reason="no Lua on this machine: apt-get install lua5.1 (tools/bootstrap rig does)"
)
@pytest.mark.parametrize("lua", LUAS or ["none"])
def test_both_readers_say_the_same_of_every_text(lua: str) -> None:
    lines = (f"{_hex(c.comment)} {_hex(c.extra)} {_hex(c.script)} {c.field}\n" for c in CASES)

    done = subprocess.run(
        [lua, "tests/contract/lua_driver.lua"], input="".join(lines),
        cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(CASES)
    for case, line in zip(CASES, said, strict=True):
        assert _same(line) == _same(_expected(case)), case


@pytest.mark.skipif(
    not LUAS, reason="no Lua on this machine: apt-get install lua5.1 (tools/bootstrap rig does)"
)
@pytest.mark.parametrize("lua", LUAS or ["none"])
def test_a_sites_scripts_get_what_they_call_for(lua: str) -> None:
    done = subprocess.run(
        [lua, "tests/contract/lua_submit.lua"],
        cwd=ROOT, env=ENV, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_modules_name_nothing_that_reads_files_or_runs_programs() -> None:
    for path in (ROOT / "packaging" / "lua").glob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text("utf-8"))

        assert re.findall(r"\b(?:io|os|debug|dofile|loadfile|loadstring|load|print|popen)\b", code) == [], (
            path
        )
