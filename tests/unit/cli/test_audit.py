"""`slurm-guard audit`: one document, one line, and the exit codes."""

import errno
import os
import shutil
from collections.abc import Callable
from datetime import timezone
from pathlib import Path

import polars as pl
import pytest
import typer

from slurm_guard.cli.audit import accounting_of, audit, parse_instant, span, summary
from slurm_guard.config import Config, SlurmConfig
from slurm_guard.document import from_json
from slurm_guard.errors import EXIT_FINDINGS, EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Verdict
from slurm_guard.slurm.pyslurm_db import PyslurmDb
from slurm_guard.slurm.rows import format_rows
from slurm_guard.slurm.sacct import Sacct, SacctFile
from tests.builders import AT, World, build, run_of
from tests.shapes import SHAPES
from tests.spools import tree

ROW = {
    "JobIDRaw": "7", "JobID": "7", "Cluster": "c", "State": "COMPLETED", "Submit": str(int(AT) - 60),
    "Start": str(int(AT)), "End": str(int(AT) + 10_800), "ElapsedRaw": "10800", "Suspended": "00:00:00",
    "NNodes": "1", "NodeList": "n1", "User": "ann", "UID": "1000", "Account": "lab", "Partition": "gpu",
    "QOS": "normal", "JobName": "train", "WorkDir": "/home/ann", "StdOut": "", "Comment": "", "Extra": "",
}  # fmt: skip
GPU = "billing=1,cpu=1,gres/gpu=1,node=1"
SINCE, UNTIL = str(AT - 60), str(AT + 20_000)


def _sacct(tmp_path: Path, tres: str = GPU) -> Path:
    path = tmp_path / "sacct.txt"
    path.write_text(format_rows([{**ROW, "AllocTRES": tres}]), "utf-8")
    return path


def _lake(tmp_path: Path, world: World) -> Path:
    for name, frame in build(world).frames.items():
        folder = tmp_path / "lake" / "v1" / name / "date=2026-05-28"
        folder.mkdir(parents=True)
        if frame.height:
            frame.write_parquet(folder / "a.parquet")
    return tmp_path / "lake"


def _audit_into(out: Path, tmp_path: Path) -> None:
    audit(SINCE, UNTIL, _sacct(tmp_path), _lake(tmp_path, SHAPES["honest"]), out, False, None)


def _audit(tmp_path: Path, world: World, exit_code: bool = False) -> Path:
    out = tmp_path / "night" / "audit.json"
    lake = _lake(tmp_path, world)
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, out, exit_code, None)
    return out


def test_a_night_becomes_one_document_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = _audit(tmp_path, SHAPES["honest"])

    document = from_json(out.read_text(encoding="utf-8"))

    assert [j.run.id for j in document.judgements] == [run_of(SHAPES["honest"]).id]
    assert capsys.readouterr().out == f"{summary(document)}: {out}\n"


def test_the_same_night_again_gives_the_same_bytes(tmp_path: Path) -> None:
    first = _audit(tmp_path / "a", SHAPES["co-tenant"]).read_bytes()

    assert _audit(tmp_path / "b", SHAPES["co-tenant"]).read_bytes() == first


def test_the_ledger_by_minute_is_written_beside_the_document(tmp_path: Path) -> None:
    out, ledger = tmp_path / "night" / "audit.json", tmp_path / "minutes.parquet"
    lake = _lake(tmp_path, SHAPES["honest"])

    audit(SINCE, UNTIL, _sacct(tmp_path), lake, out, False, None, ledger=ledger)

    (judgement,) = from_json(out.read_text(encoding="utf-8")).judgements
    assert pl.read_parquet(ledger)["progress_gpu_ms"].sum() == judgement.ledger_gpu_ms["progress"]


def test_a_ledger_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lake = _lake(tmp_path, SHAPES["honest"])
    into = (tmp_path / "audit.json", tmp_path / "file" / "minutes.parquet")

    with pytest.raises(GuardError) as caught:
        audit(SINCE, UNTIL, _sacct(tmp_path), lake, into[0], False, None, ledger=into[1])

    assert caught.value.slug == "output-unwritable"


