"""The lake in an object store over HTTP: sent, fetched, audited to the same bytes, and every trouble said."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm_guard.cli.audit import audit
from slurm_guard.cli.compact import compact
from slurm_guard.cli.store import send, sync
from slurm_guard.config import load_config
from slurm_guard.errors import GuardError
from slurm_guard.lake.store import bucket as module
from slurm_guard.lake.store.bucket import Bucket
from slurm_guard.lake.store.pull import Terms, every, pull
from slurm_guard.lake.store.push import push
from tests.objectstore import BUCKET, KEYS, Trouble, answering, before, call, free_port, serving
from tests.shapes import SHAPES
from tests.unit.cli.test_audit import SINCE, UNTIL, _lake, _sacct
from tests.unit.lake.test_store_push import DAY, put, put_together, rows

boto3 = pytest.importorskip(
    "boto3", reason="NOT TESTED: boto3 is not installed (pip install 'slurm-guard[s3]')"
)
pytest.importorskip(
    "moto.server", reason="NOT TESTED: moto's S3 server is not installed (requirements/dev.txt)"
)

ALL = Terms(every, wait_s=0.0)
_prefixes = itertools.count()
_SENDER = """
import sys
from pathlib import Path
from slurm_guard.lake.store.bucket import Bucket
from slurm_guard.lake.store.push import push
push(Path(sys.argv[1]), Bucket(*sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(key, raising=False)
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(module, "TRIES", 3)  # as five, and sooner


@pytest.fixture
def url() -> str:
    return f"s3://{BUCKET}/c{next(_prefixes)}"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for n in range(6):
        put(tmp_path / "lake", f"{DAY}/a{n}.parquet", rows(f"a{n}", "x" * 50_000))
    put(tmp_path / "lake", "v1/tickets/date=2026-01-02/t.parquet", rows("ticket"))
    return tmp_path / "lake"


@pytest.fixture
def trouble(server: str) -> Iterator[tuple[str, Trouble]]:
    with before(server) as found:
        yield found


def content(lake: Path) -> dict[str, bytes]:
    return {str(p.relative_to(lake)): p.read_bytes() for p in (lake / "v1").rglob("*") if p.is_file()}


def configured(folder: Path, lake: Path, url: str, endpoint: str) -> Path:
    path = folder / f"{lake.name}.toml"
    path.write_text(
        f'[lake]\npath = "{lake}"\nstore = "{url}"\nstore_endpoint = "{endpoint}"\n'
        f'[report]\npath = "{folder / "reports"}"\n'
    )
    return path


def once(
    status: "int | tuple[str, int]", n: int, method: str
) -> Callable[[str, str], "int | tuple[str, int] | None"]:
    """The first n requests of that method meet with this."""
    left = itertools.count()
    return lambda verb, path: status if verb == method and ".parquet" in path and next(left) < n else None


def test_what_was_sent_is_fetched_and_a_second_time_nothing_is(
    lake: Path, tmp_path: Path, server: str, url: str
) -> None:
    bucket = Bucket(url, server)

    assert push(lake, bucket).n_sent == 7
    assert pull(tmp_path / "copy", bucket, ALL).n_fetched == 7

    assert content(tmp_path / "copy") == content(lake)
    assert (push(lake, bucket).n_sent, pull(tmp_path / "copy", bucket, ALL).n_fetched) == (0, 0)


def test_an_audit_elsewhere_gives_the_same_bytes_and_after_a_compaction_too(
    tmp_path: Path, server: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = _lake(tmp_path, SHAPES["honest"])
    for n in range(20):  # as many files as are put together
        part = next((lake / "v1" / "windows").rglob("a.parquet"))
        part.with_name(f"b{n:02}.parquet").write_bytes(part.read_bytes())
    copy = tmp_path / "copy"
    here, there = configured(tmp_path, lake, url, server), configured(tmp_path, copy, url, server)

    def night(config: Path, out: str) -> bytes:
        audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / out, config=config)
        return (tmp_path / out).read_bytes()

    first = night(here, "1.json")
    assert send(lake, load_config(here))
    assert night(there, "2.json") == first
    compact(config=here)
    assert len(list((lake / "v1" / "windows").rglob("c-*.parquet"))) == 1
    assert night(there, "3.json") == first
    assert list((copy / "v1" / "windows").rglob("c-*.parquet"))
    assert "files fetched" in capsys.readouterr().out


def test_an_audit_of_a_store_that_was_not_sent_to_since_says_so(
    tmp_path: Path, server: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = configured(tmp_path, _lake(tmp_path, SHAPES["honest"]), url, server)
    there = configured(tmp_path, tmp_path / "copy", url, server)
    send(tmp_path / "lake", load_config(here))
    audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "1.json", config=there)
    before_ = capsys.readouterr().err
    bucket = Bucket(url, server)
    mark = json.loads(bucket.get_bytes("store.json", 10_000) or b"")
    bucket.put_bytes("store.json", json.dumps({**mark, "at": 1_779_912_000.0}).encode())

    audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "2.json", config=there)

    assert "before the end" not in before_
    assert "2026-05-27 20:00 UTC; that was before the end" in capsys.readouterr().err


def test_only_days_of_the_night_are_fetched(tmp_path: Path, server: str, url: str) -> None:
    lake = _lake(tmp_path, SHAPES["honest"])
    other = lake / "v1" / "windows" / "date=2026-03-01" / "a.parquet"
    put(lake, str(other.relative_to(lake)))
    here = configured(tmp_path, lake, url, server)
    send(lake, load_config(here))

    audit(
        SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "a.json",
        config=configured(tmp_path, tmp_path / "copy", url, server),
    )  # fmt: skip

    assert {p.name for p in (tmp_path / "copy" / "v1" / "windows").iterdir()} == {"date=2026-05-28"}


@pytest.mark.parametrize("fault", [503, 500, 429, ("cut", 20_000)])
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_a_server_in_trouble_for_a_moment_is_asked_again(
    lake: Path,
    tmp_path: Path,
    trouble: tuple[str, Trouble],
    url: str,
    method: str,
    fault: "int | tuple[str, int]",
) -> None:
    bucket = Bucket(url, trouble[0])
    trouble[1].fault = once(fault, 2, method)

    assert push(lake, bucket).is_whole
    pull(tmp_path / "copy", bucket, ALL)

    assert content(tmp_path / "copy") == content(lake)


def test_a_server_that_stays_in_trouble_is_said_and_caught_up_with(
    lake: Path, tmp_path: Path, trouble: tuple[str, Trouble], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_config(configured(tmp_path, lake, url, trouble[0]))
    trouble[1].fault = lambda method, path: 503 if method == "PUT" and "a3" in path else None
    before_ = content(lake)

    assert not send(lake, settings)

    said = capsys.readouterr().err
    assert "store-unreachable" in said
    assert "SlowDown" in said
    assert content(lake) == before_
    trouble[1].fault = lambda method, path: None
    assert send(lake, settings)
    pull(tmp_path / "copy", Bucket(url, trouble[0]), ALL)
    assert content(tmp_path / "copy") == before_


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        ("", "KeyError"),  # an empty listing, and then a PUT without an ETag
        ("<CommonPrefixes></CommonPrefixes>", "KeyError"),
        ("<MaxKeys>many</MaxKeys>", "ValueError"),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>{n}</NextContinuationToken>", "ValueError"),
        (None, "404"),
    ],
)
def test_a_server_that_is_no_s3_server_is_said_and_not_asked_for_ever(
    lake: Path, url: str, listing: str | None, said: str
) -> None:
    with answering(listing) as address, pytest.raises(GuardError, match=said) as refused:
        push(lake, Bucket(url, address))

    assert refused.value.slug == "store-refused"
    assert "store_endpoint" in refused.value.hint


