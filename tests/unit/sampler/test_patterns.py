"""Patterns that a child compiles match as those of `re`."""

import _sre  # type: ignore[import-not-found]
import json
import re
from typing import Any

import pytest

from slurm_guard.sampler import cgroups, patterns, redact, settings


@pytest.fixture(autouse=True)
def _none_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "_known", {})


def _compiled(monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> list[patterns.Program]:
    """What a child would tell of these; the modules that it imports are here already."""
    told: list[patterns.Program] = []
    make = _sre.compile

    def tell(*program: Any) -> Any:
        told.append(list(program))
        return make(*program)

    monkeypatch.setattr(_sre, "compile", tell)
    re.purge()
    for text in texts:
        re.compile(text)
    return told


TEXTS = [cgroups._TITLE.pattern, redact._SHAPES.pattern, r"(?i)(?P<keep>a+)b"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_known_program_is_the_pattern_that_re_would_make(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    patterns.know(_compiled(monkeypatch, [text]))
    monkeypatch.setattr(re, "compile", lambda _: pytest.fail("it was compiled again"))

    made = patterns.pattern(text)

    monkeypatch.undo()
    assert made == re.compile(text)
    assert made.groupindex == re.compile(text).groupindex


def test_an_unknown_text_is_compiled_here() -> None:
    found = patterns.pattern(r"job_(\d+)").fullmatch("job_7")

    assert found is not None
    assert found[1] == "7"


def test_programs_come_with_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = _compiled(monkeypatch, [r"job_(\d{1,10})", r"(?P<keep>x)|y"])
    monkeypatch.undo()
    monkeypatch.setattr(patterns, "_known", {})
    monkeypatch.setattr(patterns, "compile_all", lambda: programs)

    settings.load("")

    assert patterns._known == {program[0]: json.loads(json.dumps(program)) for program in programs}
    assert patterns.pattern(r"(?P<keep>x)|y") == re.compile(r"(?P<keep>x)|y")