def test_findings_change_the_exit_code_only_when_asked(tmp_path: Path) -> None:
    _audit(tmp_path / "a", SHAPES["co-tenant"])

    with pytest.raises(typer.Exit) as caught:
        _audit(tmp_path / "b", SHAPES["co-tenant"], exit_code=True)

    assert caught.value.exit_code == EXIT_FINDINGS


def test_a_clear_night_exits_zero_even_when_asked(tmp_path: Path) -> None:
    _audit(tmp_path, SHAPES["honest"], exit_code=True)


@pytest.mark.parametrize("tres", ["billing=1,cpu=1,node=1", None], ids=["no GPUs", "no rows"])
def test_a_window_without_gpu_runs_has_its_document_and_exits_three(tmp_path: Path, tres: str | None) -> None:
    sacct = _sacct(tmp_path, tres or GPU)
    if tres is None:
        sacct.write_text(sacct.read_text("utf-8").splitlines(keepends=True)[0], "utf-8")
    lake, out = _lake(tmp_path, SHAPES["co-tenant"]), tmp_path / "audit.json"

    with pytest.raises(GuardError, match="nothing-to-audit") as caught:
        audit(SINCE, UNTIL, sacct, lake, out, False, None)

    done = from_json(out.read_text("utf-8"), str(out))
    assert caught.value.exit_code == EXIT_NOTHING_TO_AUDIT
    assert done.judgements == ()
    assert done.outside  # work on GPUs that nobody was given is what such a night may hide
    assert done.nodes


def test_a_lake_that_does_not_exist_is_an_error_and_no_quiet_night(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    for lake, said in ((tmp_path / "no-lake", "does not exist"), (tmp_path / "empty", "holds nothing")):
        with pytest.raises(GuardError, match="lake-missing") as caught:
            audit(SINCE, UNTIL, _sacct(tmp_path), lake, tmp_path / "audit.json", False, None)

        assert caught.value.exit_code == EXIT_USAGE
        assert str(lake) in caught.value.sentence
        assert said in caught.value.sentence
    assert not (tmp_path / "audit.json").exists()


def test_a_lake_without_rows_leaves_everything_unobserved(tmp_path: Path) -> None:
    out = tmp_path / "audit.json"
    (tmp_path / "lake" / "v1").mkdir(parents=True)

    audit(SINCE, UNTIL, _sacct(tmp_path), tmp_path / "lake", out, False, None)

    judgement = from_json(out.read_text(encoding="utf-8")).judgements[0]
    assert judgement.verdict is Verdict.NOT_AUDITABLE
    assert judgement.ledger_gpu_ms["unobserved"] == 10_800_000


def test_the_configuration_names_who_is_asked_for_runs() -> None:
    file = Path("sacct.txt")

    assert isinstance(accounting_of(SlurmConfig(), None), Sacct)
    assert isinstance(accounting_of(SlurmConfig(accounting="pyslurm"), None), PyslurmDb)
    assert isinstance(accounting_of(SlurmConfig(accounting="pyslurm"), file), SacctFile)


def test_files_that_could_not_be_read_are_one_line_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, out = _lake(tmp_path, SHAPES["honest"]), tmp_path / "audit.json"
    windows = lake / "v1" / "windows" / "date=2026-05-28"
    shutil.copy(windows / "a.parquet", lake / "v1" / "events" / "date=2026-05-28" / "x.parquet")
    (windows / "y.parquet").mkdir()

    audit(SINCE, UNTIL, _sacct(tmp_path), lake, out, False, None)

    said = capsys.readouterr()
    assert said.err == (
        "slurm-guard: 2 files could not be read, and what is there is missing in this night: "
        "events/date=2026-05-28/x.parquet: not a file of events: it lacks columns (at, name, detail); "
        "it has those of windows; 1 more among the document's skips\n"
    )
    skips = from_json(out.read_text("utf-8")).skips
    assert [skip.reason for skip in skips].count("lake-file-unreadable") == 2


def _of_night(tmp_path: Path, world: World) -> Path:
    """The night among the reports; audited again with another lake it is another one."""
    config = tmp_path / "guard.toml"
    config.write_text(f'[report]\npath = "{tmp_path / "reports"}"\n', "utf-8")
    lake = _lake(tmp_path, world)
    try:
        audit(SINCE, UNTIL, _sacct(tmp_path), lake, None, False, config)
    finally:
        shutil.rmtree(lake)
    return next((tmp_path / "reports").glob("*-*-*"))


@pytest.mark.parametrize("failing", ["report.html", "history.json"])
def test_a_page_that_finds_no_room_leaves_no_older_one_beside_the_newer_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    night = _of_night(tmp_path, SHAPES["honest"])
    before = (night / "audit.json").read_bytes()
    monkeypatch.setattr(os, "open", _full(os.open, failing))

    with pytest.raises(GuardError, match="cannot be written: Disk quota") as caught:
        _of_night(tmp_path, SHAPES["co-tenant"])

    assert (night / "audit.json").read_bytes() != before
    assert not (night / "report.html").exists()
    assert not (night / failing).exists()
    assert f"{failing} cannot be written" in caught.value.sentence
    assert "audit.json is this audit's, and nothing older lies beside it" in caught.value.sentence
    assert caught.value.hint == "make room there, and audit this night again"


def _full(real: Callable[..., int], name: str) -> Callable[..., int]:
    def opened(path: object, *more: object, **named: object) -> int:
        if f".{name}." in str(path):
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(path))
        return real(path, *more, **named)

    return opened


