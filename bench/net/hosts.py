"""Other hosts to speak with: network namespaces joined to this one by veth, with an SSH server outside.

`outside` stands for the internet, `near` for another node of the cluster. Needs root and iproute2; everything
is gone when the context ends. No traffic leaves the machine.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

OUTSIDE, NODE_OUTSIDE = "203.0.113.1", "203.0.113.2"  # TEST-NET-3 (RFC 5737): no network of a cluster
NEAR, NODE_NEAR = "10.77.0.2", "10.77.0.1"
SSH_PORT = 2200
USER = "nobody"  # as whom one logs in outside


class Host(NamedTuple):
    """A namespace and its address as this node sees it."""

    netns: str
    address: str

    def command(self, *words: str) -> list[str]:
        """The command, run in there."""
        return ["ip", "netns", "exec", self.netns, *words]


class Hosts(NamedTuple):
    """All of them, and the key that opens the SSH server."""

    outside: Host
    near: Host
    folder: Path


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def hosts() -> Iterator[Hosts]:
    """Both hosts, up. Raises OSError or CalledProcessError where that cannot be done here."""
    tag = f"sg{os.getpid() % 100_000}"
    folder = Path(tempfile.mkdtemp(prefix="guard-net-"))
    pair = (Host(f"{tag}out", OUTSIDE), Host(f"{tag}near", NEAR))
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for k, (host, mine) in enumerate(zip(pair, (NODE_OUTSIDE, NODE_NEAR), strict=True)):
            _ip("netns", "add", host.netns)
            _ip("link", "add", f"{tag}a{k}", "type", "veth", "peer", "name", f"{tag}b{k}")
            _ip("link", "set", f"{tag}b{k}", "netns", host.netns)
            _ip("addr", "add", f"{mine}/24", "dev", f"{tag}a{k}")
            _ip("link", "set", f"{tag}a{k}", "up")
            for words in (
                ["addr", "add", f"{host.address}/24", "dev", f"{tag}b{k}"],
                ["link", "set", "lo", "up"],
            ):
                _ip("-n", host.netns, *words)
            _ip("-n", host.netns, "link", "set", f"{tag}b{k}", "up")
        made = Hosts(*pair, folder)
        servers.append(_start_sshd(made))
        yield made
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for host in pair:
            subprocess.run(["ip", "netns", "del", host.netns], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _start_sshd(made: Hosts) -> subprocess.Popen[bytes]:
    folder = made.folder
    folder.chmod(0o755)
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "sshd_config").write_text(
        f"Port {SSH_PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nGatewayPorts no\nMaxStartups 200:30:300\nMaxSessions 100\n"
        "PidFile none\nPermitTunnel yes\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "/usr/sbin/sshd"
    words = made.outside.command(program, "-D", "-e", "-f", str(folder / "sshd_config"))
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    for _ in range(50):
        with contextlib.suppress(OSError), socket.create_connection((OUTSIDE, SSH_PORT), 1.0):
            break
        time.sleep(0.1)
    return server
