"""Files over ssh and through drop folders: whole or not at all, and only from the node that was asked."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.errors import GuardError
from slurm_guard.lake import drop as dropping
from slurm_guard.lake.drop import Address, Pulled, parse_address, pull
from slurm_guard.lake.ingest import collect
from slurm_guard.lake.ship import finished, push
from tests.faults.others import NOBODY, let_in
from tests.spools import NODE, RUN, make, put, reading, segment, single, tree

ROOT = Path(__file__).resolve().parents[2]
TICKET = f"{wire.stem(RUN)}.json"
SBIN = "/usr/sbin:/usr/bin"
SHIP = "import sys; sys.path.insert(0, sys.argv.pop(1)); from slurm_guard.cli.app import main; main()"


def fill(spool: Path, n: int = 3) -> None:
    put(spool, "tickets", TICKET, single(make(wire.Ticket)))
    for seq in range(n):
        put(spool, "sealed", *segment([make(wire.Window, run=RUN)], seq=seq))
    put(spool, "progress", *reading([make(wire.LogFile)]))
    put(spool, "seals", TICKET, single(make(wire.Seal, segments=[])))
    put(spool, "open", "half.000009.jsonl", '{"k":"head"')
    put(spool, "tickets", f".{TICKET}.7.tmp", "{")


def ssh_that(tmp_path: Path, code: str) -> list[str]:
    """A program in ssh's place; what it is told to run it leaves alone."""
    path = tmp_path / "fake_ssh.py"
    path.write_text("import os, sys, time, hashlib\nout = sys.stdout.buffer\n" + code)
    return [sys.executable, str(path)]


def ssh_serving(tmp_path: Path, spool: Path, node: str = NODE) -> list[str]:
    """The other end as it is, without a network."""
    command = [
        sys.executable,
        "-c",
        SHIP,
        str(ROOT),
        "ship",
        "--serve",
        "--node",
        node,
        "--spool",
        str(spool),
    ]
    return ssh_that(tmp_path, f"os.execv({sys.executable!r}, {command!r})\n")


def ask(tmp_path: Path, ssh: list[str], node: str = NODE) -> Pulled:
    return pull(Address(None, node, None), tmp_path / "drop", ssh)


def shipped(folder: Path) -> dict[str, bytes]:
    return {k: v for k, v in tree(folder).items() if not k.startswith((f"{NODE}/open", f"{NODE}/tickets/."))}


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


