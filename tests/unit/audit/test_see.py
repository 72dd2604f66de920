"""What evidence names to see it oneself can be pasted into a shell and is understood by the command."""

import shlex
from collections.abc import Iterator

import pytest
import typer

from slurm_guard.audit import see
from slurm_guard.audit.registry import CHECKS
from slurm_guard.audit.run import audit_facts
from slurm_guard.cli import lake, progress
from slurm_guard.lake.about import check_column, check_table
from slurm_guard.model import Evidence
from slurm_guard.report.cards import _COMMAND
from tests.shapes import SHAPES, facts_of
from tests.unit.report import builders, hostile

RUN = builders.run(48112, nodes=("n3",))
WORDS = ("cost.comparison of this run",)  # what stands in no table of the lake, and in no command of Slurm's


def commands(shown: str) -> Iterator[list[str]]:
    """The commands of one line as a shell takes them apart: `;` between commands, comments left out."""
    lexer = shlex.shlex(shown, posix=True, punctuation_chars=";")
    lexer.commenters = "#"
    lexer.wordchars += "@%:,+[]"
    words: list[str] = []
    for word in lexer:
        if word == ";":
            yield words
            words = []
        else:
            words.append(word)
    yield words


def _understood(words: list[str]) -> None:
    """The command takes these options. Nothing is run."""
    app = typer.Typer()
    lake.add(app)
    progress.add(app)
    group = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    context = group.commands[words[2]].make_context(words[2], list(words[3:]))
    if words[1] == "lake":
        table = check_table(context.params["table"])
        for name in (context.params["columns"] or "").split(","):
            assert not name or check_column(table, name)
        for text in context.params["where"] or ():
            check_column(table, text.partition("=")[0])


def _is_right(e: Evidence) -> None:
    assert e.see
    assert len(e.see) <= _COMMAND, "a report would cut it"
    assert "\n" not in e.see
    if e.see.startswith(WORDS):
        return
    for words in commands(e.see):
        assert words[0] in ("slurm-guard", "sacct", "ssh"), e.see
        if words[0] == "slurm-guard":
            _understood(words)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_all_evidence_of_every_shape_says_how_to_see_it(shape: str) -> None:
    for judgement in audit_facts(facts_of(shape)).judgements:
        for finding in judgement.findings:
            for e in finding.evidence:
                _is_right(e)


def test_the_shapes_have_evidence_of_every_check() -> None:
    assert all(check.flagged for check in CHECKS)


@pytest.mark.parametrize("nasty", hostile.STRINGS, ids=lambda s: ascii(s[:24]))
def test_what_a_job_named_is_one_word_of_a_command(nasty: str) -> None:
    shown = see.rows(RUN, "flows", "", (("node", "n3"), ("peer", nasty)))

    assert shlex.split(shown)[9] == f"peer={nasty}"


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("/home/a/slurm.out", "slurm-guard progress show /home/a/slurm.out"),
        ("/home/a/my log; rm -rf ~", "slurm-guard progress show '/home/a/my log; rm -rf ~'"),
        ("/home/a/it's", "slurm-guard progress show '/home/a/it'\"'\"'s'"),
    ],
)
def test_a_jobs_output_is_named_with_its_path_quoted(path: str, command: str) -> None:
    assert see.output(builders.run(48112, stdout=path)).endswith(f"; {command}")


@pytest.mark.parametrize(
    "path",
    [None, "slurm-%j.out", "/scratch/%j.out", "-rf", "/a\x1b[2J", "/a\nb", "/\u202ea", "/" + "a" * 300],
)
def test_a_path_that_no_report_can_show_as_it_is_leaves_the_run_to_be_asked_for(path: str | None) -> None:
    (words,) = commands(see.output(builders.run(48112, stdout=path)))

    assert words[:6] == ["slurm-guard", "lake", "show", "logs", "--job", "48112"]


def test_times_hold_the_whole_of_what_is_meant() -> None:
    assert "--from 100 --to 102" in see.rows(RUN, "windows", span=(100.9, 101.1))
    assert "--from 100 --to 101" in see.rows(RUN, "windows", span=(100.0, 100.0))


def test_a_comment_is_run_by_no_shell() -> None:
    assert list(commands(see.beside(see.both("a b", "c"), "while it lasts: d; e"))) == [["a", "b"], ["c"]]