def test_a_server_that_is_not_there_stops_no_collection(
    lake: Path, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, lake, url, f"http://127.0.0.1:{free_port()}")
    begin = time.monotonic()

    assert not send(lake, load_config(config))

    assert time.monotonic() - begin < 60
    assert "did not answer" in capsys.readouterr().err


def test_an_audit_without_its_store_publishes_nothing(tmp_path: Path, url: str) -> None:
    config = configured(tmp_path, tmp_path / "copy", url, f"http://127.0.0.1:{free_port()}")

    with pytest.raises(GuardError, match="store-unreachable"):
        audit(SINCE, UNTIL, _sacct(tmp_path), None, tmp_path / "a.json", config=config)

    assert not (tmp_path / "a.json").exists()


def test_wrong_credentials_are_said_without_naming_them(lake: Path, server: str, url: str) -> None:
    call(server, "POST", "/moto-api/reset-auth", b"0")
    try:
        with pytest.raises(GuardError, match="store-login") as caught:
            push(lake, Bucket(url, server))
    finally:
        call(server, "POST", "/moto-api/reset-auth", b"inf")

    assert "InvalidAccessKeyId" in caught.value.sentence
    assert not any(secret in str(caught.value) + caught.value.hint for secret in list(KEYS.values())[:2])


def test_no_credentials_at_all_are_said(
    lake: Path, server: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(GuardError, match=r"store-login.*NoCredentials"):
        push(lake, Bucket(url, server))


def test_a_bucket_that_is_missing_is_said_and_not_made(lake: Path, server: str) -> None:
    with pytest.raises(GuardError, match="store-bucket"):
        push(lake, Bucket("s3://nobody-made-this/x", server))

    assert call(server, "GET", "/nobody-made-this")[0] == 404


def test_hostile_names_lead_nowhere(lake: Path, tmp_path: Path, server: str, url: str) -> None:
    bucket = Bucket(url, server)
    push(lake, bucket)
    client = boto3.client("s3", endpoint_url=server)
    prefix = url.rpartition("/")[2]
    for name in (
        "../../../outside.parquet",
        ".x.parquet",
        "a%2f..%2fb.parquet",
        "a b.parquet",
        "c/d.parquet",
        "é.parquet",
    ):
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{DAY}/{name}", Body=rows("evil"))
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/{DAY}/fine.parquet", Body=b"#!/bin/sh\n")

    with pytest.raises(GuardError, match=r"store-damaged.*fine\.parquet"):
        pull(tmp_path / "deep" / "copy", bucket, ALL)
    client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{DAY}/fine.parquet")
    done = pull(tmp_path / "deep" / "copy", bucket, ALL)

    assert done.n_foreign == 6
    assert content(tmp_path / "deep" / "copy") == content(lake)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "lake"]


