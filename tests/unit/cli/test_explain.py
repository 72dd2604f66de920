"""`slurm-guard explain` and `slurm-guard disposition` as they are typed, and the audit that hears of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard import document
from slurm_guard.cli import disposition, explain
from slurm_guard.cli.audit import audit
from slurm_guard.clock import SystemClock
from slurm_guard.document import from_json
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.memory.words import NAME, read_book
from slurm_guard.model import Verdict
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.report import builders

RUN, JOB = builders.explained().run.id, "48255"
SEVERAL = "48112"  # called by two checks


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A reports' folder with a night, and a configuration that names it."""
    folder = tmp_path / "reports" / "2026-09-22"
    folder.mkdir(parents=True)
    (folder / "audit.json").write_text(document.to_json(builders.night()))
    path = tmp_path / "guard.toml"
    path.write_text(f'[report]\npath = "{tmp_path / "reports"}"\n')
    return path


def _run(config: Path, *args: object) -> str:
    app = typer.Typer()
    explain.add(app)
    disposition.add(app)
    result = CliRunner().invoke(app, [*map(str, args), "--config", str(config)])
    if isinstance(result.exception, GuardError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def _refused(config: Path, slug: str, *args: object) -> GuardError:
    with pytest.raises(GuardError, match=slug) as caught:
        _run(config, *args)
    assert caught.value.exit_code == EXIT_USAGE
    assert not (config.parent / "reports" / NAME).exists()
    return caught.value


def test_a_run_is_explained_by_its_job_for_thirty_days_and_its_own_checks(config: Path) -> None:
    before = SystemClock().now_at()

    shown = _run(config, "explain", JOB, "--because", "a test of ours")

    (said,) = read_book(config.parent / "reports" / NAME).words().exemptions
    assert (said.scope, said.checks, said.hard) == ("run", ("reverse-tunnel",), ("reverse-tunnel",))
    assert (said.subject.run, said.subject.user, said.reason) == (RUN, "user4", "a test of ours")
    assert 29.9 * 86_400 < said.until_at - before < 30.1 * 86_400
    assert shown.startswith("1: job 48255 of user4, for this run: reverse-tunnel with its hard facts; by ")
    assert "It holds from the next audit on" in shown


def test_scope_checks_and_end_are_what_was_typed(config: Path) -> None:
    soon = SystemClock().now_at() + 3600

    _run(
        config, "explain", RUN, "--because", "x", "--scope", "job-name", "--until", soon,
        "--check", "extra-context", "--check", "reverse-tunnel", "--check", "extra-context",
    )  # fmt: skip

    (said,) = read_book(config.parent / "reports" / NAME).words().exemptions
    assert (said.scope, said.checks) == ("job-name", ("extra-context", "reverse-tunnel"))
    assert said.hard == ("reverse-tunnel",)


def test_a_check_that_did_not_call_it_is_explained_for_soft_findings_alone(config: Path) -> None:
    _run(config, "explain", JOB, "--because", "x", "--check", "foreign-process")

    (said,) = read_book(config.parent / "reports" / NAME).words().exemptions
    assert said.hard == ()


def test_of_several_checks_those_that_are_meant_must_be_named(config: Path) -> None:
    error = _refused(config, "explain-which", "explain", SEVERAL, "--because", "x")

    assert error.hint == "add those that you mean: --check foreign-process --check work-residual"


@pytest.mark.parametrize(
    ("slug", "args"),
    [
        ("run-missing", ()),
        ("reason-missing", (JOB,)),
        ("reason-missing", (JOB, "--because", "  \n")),
        ("reason-long", (JOB, "--because", "x" * 1001)),
        ("run-unknown", ("99", "--because", "x")),
        ("check-unknown", (JOB, "--because", "x", "--check", "forein-process")),
        ("check-unknown", (JOB, "--because", "x", "--check", "*")),
        ("explain-nothing", ("48500", "--because", "x")),
        ("until-range", (JOB, "--because", "x", "--until", "2020-01-01")),
        ("until-range", (JOB, "--because", "x", "--until", "2199-01-01")),
        ("time-syntax", (JOB, "--because", "x", "--until", "soon")),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_kept(
    config: Path, slug: str, args: tuple[str, ...]
) -> None:
    error = _refused(config, slug, "explain", *args)

    assert error.sentence
    assert error.hint


def test_a_misspelt_check_is_named_with_the_nearest(config: Path) -> None:
    error = _refused(config, "check-unknown", "explain", JOB, "--because", "x", "--check", "forein-process")

    assert error.hint == "did you mean foreign-process?"


def test_a_job_of_several_runs_is_asked_back(config: Path) -> None:
    night = builders.night()
    again = replace(builders.explained(), run=replace(builders.explained().run, id="aurora/48255/9"))
    path = config.parent / "reports" / "2026-09-22" / "audit.json"
    path.write_text(document.to_json(replace(night, judgements=(*night.judgements, again))))

    error = _refused(config, "run-ambiguous", "explain", JOB, "--because", "x")

    assert RUN in error.hint
    assert "aurora/48255/9" in error.hint
    assert "aurora/48255/9" not in _run(config, "explain", RUN, "--because", "x")


def test_the_list_shows_what_holds_what_ended_and_what_was_withdrawn(config: Path) -> None:
    assert _run(config, "explain", "--list") == "nothing is explained\n"
    for reason in ("first", "=HYPERLINK(\x1b[31m\u202e)"):
        _run(config, "explain", JOB, "--because", reason)

    assert _run(config, "explain", "--withdraw", 1) == "1 no longer holds, from the next audit on\n"

    first, second = _run(config, "explain", "--list").splitlines()
    assert "first [withdrawn by " in first
    assert second.endswith("=HYPERLINK(\\x1b[31m\\u202e)")


@pytest.mark.parametrize(("command", "number"), [("explain", 2), ("explain", 9), ("disposition", 1)])
def test_only_what_holds_and_is_of_the_kind_can_be_withdrawn(config: Path, command: str, number: int) -> None:
    _run(config, "explain", JOB, "--because", "x")
    _run(config, "disposition", JOB, "right")

    with pytest.raises(GuardError, match="words-unknown"):
        _run(config, command, "--withdraw", number)

    assert len(read_book(config.parent / "reports" / NAME).entries) == 2


def test_a_disposition_keeps_what_was_called(config: Path) -> None:
    shown = _run(config, "disposition", JOB, "right", "--note", "a co-tenant")
    _run(config, "disposition", JOB, "wrong")

    (said,) = read_book(config.parent / "reports" / NAME).words().dispositions
    assert (said.word, said.verdict, said.checks) == ("wrong", Verdict.ALERT, ("reverse-tunnel",))
    assert f"1: {RUN} of user4: ALERT (reverse-tunnel) was right; by " in shown
    assert shown.endswith(": a co-tenant\n")
    assert _run(config, "disposition", "--list").startswith(f"2: {RUN}")


def test_a_disposition_without_its_word_is_refused(config: Path) -> None:
    _refused(config, "run-missing", "disposition", JOB)
    _refused(config, "run-unknown", "disposition", "99", "right")


def _audited(tmp_path: Path, config: Path, *, words_up_to: int | None = None) -> Path:
    lake = tmp_path / "lake"
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, None, False, config, words_up_to=words_up_to)
    return tmp_path / "reports" / "2026-05-28" / "audit.json"


def test_the_next_audit_hears_of_it_and_the_same_again_gives_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{tmp_path / "reports"}"\n[audit]\nleast_gpu_h = 0.2\n')
    _lake(tmp_path, SHAPES["tunnel"])
    path = _audited(tmp_path, config)
    plain = path.read_bytes()

    _run(config, "explain", "7", "--because", "agreed")
    told = _audited(tmp_path, config).read_bytes()

    assert from_json(plain.decode()).judgements[0].asks
    (judgement,) = from_json(told.decode()).judgements
    assert (judgement.verdict, judgement.asks) == (Verdict.ALERT, False)
    assert "; 1 explained by the site" in capsys.readouterr().out
    assert _audited(tmp_path, config).read_bytes() == told
    assert _audited(tmp_path, config, words_up_to=0).read_bytes() == plain
    assert (path.parent / "history.json").is_file()


def test_words_that_others_could_have_written_explain_nothing_and_are_a_skip(tmp_path: Path) -> None:
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{tmp_path / "reports"}"\n')
    _lake(tmp_path, SHAPES["tunnel"])
    _audited(tmp_path, config)
    _run(config, "explain", "7", "--because", "agreed")
    (tmp_path / "reports" / NAME).chmod(0o666)

    done = from_json(_audited(tmp_path, config).read_text())

    assert done.judgements[0].asks
    (skip,) = [s for s in done.skips if s.subject == "site words"]
    assert skip.reason == "words-unsafe"
    assert str(tmp_path) not in skip.detail


def test_a_night_written_elsewhere_leaves_no_index(tmp_path: Path) -> None:
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{tmp_path / "reports"}"\n')
    lake = _lake(tmp_path, SHAPES["honest"])

    audit(SINCE, UNTIL, _sacct(tmp_path), lake, tmp_path / "elsewhere" / "audit.json", False, config)

    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["audit.json"]
    assert not (tmp_path / "reports").exists()


def _views(config: Path) -> list[dict[str, object]]:
    path = config.parent / "reports" / "views.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_who_looks_at_a_run_to_speak_of_it_is_logged(config: Path) -> None:
    user = builders.explained().run.user
    _run(config, "explain", "--list")
    assert _views(config) == []  # nothing was said of anybody

    _run(config, "explain", JOB, "--because", "a test of ours")
    _run(config, "disposition", JOB, "right")
    _run(config, "explain", "--list")
    _run(config, "disposition", "--list")

    views = _views(config)
    assert [v["command"] for v in views] == ["explain", "disposition"] * 2
    assert [v["nights"] for v in views] == ["2026-09-22", "2026-09-22", "", ""]
    assert all((v["n_runs"], v["users"]) == (1, [user]) for v in views)


def test_a_document_from_elsewhere_is_nobodys_business(config: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(document.to_json(builders.night()))

    _run(config, "explain", JOB, "--because", "a test of ours", "--audit", tmp_path / "mine.json")

    assert _views(config) == []