def test_a_push_twice_changes_nothing_and_another_content_is_never_overwritten(tmp_path: Path) -> None:
    spool, target = tmp_path / "spool", tmp_path / "target"
    fill(spool)
    first = push(spool / NODE, NODE, target)
    before = {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    again = push(spool / NODE, NODE, target)
    assert {p: p.stat().st_mtime_ns for p in target.rglob("*")} == before
    put(spool, "tickets", TICKET, "longer than it was before" * 99)

    third = push(spool / NODE, NODE, target)

    assert [(one.n_new, one.n_known) for one in (first, again, third)] == [(6, 0), (0, 6), (0, 5)]
    assert third.refused == (f"tickets/{TICKET}",)
    assert (target / NODE / "tickets" / TICKET).read_text() == single(make(wire.Ticket))


def test_links_and_pipes_in_a_spool_are_not_shipped(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    folder = tmp_path / "spool" / NODE / "sealed"
    (folder / "link.000000.jsonl").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.000000.jsonl")

    assert push(tmp_path / "spool" / NODE, NODE, tmp_path / "target").n_new == 6


@pytest.mark.parametrize("way", ["push", "pull", "collect"])
def test_the_node_hears_what_was_collected_where_it_lets_us_and_the_spool_is_left_alone_elsewhere(
    tmp_path: Path, way: str
) -> None:
    def carry(spool: Path) -> None:
        if way == "push":
            push(spool / NODE, NODE, tmp_path / "target")
        elif way == "pull":
            for _ in range(2):  # the second request says what the first one brought
                ask(tmp_path, ssh_serving(tmp_path, spool))
        else:
            collect([spool], tmp_path / "lake")

    closed, opened = tmp_path / "closed", tmp_path / "opened"
    for spool in (closed, opened):
        fill(spool)
    before = tree(closed)
    (opened / NODE / "collected").mkdir()

    carry(closed)
    carry(opened)

    assert tree(closed) == before
    (told,) = (opened / NODE / "collected").iterdir()
    files = [path for path in opened.rglob("*.json*") if path.is_file() and path.parent.name != "open"]
    wanted = [f"{p.parent.name}/{p.name} {p.stat().st_size}" for p in files if not p.name.startswith(".")]
    assert told.read_text().splitlines() == sorted(wanted)


def test_a_link_planted_among_the_acknowledgements_is_not_followed(tmp_path: Path) -> None:
    fill(tmp_path / "spool")
    folder = tmp_path / "spool" / NODE / "collected"
    folder.mkdir()
    (tmp_path / "victim").write_text("unharmed")
    (folder / "collect.list").symlink_to(tmp_path / "victim")
    (folder / f".collect.{os.getpid()}.tmp").symlink_to(tmp_path / "victim")

    collect([tmp_path / "spool"], tmp_path / "lake")

    assert (tmp_path / "victim").read_text() == "unharmed"


@pytest.mark.root
def test_a_store_that_squashes_root_takes_a_push_from_who_owns_it(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become the user that ships")
    spool, store = tmp_path / "spool", tmp_path / "store"
    fill(spool)
    let_in(tmp_path)
    for path in [spool, *spool.rglob("*")]:
        os.chown(path, 0, NOBODY)
        path.chmod(0o750 if path.is_dir() else 0o640)
    store.mkdir(mode=0o700)
    os.chown(store, NOBODY, NOBODY)
    command = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs",
        sys.executable, "-c", SHIP, str(ROOT), "ship", "--to", str(store), "--node", NODE,
        "--spool", str(spool),
    ]  # fmt: skip
    before = tree(spool)

    done = [subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2)]
    if "ModuleNotFoundError" in done[0].stderr or "No such file" in done[0].stderr:
        pytest.skip("this checkout is closed to others, so nobody cannot run it")

    assert [one.stdout.partition(":")[0] for one in done] == [
        "6 files new, 0 known, 0 refused", "0 files new, 6 known, 0 refused",
    ], done[0].stderr  # fmt: skip
    assert tree(store) == shipped(spool)
    assert {path.stat().st_uid for path in store.rglob("*")} == {NOBODY}
    assert tree(spool) == before
    assert collect([store], tmp_path / "lake").refused == ()


@pytest.mark.root
def test_a_drop_folder_that_is_not_ours_to_write_is_an_error(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become the user that ships")
    fill(tmp_path / "spool")
    let_in(tmp_path)
    for path in (tmp_path / "spool").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (tmp_path / "store").mkdir(mode=0o700)
    command = [
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        sys.executable, "-c", SHIP, str(ROOT), "ship", "--to", str(tmp_path / "store"), "--node", NODE,
        "--spool", str(tmp_path / "spool"),
    ]  # fmt: skip

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("this checkout is closed to others, so nobody cannot run it")
    assert done.returncode == 1
    assert "drop-unwritable" in done.stderr


class Sshd:
    """A real sshd on loopback with one key and one forced command."""

    def __init__(self, root: Path, spool: Path, node: str) -> None:
        self.root = root
        for name in ("host", "key", "stranger"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)]
            subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        forced = " ".join(
            f"'{word}'" for word in [sys.executable, "-c", SHIP, str(ROOT), "ship", "--serve", "--node", node,
                                     "--spool", str(spool)]
        )  # fmt: skip
        key = (root / "key.pub").read_text()
        (root / "authorized").write_text(f'restrict,command="{forced}" {key}')
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (root / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {root / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {root / 'authorized'}\nPasswordAuthentication no\nStrictModes no\n"
            "KbdInteractiveAuthentication no\nUsePAM no\nPermitRootLogin forced-commands-only\n"
        )
        host = (root / "host.pub").read_text().split()
        (root / "known").write_text(f"[127.0.0.1]:{self.port} {host[0]} {host[1]}\n")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.log = (root / "sshd.log").open("wb")
        self.process = subprocess.Popen(
            [str(shutil.which("sshd", path=SBIN)), "-D", "-e", "-f", str(root / "sshd_config")],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )  # fmt: skip

    def ssh(self, key: str = "key") -> list[str]:
        config = self.root / f"{key}.config"
        config.write_text(
            f"Host *\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentityFile {self.root / key}\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.root / 'known'}\n  GlobalKnownHostsFile none\n"
        )
        return ["ssh", "-F", str(config)]

    def wait(self) -> None:
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.root / "sshd.log").read_text()
            time.sleep(0.05)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if os.geteuid() != 0:
        pytest.skip("needs root to run an sshd")
    if shutil.which("sshd", path=SBIN) is None or shutil.which("ssh") is None:
        pytest.skip("NOT TESTED: transport over ssh; there is no sshd here (Debian: openssh-server)")
    (tmp_path / "ssh").mkdir()
    fill(tmp_path / "spool")
    server = Sshd(tmp_path / "ssh", tmp_path / "spool", NODE)
    try:
        server.wait()
        yield server
    finally:
        server.close()


@pytest.mark.root
def test_a_pull_through_a_real_sshd_and_its_forced_command(tmp_path: Path, sshd: Sshd) -> None:
    address = Address("root", NODE, None)
    first = pull(address, tmp_path / "drop", sshd.ssh())
    second = pull(address, tmp_path / "drop", sshd.ssh())

    assert first == Pulled(NODE, 6, first.n_b, None), (sshd.root / "sshd.log").read_text()
    assert second == Pulled(NODE, 0, 0, None)
    assert tree(tmp_path / "drop") == shipped(tmp_path / "spool")


@pytest.mark.root
def test_the_key_can_do_this_and_nothing_else(tmp_path: Path, sshd: Sshd) -> None:
    done = subprocess.run(
        [*sshd.ssh(), "-o", "BatchMode=yes", "-l", "root", NODE, f"touch {tmp_path / 'pwned'}"],
        input=b"", capture_output=True, check=False,
    )  # fmt: skip

    assert not (tmp_path / "pwned").exists()
    assert done.returncode == 2
    assert b"ship-request" in done.stderr


@pytest.mark.root
def test_a_key_that_the_node_does_not_know_fails_and_a_node_that_answers_is_collected(
    tmp_path: Path, sshd: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    from slurm_guard.cli.collect import collect as command

    (tmp_path / "none").mkdir()
    stranger, known = " ".join(sshd.ssh("stranger")), " ".join(sshd.ssh())
    lake = tmp_path / "lake"
    with pytest.raises(GuardError, match="pull-failed"):
        command(spool=[tmp_path / "none"], lake=lake, asked=[f"ssh://root@{NODE}"], ssh=stranger)
    said = capsys.readouterr().out
    asked = [f"ssh://root@{NODE}", f"ssh://root@{NODE}:1"]
    command(spool=[tmp_path / "none"], lake=lake, asked=asked, ssh=known)

    assert "Permission denied" in said
    out = capsys.readouterr().out
    assert f"{NODE}: 6 files pulled" in out
    assert "pull-failed: " in out
    assert "6 files new" in out
    assert json.loads((lake / "v1" / "manifest").glob("*.json").__next__().read_text())["format"] == 1


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
