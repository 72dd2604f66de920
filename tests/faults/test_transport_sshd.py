"""A pull through a real sshd: a forced command, a key that can do this alone."""

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

from slurm_guard.errors import GuardError
from slurm_guard.lake.drop import Address, Pulled, pull
from tests.faults.shipping import ROOT, SHIP, fill, shipped
from tests.spools import NODE, tree

SBIN = "/usr/sbin:/usr/bin"


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
