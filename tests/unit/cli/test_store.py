"""Commands and the store: collecting never waits for it, a copy is never written, forgetting reaches it."""

import os
import sys
import time
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard.cli import app as cli
from slurm_guard.cli import store
from slurm_guard.cli.audit import audit
from slurm_guard.cli.collect import collect
from slurm_guard.cli.compact import compact
from slurm_guard.cli.reopened import open_nights
from slurm_guard.config import Config, load_config
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.store.mark import COPY, NAME, Role, write_role
from tests.buckets import MemoryBucket, silent
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.cli.test_reopened import BEGIN_AT, NIGHT
from tests.unit.lake.test_compact import put_segment
from tests.unit.lake.test_store_push import DAY, put, rows

cli._register()
TEXT = """
[lake]
path = "{0}/lake"
spools = ["{0}/spool"]
store = "s3://memory/lake"
[report]
path = "{0}/reports"
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> MemoryBucket:
    found = MemoryBucket()
    monkeypatch.setattr(store, "_open", lambda settings: found)
    return found


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "guard.toml"
    path.write_text(TEXT.format(tmp_path), "utf-8")
    (tmp_path / "spool").mkdir()
    return path


def _collect(config: Path) -> None:
    collect(config=config, spool=None, lake=None, asked=None, drop=None, ssh="ssh")


def _run(*argv: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, list(argv), catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_what_is_collected_is_sent(config: Path, tmp_path: Path, bucket: MemoryBucket) -> None:
    put(tmp_path / "lake", f"{DAY}/a.parquet", rows("a"))

    _collect(config)

    assert set(bucket.objects) == {NAME, f"{DAY}/a.parquet"}


def test_a_store_that_does_not_answer_is_said_and_stops_no_collection(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "lake", f"{DAY}/a.parquet", rows("a"))
    bucket.before = silent

    _collect(config)  # exit status 0: the night's audit follows

    said = capsys.readouterr()
    assert "0 files new" in said.out
    assert "not sent to s3://memory/lake: store-unreachable" in said.err


@pytest.mark.parametrize("broken", ["", "{}", '{"format": 1, "kind": "neither"}'])
def test_a_role_that_cannot_be_read_stops_no_collection(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    put(tmp_path / "lake", f"{DAY}/a.parquet", rows("a"))
    put(tmp_path / "lake", "store/role.json", broken.encode())

    _collect(config)

    assert "store-role" in capsys.readouterr().err
    assert bucket.objects == {}


def test_without_boto3_it_is_said_how_to_get_it(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    put(tmp_path / "lake", f"{DAY}/a.parquet", rows("a"))

    _collect(config)
    said = capsys.readouterr().err

    assert "store-library" in said
    assert "pip install 'slurm-guard[s3]'" in said


def test_without_a_store_nothing_of_it_is_loaded(config: Path, tmp_path: Path) -> None:
    text = config.read_text().replace('store = "s3://memory/lake"\n', "")
    config.write_text(text)

    _collect(config)

    assert not (tmp_path / "lake" / "store").exists()


def test_a_copy_is_not_collected_into_nor_put_together(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    write_role(tmp_path / "lake", Role(COPY, "0" * 32, "s3://memory/lake"))

    with pytest.raises(GuardError, match="lake-copy") as caught:
        _collect(config)
    assert caught.value.exit_code == EXIT_USAGE
    with pytest.raises(GuardError, match="lake-copy"):
        compact(config=config)
    assert bucket.objects == {}


def test_another_lake_than_the_configured_one_is_not_sent(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    settings = load_config(config)

    assert store.send(tmp_path / "other", settings)

    assert bucket.log == []


def test_an_audit_of_a_lake_that_is_named_does_not_ask_the_store(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    lake = _lake(tmp_path, SHAPES["honest"])
    write_role(lake, Role(COPY, "0" * 32, "s3://memory/lake"))
    bucket.before = silent

    audit(SINCE, UNTIL, _sacct(tmp_path), lake, tmp_path / "a.json", config=config)

    assert (tmp_path / "a.json").exists()
    with pytest.raises(GuardError, match="store-unreachable"):
        audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "b.json", config=config)


def test_the_machine_that_collects_audits_what_it_has_without_the_store(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    _lake(tmp_path, SHAPES["honest"])
    bucket.before = silent

    audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "a.json", config=config)

    assert (tmp_path / "a.json").exists()


def test_what_is_pruned_leaves_the_store(config: Path, tmp_path: Path, bucket: MemoryBucket) -> None:
    today = f"v1/windows/date={date.fromtimestamp(time.time())}"
    for n in range(30):
        put(tmp_path / "lake", f"v1/windows/date=2020-01-02/a{n}.parquet", rows("a"))
    put(tmp_path / "lake", f"{today}/b.parquet", rows("b"))
    _collect(config)

    code, _, _ = _run("prune", "--apply", "--config", str(config))

    assert (code, set(bucket.objects)) == (0, {NAME, f"{today}/b.parquet"})


def test_a_prune_that_did_not_reach_the_store_fails(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    put(tmp_path / "lake", "v1/windows/date=2020-01-02/a.parquet", rows("a"))
    bucket.before = silent

    code, _, err = _run("prune", "--apply", "--config", str(config))

    assert code == 1
    assert "not sent to s3://memory/lake" in err


def _forget(config: Path, *words: str) -> tuple[int, str, str]:
    return _run("forget", "--user", "1000", "--name", "ann", "--config", str(config), *words)


def test_what_is_forgotten_is_forgotten_in_the_store(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    _lake(tmp_path, SHAPES["tunnel-and-work"])
    _collect(config)
    before = dict(bucket.objects)

    code, said, _ = _forget(config)
    assert (code, bucket.objects) == (0, before)
    assert "store: s3://memory/lake gets the files that change" in said
    code, said, _ = _forget(config, "--apply")

    assert code == 0
    assert "store: s3://memory/lake has what the lake has" in said
    here = {
        str(p.relative_to(tmp_path / "lake")): p.read_bytes()
        for p in (tmp_path / "lake" / "v1").rglob("*.parquet")
    }
    assert {name: raw for name, raw in bucket.objects.items() if name != NAME} == here
    assert here != {name: raw for name, raw in before.items() if name != NAME}


def test_what_the_store_still_has_is_not_called_forgotten(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    _lake(tmp_path, SHAPES["tunnel-and-work"])
    _collect(config)
    bucket.before = silent

    code, said, err = _forget(config, "--apply")

    assert code == 1
    assert "still has rows that are gone here" in err
    assert "has what the lake has" not in said


def test_a_copy_says_where_to_forget(config: Path, tmp_path: Path, bucket: MemoryBucket) -> None:
    _lake(tmp_path, SHAPES["tunnel-and-work"])
    write_role(tmp_path / "lake", Role(COPY, "0" * 32, "s3://memory/lake"))

    code, said, _ = _forget(config, "--apply")

    assert code == 0
    assert "store: another machine's to change: forget there" in said
    assert bucket.log == []


def test_a_round_that_is_not_whole_ends_with_a_failure(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(40):
        put(tmp_path / "lake", f"{DAY}/a{n}.parquet", rows("a"))
    store.sync(config=config)
    for path in (tmp_path / "lake" / DAY).iterdir():
        path.unlink()

    with pytest.raises(typer.Exit) as caught:
        store.sync(config=config)

    assert caught.value.exit_code == 1
    assert "keeps 40 files of v1/windows that are not here" in capsys.readouterr().err
    store.sync(shrink=True, config=config)
    assert set(bucket.objects) == {NAME}


def test_a_store_that_is_not_named_is_said(tmp_path: Path) -> None:
    (tmp_path / "guard.toml").write_text("")

    with pytest.raises(GuardError, match="store-none"):
        store.sync(config=tmp_path / "guard.toml")


@pytest.mark.parametrize(
    "line",
    [
        'store = "/var/lib/lake"',
        'store = "s3://"',
        'store = "s3://B/x"',
        'store = "s3://key:secret@bucket/x"',
        'store = "s3://bucket/../x"',
        'store = "s3://bucket/a//b"',
        'store = "s3://bucket/a b"',
        'store = "gs://bucket/x"',
        'store_endpoint = "s3.example.org"',
        'store_endpoint = "https://key:secret@s3.example.org"',
        'store_endpoint = "https://s3.example.org/?x"',
    ],
)
def test_an_address_that_cannot_be_one_is_refused_when_the_configuration_is_read(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "guard.toml").write_text(f"[lake]\n{line}\n")

    with pytest.raises(GuardError, match=r"config-value.*lake\.store"):
        load_config(tmp_path / "guard.toml")


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://my-bucket.x/a/b_c/d=e", "s3://b-1/a.b"])
def test_an_address_that_can_be_one_is_taken(tmp_path: Path, url: str) -> None:
    (tmp_path / "guard.toml").write_text(
        f'[lake]\nstore = "{url}"\nstore_endpoint = "http://127.0.0.1:9000"\n'
    )

    assert load_config(tmp_path / "guard.toml").lake.store == url


def _copies(config: Path, tmp_path: Path) -> tuple[Path, Config]:
    """Another machine's configuration, with a copy from which the night of the spool's rows was audited."""
    put_segment(tmp_path / "spool", "n1", 0)
    _collect(config)
    path = tmp_path / "copy.toml"
    text = config.read_text("utf-8").replace(f"{tmp_path}/lake", f"{tmp_path}/copy")
    path.write_text(text, "utf-8")
    store.sync(config=path)
    document = tmp_path / "reports" / NIGHT / "audit.json"
    document.parent.mkdir(parents=True)
    document.write_text("{}", "utf-8")
    os.utime(document, (document.stat().st_atime, document.stat().st_mtime - 60))
    return path, load_config(path)


def test_rows_that_come_into_a_copy_open_nights_that_were_audited_there(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    path, settings = _copies(config, tmp_path)
    store.sync(config=path)
    n_before = len(open_nights(settings, tmp_path / "copy"))
    put_segment(tmp_path / "spool", "n1", 1)
    _collect(config)
    (tmp_path / "lake" / "reopened.jsonl").unlink()  # of the machine that collects
    capsys.readouterr()

    store.sync(config=path)

    assert f"{NIGHT} was audited before this came: 1 runs on 1 nodes; `slurm-guard audit --reo" in (
        capsys.readouterr().out
    )
    assert n_before == 0
    assert open_nights(settings, tmp_path / "copy") == [NIGHT]


def test_a_copy_whose_next_audit_fetches_late_rows_says_what_it_has_in(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    _, settings = _copies(config, tmp_path)
    put_segment(tmp_path / "spool", "n1", 1)
    _collect(config)
    (tmp_path / "lake" / "reopened.jsonl").unlink()
    capsys.readouterr()

    store.brought((BEGIN_AT, BEGIN_AT + 86_400.0), settings)

    assert f"{NIGHT} was audited before this came: 1 runs on 1 nodes; this audit has it in" in (
        capsys.readouterr().out
    )
    assert open_nights(settings, tmp_path / "copy") == [NIGHT]  # until that is written


def test_late_rows_that_came_into_a_copy_before_an_error_open_their_night(
    config: Path, tmp_path: Path, bucket: MemoryBucket
) -> None:
    path, settings = _copies(config, tmp_path)
    put_segment(tmp_path / "spool", "n1", 1)
    _collect(config)
    (tmp_path / "lake" / "reopened.jsonl").unlink()

    def silent_at(verb: str, name: str) -> None:
        if verb == "get" and "/windows/" in name:
            silent(verb, name)

    bucket.before = silent_at
    with pytest.raises(GuardError, match="store-unreachable"):
        store.sync(config=path)

    assert open_nights(settings, tmp_path / "copy") == [NIGHT]


def test_late_rows_that_came_into_a_copy_before_it_was_killed_open_their_night(
    config: Path, tmp_path: Path, bucket: MemoryBucket, capsys: pytest.CaptureFixture[str]
) -> None:
    path, settings = _copies(config, tmp_path)
    put_segment(tmp_path / "spool", "n1", 1)
    _collect(config)
    (tmp_path / "lake" / "reopened.jsonl").unlink()

    def stopped_at(verb: str, name: str) -> None:
        if verb == "get" and "/windows/" in name:
            raise KeyboardInterrupt

    bucket.before = stopped_at
    with pytest.raises(KeyboardInterrupt):
        store.sync(config=path)
    n_open = len(open_nights(settings, tmp_path / "copy"))
    bucket.before = lambda verb, name: None
    store.sync(config=path, dry_run=True)
    n_still = len(open_nights(settings, tmp_path / "copy"))
    capsys.readouterr()
    store.sync(config=path)

    assert (n_open, n_still) == (0, 0)
    assert f"{NIGHT} was audited before this came: 1 runs on 1 nodes" in capsys.readouterr().out
    assert open_nights(settings, tmp_path / "copy") == [NIGHT]