def test_a_document_that_finds_no_room_leaves_the_night_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = _of_night(tmp_path, SHAPES["honest"])
    before = tree(night)
    monkeypatch.setattr(os, "open", _full(os.open, "audit.json"))

    with pytest.raises(GuardError, match=r"audit\.json cannot be written") as caught:
        _of_night(tmp_path, SHAPES["co-tenant"])

    assert tree(night) == before
    assert caught.value.hint == "make room there"


def test_a_stop_before_the_document_has_its_name_leaves_no_page_that_is_not_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = _of_night(tmp_path, SHAPES["honest"])
    before = (night / "audit.json").read_bytes()
    monkeypatch.setattr(Path, "replace", _stop)

    with pytest.raises(KeyboardInterrupt):
        _of_night(tmp_path, SHAPES["co-tenant"])

    assert (night / "audit.json").read_bytes() == before
    assert not (night / "report.html").exists()


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_trial_over_a_nights_document_takes_its_page_away_and_no_other_page(tmp_path: Path) -> None:
    night = _of_night(tmp_path, SHAPES["honest"])
    (tmp_path / "report.html").write_text("of somebody's own")

    lake, config = _lake(tmp_path, SHAPES["honest"]), tmp_path / "guard.toml"

    audit(SINCE, UNTIL, _sacct(tmp_path), lake, tmp_path / "audit.json", False, config)
    assert (night / "report.html").exists()
    audit(SINCE, UNTIL, _sacct(tmp_path), lake, night / "audit.json", False, config)

    assert not (night / "report.html").exists()
    assert (tmp_path / "report.html").exists()


def test_a_document_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(GuardError, match="output-unwritable"):
        _audit_into(tmp_path / "file" / "below" / "audit.json", tmp_path)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1790000000", 1_790_000_000.0),
        ("2026-09-21T14:13:20", 1_790_000_000.0),
        ("2026-09-21", 1_789_948_800.0),
    ],
)
def test_times_are_iso_or_epoch(text: str, at: float) -> None:
    assert parse_instant(text, timezone.utc) == at


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "2026-13-01", "inf"])
def test_what_is_no_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(GuardError, match="time-syntax") as caught:
        parse_instant(text, timezone.utc)

    assert caught.value.exit_code == EXIT_USAGE


def test_an_end_before_the_start_is_a_usage_error() -> None:
    with pytest.raises(GuardError, match="time-order"):
        span("1790000000", "1780000000", Config())


def test_the_default_is_one_whole_day_that_is_over() -> None:
    since, until = span(None, None, Config())

    assert until - since == 86_400
    assert since % 86_400 == 0