def test_what_was_changed_on_the_way_or_there_is_not_taken(
    lake: Path, tmp_path: Path, server: str, url: str
) -> None:
    bucket = Bucket(url, server)
    push(lake, bucket)
    client = boto3.client("s3", endpoint_url=server)
    key = f"{url.rpartition('/')[2]}/{DAY}/a1.parquet"
    client.put_object(Bucket=BUCKET, Key=key, Body=rows("other"), Metadata={"sha256": "0" * 64})

    with pytest.raises(GuardError, match=r"store-damaged.*a1\.parquet"):
        pull(tmp_path / "copy", bucket, ALL)

    assert push(lake, bucket).n_sent == 1  # it is not what was sent: it goes again
    pull(tmp_path / "copy", bucket, ALL)
    assert content(tmp_path / "copy") == content(lake)


def test_a_sender_that_is_killed_anywhere_loses_nothing(
    lake: Path, tmp_path: Path, trouble: tuple[str, Trouble], url: str
) -> None:
    """SIGKILL while a request is under way, each time a later one; then one that is let end."""
    bucket = Bucket(url, trouble[0])
    for n in range(48):  # so many are left each time: some more are under way whenever one is killed
        put(lake, f"{DAY}/b{n}.parquet", rows(f"b{n}"))
    put_together(lake, "1", ["a0", "a1"])
    for n_before in (1, 3, 6):
        left = itertools.count()
        killed: list[subprocess.Popen[bytes]] = []

        def kill(method: str, path: str) -> None:
            if method in ("PUT", "DELETE") and next(left) == n_before and killed:  # noqa: B023
                killed[0].send_signal(signal.SIGKILL)  # noqa: B023
                killed[0].wait()  # noqa: B023

        trouble[1].fault = kill
        killed.append(subprocess.Popen([sys.executable, "-c", _SENDER, str(lake), url, trouble[0]]))
        assert killed[0].wait(60) == -signal.SIGKILL
    trouble[1].fault = lambda method, path: None

    assert push(lake, bucket).is_whole
    pull(tmp_path / "copy", bucket, ALL)

    replaced = ("a0.parquet", "a1.parquet")
    counted = {name: raw for name, raw in content(lake).items() if not name.endswith(replaced)}
    assert content(tmp_path / "copy") == counted


def test_sync_says_what_it_would_do_and_does_it(
    lake: Path, tmp_path: Path, server: str, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = configured(tmp_path, lake, url, server)
    there = configured(tmp_path, tmp_path / "copy", url, server)

    sync(dry_run=True, config=here)
    said = capsys.readouterr().out
    assert f"{lake} is the lake; nothing was sent yet" in said
    assert f"{url}: 7 files would be sent" in said
    sync(config=here)
    assert f"{url}: 7 files sent" in capsys.readouterr().out
    sync(dry_run=True, config=there)
    assert "7 files would be fetched" in capsys.readouterr().out
    assert not (tmp_path / "copy").exists()
    sync(config=there)
    said = capsys.readouterr().out
    assert f"{url}: 7 files fetched" in said
    assert "copy is a copy; its last round is" in said
    sync(take_over=True, config=there)
    assert "this machine collects now" in capsys.readouterr().out
    with pytest.raises(GuardError, match="store-taken"):
        sync(config=here)
