"""Other hosts to speak with: network namespaces joined to this one by veth, SSH servers in two of them.

`outside` stands for the internet, `near` for another node of the cluster, `login` for its login node. All of
it lies in namespaces of its own (network, mounts, processes), with accounts of its own: benchmarks may run
beside each other, nothing else on the machine is seen, and everything is gone when the first process ends.
Needs root, util-linux, iproute2 and OpenSSH. No traffic leaves the machine.
"""

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.net.distance import distance

OUTSIDE, NODE_OUTSIDE = "203.0.113.1", "203.0.113.2"  # TEST-NET-3 (RFC 5737): no network of a cluster
NEAR, NODE_NEAR = "10.77.0.2", "10.77.0.1"
LOGIN, NODE_LOGIN = "10.78.0.2", "10.78.0.1"
SSH_PORT = 2200
USER = "far"  # as whom one logs in elsewhere
# A play's own: a user with one run tells whose short connections are.
ACCOUNTS = tuple(f"job{k:02}" for k in range(48))
_FIRST_UID = 52_000
_INSIDE = "GUARD_BENCH_INSIDE"
RTT_S = 0.020  # to the outside and back: the next large city; judgement. Within the cluster: none


class Host(NamedTuple):
    """A namespace and its address as this node sees it."""

    netns: str
    address: str

    def command(self, *words: str) -> list[str]:
        """The command, run in there."""
        return ["ip", "netns", "exec", self.netns, *words]


class Hosts(NamedTuple):
    """All of them, and the key that opens the SSH servers."""

    outside: Host
    near: Host
    login: Host
    folder: Path


def enter() -> None:
    """Begin this command again in namespaces of its own; returns when it is there."""
    if os.environ.get(_INSIDE):
        return
    # A shell as the first process: it takes in the children that others leave behind.
    words = [sys.executable, "-m", "bench", *sys.argv[1:]]
    first = [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "sh",
        "-c",
        '"$@"; exit $?',
    ]
    os.execvpe("unshare", ["unshare", *first, "sh", *words], {**os.environ, _INSIDE: "1"})


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def hosts(rtt_s: float = RTT_S) -> Iterator[Hosts]:
    """All hosts, up; `rtt_s`: to the outside one and back. Raises OSError or CalledProcessError where that
    cannot be done here."""
    tag = f"sg{os.urandom(3).hex()}"
    folder = Path(tempfile.mkdtemp(prefix="guard-net-"))
    three = (Host(f"{tag}o", OUTSIDE), Host(f"{tag}n", NEAR), Host(f"{tag}l", LOGIN))
    servers: list[subprocess.Popen[bytes]] = []
    link = contextlib.ExitStack()
    try:
        _make_accounts(folder)
        _ip("link", "set", "lo", "up")
        _open_tun(folder)
        for k, (host, mine) in enumerate(zip(three, (NODE_OUTSIDE, NODE_NEAR, NODE_LOGIN), strict=True)):
            ends = (f"{tag}a{k}", f"{tag}b{k}")
            _ip("netns", "add", host.netns)
            if host.address == OUTSIDE and rtt_s > 0:
                link.enter_context(distance(host.netns, ends, rtt_s))
            else:
                _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
                _ip("link", "set", ends[1], "netns", host.netns)
            _join(host, mine, ends)
        _ip("route", "add", "default", "via", OUTSIDE)
        made = Hosts(*three, folder)
        servers += _start_sshd(made)
        yield made
    finally:
        for server in servers:
            server.kill()
            server.wait()
        link.close()
        for host in three:
            subprocess.run(["ip", "netns", "del", host.netns], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _join(host: Host, mine: str, ends: tuple[str, str]) -> None:
    _ip("addr", "add", f"{mine}/24", "dev", ends[0])
    _ip("link", "set", ends[0], "up", "txqueuelen", "5000")
    _ip("-n", host.netns, "addr", "add", f"{host.address}/24", "dev", ends[1])
    _ip("-n", host.netns, "link", "set", "lo", "up")
    _ip("-n", host.netns, "link", "set", ends[1], "up", "txqueuelen", "5000")


def _open_tun(folder: Path) -> None:
    """The device of user-space networks, open to all as on most nodes, in this mount namespace alone."""
    device = folder / "tun"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(10, 200))
    device.chmod(0o666)
    subprocess.run(["mount", "--bind", device, "/dev/net/tun"], check=True)


def _make_accounts(folder: Path) -> None:
    """Users with a home and a shell, in this mount namespace alone. The whole of /etc is copied: a mount on a
    single file there goes when somebody else on the machine replaces that file."""
    folder.chmod(0o755)
    etc = folder / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    lines, groups = [], []
    for k, name in enumerate((*ACCOUNTS, USER)):
        home = folder / "home" / name
        home.mkdir(parents=True)
        os.chown(home, _FIRST_UID + k, _FIRST_UID + k)
        lines.append(f"{name}:*:{_FIRST_UID + k}:{_FIRST_UID + k}::{home}:/bin/sh\n")
        groups.append(f"{name}:*:{_FIRST_UID + k}:\n")
    for file, text in (("passwd", lines), ("group", groups)):
        with (etc / file).open("a") as out:
            out.writelines(text)
    subprocess.run(["mount", "--bind", etc, "/etc"], check=True)


def _start_sshd(made: Hosts) -> list[subprocess.Popen[bytes]]:
    folder = made.folder
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    pem = ["-newkey", "rsa:2048", "-nodes", "-x509", "-days", "2", "-subj", "/CN=outside"]
    words = ["openssl", "req", *pem, "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt"]
    subprocess.run(words, check=True, capture_output=True)
    both = (folder / "tls.key").read_text() + (folder / "tls.crt").read_text()
    (folder / "cert.pem").write_text(both)
    (folder / "sshd_config").write_text(
        f"Port {SSH_PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/key.pub\nStrictModes no\n"
        "UsePAM no\nPasswordAuthentication no\nGatewayPorts no\nMaxStartups 200:30:300\nMaxSessions 100\n"
        "PidFile none\nPermitTunnel yes\nSubsystem sftp internal-sftp\nPrintMotd no\n"
    )
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "/usr/sbin/sshd"
    servers = []
    for host in (made.outside, made.login):
        words = host.command(program, "-D", "-e", "-f", str(folder / "sshd_config"))
        servers.append(subprocess.Popen(words, stderr=subprocess.DEVNULL))
        for _ in range(50):
            with contextlib.suppress(OSError), socket.create_connection((host.address, SSH_PORT), 1.0):
                break
            time.sleep(0.1)
    return servers
