"""The demo: every stage as its own command does it, and nothing of anybody else's touched."""

import shlex
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard.cli import demo, lake, progress, report
from slurm_guard.config import load_config
from slurm_guard.errors import GuardError
from slurm_guard.model import Audit, Family, Verdict
from slurm_guard.simulate.night import Night, simulate
from tests.unit.audit.test_see import commands


def test_a_folder_that_holds_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(GuardError) as refused:
        demo._make_room(tmp_path)

    assert refused.value.slug == "demo-out"
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_of_an_earlier_demo_is_emptied_but_no_link_in_it_is_followed(tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    demo._make_room(out)
    (out / "spool").mkdir()
    (out / "spool" / "old").touch()
    (out / "link").symlink_to(elsewhere)

    demo._make_room(out)

    assert [path.name for path in out.iterdir()] == [demo.MARK]
    assert (elsewhere / "kept").exists()


def test_only_a_folder_that_a_demo_made_for_files_elsewhere_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("slurm-guard-demo-x1", "thesis"):
        (tmp_path / name).mkdir()
    out = tmp_path / "out"
    for named in ("thesis", "slurm-guard-demo-x1", "slurm-guard-demo-x1/../thesis"):
        demo._make_room(out)
        (out / demo.MARK).write_text(str(tmp_path / named))

    demo._make_room(out)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "thesis"]


def test_nothing_simulated_goes_to_the_sites_own_folders(tmp_path: Path) -> None:
    given = tmp_path / "site.toml"
    given.write_text('[report]\nown = "/srv/own"\nviews = "/srv/views.jsonl"\nsite = "Aurora"\n')
    out = tmp_path / "out"
    out.mkdir()
    night = Night(out, out / "spool", out / "sacct.txt", out / "truth.json", out, 0.0, 1.0)

    made = load_config(demo._write_config(night, given))

    report = made.report
    assert (report.path, report.own, report.views) == (str(out / "reports"), "", "")
    assert (report.site, made.lake.spools) == ("Aurora", [str(out / "spool")])


def _see_everything(done: Audit, config: Path) -> int:
    """Runs what the night's evidence names to see it oneself; how many showed something."""
    app = typer.Typer()
    lake.add(app)
    progress.add(app)
    n_seen = 0
    for e in (e for j in done.judgements for f in j.findings for e in f.evidence):
        for k, words in enumerate(commands(e.see)):
            assert words[0] in ("slurm-guard", "sacct", "ssh"), e.see
            if words[0] != "slurm-guard":
                continue  # asks a cluster
            ran = CliRunner().invoke(app, [*words[1:], "--config", str(config)])
            # the simulated users' homes are not on this machine: their logs cannot be read anew
            assert ran.exit_code == (words[1] == "progress"), (words, ran.output, ran.exception)
            empty = ran.stdout.startswith("no row of ") or len(ran.stdout.splitlines()) < 2
            assert k > 0 or not empty, (words, ran.stdout)
            n_seen += not empty
    return n_seen


def _look_further(done: Audit, config: Path) -> list[str]:
    """Runs what the demo names at its end; what was shown, with nothing on stderr."""
    app = typer.Typer()
    lake.add(app)
    report.add(app)
    shown = []
    for line in demo._look(config, done).splitlines():
        ran = CliRunner().invoke(app, shlex.split(line)[1:])
        assert (ran.exit_code, ran.stderr) == (0, ""), (line, ran.output, ran.exception)
        shown.append(ran.stdout)
    return shown


@pytest.mark.slow
@pytest.mark.patient
def test_the_stages_judge_a_night_without_the_truth_being_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    demo._make_room(out)
    night = simulate(out, 2)
    hidden = night.truth.rename(tmp_path / "away.json")

    document = demo._run_stages(night, demo._write_config(night, None))
    page, done = document.with_name("report.html"), demo._read_audit(document)
    hidden.rename(night.truth)
    demo._print_table(done, night)
    n_seen = _see_everything(done, out / "guard.toml")
    shown = _look_further(done, out / "guard.toml")
    if night.home != out:
        shutil.rmtree(night.home)

    table = capsys.readouterr().out
    assert len(done.judgements) == 18
    assert {judged.verdict for judged in done.judgements} == set(Verdict)
    for judged in done.judgements:
        assert sum(judged.ledger_gpu_ms.values()) == judged.run.allocated_gpu_ms
        assert judged.run.name in table
    reached = next(judged for judged in done.judgements if judged.run.name == "rl-agent")
    assert "reverse tunnel in use" in reached.sentence
    assert "not explained by logged progress" in reached.sentence
    for judged in done.judgements:  # loggers, storage, ranks and a notebook speak too, and are quiet
        if judged is not reached:
            assert [f.check for f in judged.findings if f.family is Family.F] == []
    assert n_seen > 20
    assert len(shown) == 3
    assert all(judged.run.job in shown[0] for judged in done.judgements)
    assert page.read_text().lower().startswith("<!doctype html>")
    assert "D02 second process" not in page.read_text()
