"""`slurm-guard checks`, and the bar on long work."""

import io
import sys

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard.audit.check import Check
from slurm_guard.audit.registry import CHECKS
from slurm_guard.cli import checks, progressbar
from slurm_guard.errors import EXIT_USAGE, GuardError


def _run(*args: str, width: int = 100) -> str:
    app = typer.Typer()
    checks.add(app)
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, list(args))
    if isinstance(result.exception, GuardError):
        raise result.exception
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.mark.parametrize("width", [44, 80, 200])
def test_each_check_has_one_line(width: int) -> None:
    lines = _run(width=width).splitlines()

    assert [line.split()[0] for line in lines[: len(CHECKS)]] == [check.id for check in CHECKS]
    assert lines[len(CHECKS)] == ""
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_a_check_is_explained_with_everything_that_its_page_says(check: Check) -> None:
    shown = " ".join(_run(check.id).split())

    for words in (check.title, check.detects, check.does_not_detect, check.false_alarms, check.remedy):
        assert " ".join(words.split()) in shown
    for example in (*check.explained, *check.flagged):
        assert " ".join(example.why.split()) in shown


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("parked", "parked-allocation"), ("work-residul", "work-residual"), ("tunel", "reverse-tunnel")],
)
def test_an_unknown_check_is_met_with_near_ones(typed: str, meant: str) -> None:
    with pytest.raises(GuardError, match="check-unknown") as caught:
        _run(typed)

    assert meant in caught.value.hint
    assert caught.value.exit_code == EXIT_USAGE


def test_what_is_near_nothing_is_sent_to_the_list() -> None:
    with pytest.raises(GuardError, match="check-unknown") as caught:
        _run("\x1b[31mqqqqqqqq\u202e" * 100)

    assert caught.value.sentence.isprintable()
    assert len(caught.value.sentence) < 120
    assert caught.value.hint == "`slurm-guard checks` lists them"


def test_case_and_underscores_do_not_matter() -> None:
    assert _run("Parked_Allocation") == _run("parked-allocation")


class _Stderr(io.StringIO):
    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.mark.parametrize(
    ("terminal", "term", "speaks"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_a_bar_is_for_terminals_alone(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, speaks: bool
) -> None:
    stderr = _Stderr(terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", term)

    with progressbar.watched() as bar:
        bar.stage("[red]runs judged")
        bar.step(3, 7)
        bar.stage("another")

    assert bool(stderr.getvalue()) is speaks
    if speaks:
        assert "another" in stderr.getvalue()


def test_colour_is_left_away_where_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = _Stderr(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")

    with progressbar.watched() as bar:
        bar.stage("runs judged", 2)
        bar.step(1, 2)

    assert "runs judged" in stderr.getvalue()
    assert "\x1b[3" not in stderr.getvalue()
