"""Files over ssh and through drop folders: whole or not at all, and only from the node that was asked."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.lake import drop as dropping
from slurm_guard.lake.drop import Address, parse_address
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.ship import finished, push
from tests.faults.shipping import ROOT, SHIP, TICKET, ask, fill, shipped, ssh_serving, ssh_that
from tests.spools import NODE, put, segment, tree


def test_a_pull_brings_what_is_finished_and_the_next_one_only_what_is_new(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    first = ask(tmp_path, ssh_serving(tmp_path, spool))
    assert tree(tmp_path / "drop") == shipped(spool)
    put(spool, "sealed", *segment([], seq=7))

    second, third = (ask(tmp_path, ssh_serving(tmp_path, spool)) for _ in range(2))

    assert [(one.n_new, one.failure) for one in (first, second, third)] == [(6, None), (1, None), (0, None)]
    assert tree(tmp_path / "drop") == shipped(spool)
    assert len(finished(tmp_path / "drop" / NODE)) == 7


def test_a_drop_folder_gives_the_lake_that_the_spool_gives(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    ask(tmp_path, ssh_serving(tmp_path, spool))
    push(spool / NODE, NODE, tmp_path / "pushed")

    lakes = []
    for name, places in (("a", [spool]), ("b", [tmp_path / "drop"]), ("c", [tmp_path / "pushed", spool])):
        collect(places, tmp_path / name)
        lakes.append({k: v for k, v in tree(tmp_path / name).items() if k.endswith(".parquet")})

    assert lakes[0] == lakes[1] == lakes[2]


SUM = "b'sum ' + hashlib.sha256(b'x').hexdigest().encode() + b'\\n'"
START = "out.write(b'slurm-guard ship 1\\n')\n"


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        ("out.write(b'Welcome to n1!\\n')", "stream-refused"),
        (START + "out.write(b'file sealed/../../x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed//etc/x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file open/x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file ../x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/.x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/-x.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/x.sh 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/x\\0.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/' + b'x' * 251 + b'.jsonl 1\\nx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/x.jsonl -1\\n')", "stream-refused"),
        (START + "out.write(b'file sealed/x.jsonl 999999999999\\n')", "stream-refused"),
        (START + "out.write(b'file sealed/x.jsonl 1\\nxx' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/x.jsonl 1\\ny' + SUM)", "stream-refused"),
        (START + "out.write(b'file sealed/x.jsonl 1\\nx' + SUM + b'end 2\\n')", "stream-refused"),
        (START + "out.write(b'x' * 100_000_000)", "stream-refused"),
        (
            START + "while True: out.write(b'file sealed/x.jsonl 1048576\\n' + b'x' * (1 << 21))",
            "stream-refused",
        ),
        (START + "out.write(b'file sealed/x.jsonl 9\\nx')", "pull-failed"),
        (START, "pull-failed"),
        ("", "pull-failed"),
        ("print('Permission denied', file=sys.stderr); sys.exit(255)", "pull-failed"),
        (START + "out.write(b'end 0\\n'); out.flush(); sys.exit(1)", "pull-failed"),
    ],
)
def test_a_hostile_or_broken_stream_is_refused_with_a_reason_and_leaves_nothing(
    tmp_path: Path, code: str, slug: str
) -> None:
    answer = ask(tmp_path, ssh_that(tmp_path, f"SUM = {SUM}\n{code}\n"))

    assert answer.failure is not None
    assert answer.failure[0] == slug
    left = {k for k in tree(tmp_path) if not k.startswith("fake_ssh")}
    assert left <= {f"drop/{NODE}/sealed/x.jsonl"}, left
    assert left == set() or "end 2" in code


def test_the_last_word_of_a_failed_ssh_is_passed_on(tmp_path: Path) -> None:
    answer = ask(tmp_path, ssh_that(tmp_path, "print('Permission denied', file=sys.stderr); sys.exit(255)"))

    assert answer.failure is not None
    assert "Permission denied" in answer.failure[1]


def test_what_came_whole_before_a_stream_broke_stays_and_the_rest_comes_next_time(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    cut = f"""import subprocess
served = subprocess.run({ssh_serving(tmp_path, spool)!r}, stdin=sys.stdin, capture_output=True).stdout
out.write(served[:int(len(served) * 0.6)])
"""
    (tmp_path / "cut").mkdir()

    first = ask(tmp_path, ssh_that(tmp_path / "cut", cut))
    half = tree(tmp_path / "drop")
    second = ask(tmp_path, ssh_serving(tmp_path, spool))

    assert first.failure is not None
    assert 0 < first.n_new < 6
    assert half.items() <= shipped(spool).items()
    assert (first.n_new + second.n_new, second.failure) == (6, None)
    assert tree(tmp_path / "drop") == shipped(spool)


def test_more_than_a_stream_may_bring_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropping, "MOST_B", 2000)
    fill(tmp_path / "spool", 9)

    answer = ask(tmp_path, ssh_serving(tmp_path, tmp_path / "spool"))

    assert answer.failure is not None
    assert answer.failure[0] == "stream-refused"
    assert answer.n_b <= 2000


@pytest.mark.parametrize("code", [START, START + "out.write(b'end 0\\n')\n"])
def test_a_node_that_falls_silent_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(dropping, "IDLE_S", 2.0)
    begun_s = time.monotonic()

    answer = ask(tmp_path, ssh_that(tmp_path, code + "out.flush(); time.sleep(600)"))

    assert answer.failure is not None
    assert answer.failure[0] in ("stream-slow", "pull-failed")
    assert time.monotonic() - begun_s < 120


def test_a_file_that_is_here_with_another_size_stays_and_stops_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    fill(spool)
    put(tmp_path / "drop", "tickets", TICKET, "what was here before")

    answer = ask(tmp_path, ssh_serving(tmp_path, spool))

    assert (answer.n_new, answer.failure, answer.kept) == (5, None, (f"tickets/{TICKET}",))
    assert (tmp_path / "drop" / NODE / "tickets" / TICKET).read_text() == "what was here before"


def test_another_nodes_files_go_to_the_asked_nodes_folder_and_are_refused_there(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    ssh = ssh_serving(tmp_path, tmp_path / "spool", NODE)

    ask(tmp_path, ssh, "n2")
    report = collect([tmp_path / "drop"], tmp_path / "lake")

    assert [path.name for path in (tmp_path / "drop").iterdir()] == ["n2"]
    assert report.n_new == 0
    assert {refused.slug for refused in report.refused} == {"name"}
    assert len(report.refused) == 6


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ssh://n1", Address(None, "n1", None)),
        ("ssh://sgship@gpu-01.example:2222", Address("sgship", "gpu-01.example", 2222)),
        ("ssh://u@n1/", Address("u", "n1", None)),
    ],
)
def test_an_address_names_user_node_and_port(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["n1", "http://n1", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@n1", "ssh://u@../n1", "ssh://u@.n1",
     "ssh://n1:0", "ssh://n1:99999", "ssh://n1:x", "ssh://u@n1/path", "ssh://a b@n1", "ssh://n1\n"],
)  # fmt: skip
def test_what_is_no_address_never_reaches_ssh(text: str) -> None:
    with pytest.raises(GuardError, match="pull-address"):
        parse_address(text)


@pytest.mark.parametrize(
    "request_text", ["", "GET / HTTP/1.1\n", "slurm-guard ship 1\nhave x\nend\n", "slurm-guard ship 1\n"]
)
def test_who_asks_in_another_way_gets_nothing(tmp_path: Path, request_text: str) -> None:
    fill(tmp_path / "spool")
    command = [sys.executable, "-c", SHIP, str(ROOT), "ship", "--serve", "--node", NODE]

    done = subprocess.run(
        [*command, "--spool", str(tmp_path / "spool")],
        input=request_text.encode(),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"ship-request" in done.stderr


def test_the_digest_of_the_stream_is_that_of_the_bytes(tmp_path: Path) -> None:
    fill(tmp_path / "spool", 1)
    request = tmp_path / "request"
    request.write_text("slurm-guard ship 1\nend\n")
    command = [sys.executable, "-c", SHIP, str(ROOT), "ship", "--serve", "--node", NODE]
    with request.open("rb") as asked:
        raw = subprocess.run(
            [*command, "--spool", str(tmp_path / "spool")], stdin=asked, capture_output=True, check=True
        ).stdout

    body = (tmp_path / "spool" / NODE / "tickets" / TICKET).read_bytes()
    start = raw.index(body)
    assert raw[start + len(body) :].startswith(f"sum {hashlib.sha256(body).hexdigest()}\n".encode())
    assert raw.endswith(b"end 4\n")
