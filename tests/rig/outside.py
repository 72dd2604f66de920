"""A host outside of the cluster: a network namespace some way off, with an sshd, and somebody there.

The namespace belongs to the sshd and has no name: it goes with its last process, and the joint with it. No
traffic leaves the machine.
"""

import hashlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

from tests.rig import procs, services, users
from tests.rig.layout import USERS, WORKLOADS, Rig, RigError
from tests.rig.scenarios import Guest

NAME, WAY, GUEST = "outside", "outside-way", "guest"  # of the daemons, as procs knows them
_RTT_MS = "20"  # to the next large city. Judgement: next door the order of data cannot be told
_DISTANCE = Path(__file__).parents[2] / "bench" / "net" / "distance.py"
_NET = "203.0.113"  # TEST-NET-3 (RFC 5737): no network of a cluster
_PORT = 22  # free: the namespace is the host's own
_TOOLS = {"ip": "iproute2", "nsenter": "util-linux", "scp": "openssh-client"}


def start(rig: Rig) -> str:
    """The host, up, and known to the rig's ssh clients as `outside`; its address. RigError: it cannot be."""
    missing = sorted({package for name, package in _TOOLS.items() if shutil.which(name) is None})
    if missing:
        raise RigError(f"the outside host needs Debian packages: {' '.join(missing)}")
    mine, far = _addresses(rig)
    folder = rig.path / "ssh"
    if not procs.is_alive(rig, NAME):
        (folder / "outside_config").write_text(
            "StrictModes no\nPidFile none\nUsePAM no\nPasswordAuthentication no\n"
            f"Port {_PORT}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/keys/%u\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin no\nUseDNS no\nPrintMotd no\n"
            f"AllowUsers {' '.join(USERS)}\nSubsystem sftp internal-sftp\n",
            "ascii",
        )
        program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "/usr/sbin/sshd"
        procs.start(
            rig, NAME, ["unshare", "--net", program, "-D", "-e", "-f", str(folder / "outside_config")]
        )
        procs.wait_for("the outside host's network", lambda: _is_apart(_pid(rig)))
        _join(rig, mine, far)
    config = folder / "client_config"
    if "Host outside\n" not in config.read_text("ascii"):
        with config.open("a", encoding="ascii") as out:
            out.write(services.client_words(rig, "outside", far, _PORT))
    procs.wait_for("the outside host's sshd", lambda: _answers(far))
    return far


def invite(rig: Rig, guest: Guest) -> None:
    """Somebody on the host who comes in by the guest's door (guest.py)."""
    words = [rig.python, str(WORKLOADS / "guest.py"), str(guest.door), str(guest.seed)]
    words += [f"{guest.work_after_s:.1f}", str(guest_log(rig))]
    enter = ["nsenter", "-t", str(_pid(rig)), "--net"]
    guest_log(rig).unlink(missing_ok=True)
    procs.start(rig, GUEST, [*enter, *users.as_user(USERS[1]), *words])


def guest_log(rig: Rig) -> Path:
    """Where he notes each exchange: when it ended, and whether he asked for work."""
    return rig.home(USERS[1]) / "guest.log"


def drop(rig: Rig) -> None:
    """The guest, the host and the joint, if they are there."""
    for name in (GUEST, NAME, WAY):
        procs.stop(rig, name)
    subprocess.run(["ip", "link", "del", joint(rig)[0]], check=False, capture_output=True)


def joint(rig: Rig) -> tuple[str, str]:
    """Names of the joint's two ends: fifteen bytes at most, and no other rig's."""
    return f"sg{_digest(rig)}a", f"sg{_digest(rig)}b"


def _join(rig: Rig, mine: str, far: str) -> None:
    near_end, far_end = joint(rig)
    pid = str(_pid(rig))
    subprocess.run(["ip", "link", "del", near_end], check=False, capture_output=True)
    inside = ["nsenter", "-t", pid, "--net"]
    procs.stop(rig, WAY)
    procs.start(rig, WAY, [rig.python, str(_DISTANCE), pid, near_end, far_end, _RTT_MS])
    there = Path("/sys/class/net") / near_end
    procs.wait_for("the way to the outside host", there.exists)
    for where, words in (
        ([], ["addr", "add", f"{mine}/30", "dev", near_end]),
        ([], ["link", "set", near_end, "up"]),
        (inside, ["addr", "add", f"{far}/30", "dev", far_end]),
        (inside, ["link", "set", "lo", "up"]),
        (inside, ["link", "set", far_end, "up"]),
    ):
        procs.call(rig, [*where, "ip", *words])


def _addresses(rig: Rig) -> tuple[str, str]:
    """This machine's end and the host's. RigError when none of the network's blocks is free."""
    rows = json.loads(procs.call(rig, ["ip", "-j", "-4", "addr"]))
    used = {part["local"] for row in rows if row["ifname"] != joint(rig)[0] for part in row["addr_info"]}
    first = int(_digest(rig), 16) % 63
    for k in range(63):
        block = (first + k) % 63 * 4
        if f"{_NET}.{block + 1}" not in used:
            return f"{_NET}.{block + 1}", f"{_NET}.{block + 2}"
    raise RigError(f"every block of {_NET}.0/24 is taken")


def _digest(rig: Rig) -> str:
    return hashlib.sha256(rig.root.encode()).hexdigest()[:8]


def _pid(rig: Rig) -> int:
    return int((rig.path / "pid" / NAME).read_text("ascii").split()[0])


def _is_apart(pid: int) -> bool:
    return Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()


def _answers(address: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((address, _PORT)) == 0
