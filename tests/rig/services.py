"""The programs that make up a rig, each started so that starting it again does nothing."""

import os
import secrets
import shutil
import socket
import stat
import subprocess
from pathlib import Path

from tests.rig import procs, slurmconf, unified
from tests.rig.layout import ACCOUNT_OF, CHECKOUT, NODES, USERS, Rig, RigError

_PROGRAMS = {
    "munged": "munge", "mariadbd": "mariadb-server", "mariadb-install-db": "mariadb-server",
    "slurmdbd": "slurmdbd", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "sacct": "slurm-wlm",
    "sbatch": "slurm-wlm", "sshd": "openssh-server", "ssh": "openssh-client", "ssh-keygen": "openssh-client",
    "gcc": "gcc", "setpriv": "util-linux", "unshare": "util-linux", "useradd": "passwd",
}  # fmt: skip


def missing_packages() -> list[str]:
    """Debian packages that the rig needs and this machine lacks."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return sorted({package for name, package in _PROGRAMS.items() if shutil.which(name, path=path) is None})


def start_munge(rig: Rig) -> None:
    """munged with a key of its own."""
    folder = rig.path / "munge"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    key = folder / "key"
    if not key.exists():
        key.touch(0o400)
        key.write_bytes(secrets.token_bytes(128))
    argv = ["munged", "--foreground", f"--socket={slurmconf.munge_socket(rig)}", f"--key-file={key}"]
    argv += [f"--{name}-file={folder}/{name}" for name in ("pid", "seed", "log")]
    procs.start(rig, "munged", argv)
    procs.wait_for("munge's socket", slurmconf.munge_socket(rig).exists)


def start_database(rig: Rig) -> str:
    """A private mariadbd with Slurm's database; returns the password."""
    data, secret = rig.path / "mariadb", rig.path / "etc" / "db.secret"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_text(secrets.token_hex(16), "ascii")
    password = secret.read_text("ascii")
    tuning = ["--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M", "--innodb-lock-wait-timeout=900"]
    if not (data / "mysql").is_dir():
        argv = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db"]
        procs.call(rig, [*argv, "--auth-root-authentication-method=normal", tuning[1]], 120.0)
    boot = rig.path / "etc" / "db.sql"
    boot.touch(0o600)
    boot.write_text(
        "CREATE DATABASE IF NOT EXISTS slurm_acct;\n"
        f"CREATE USER IF NOT EXISTS slurm@127.0.0.1 IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm_acct.* TO slurm@127.0.0.1;\n",
        "ascii",
    )
    argv = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--init-file={boot}"]
    argv += [f"--port={rig.ports['mariadb']}", "--bind-address=127.0.0.1", "--skip-name-resolve"]
    argv += [f"--socket={data}/sock", f"--pid-file={rig.root}/pid/mariadbd.own", *tuning]
    # slurmdbd objects to this default of MariaDB 11; MariaDB 10 does not know it ("loose").
    argv.append("--loose-innodb-snapshot-isolation=OFF")
    # A rig's accounting need not survive the machine; syncing each commit would cost a second a job.
    procs.start(rig, "mariadbd", [*argv, "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0"])
    procs.wait_for("MariaDB", lambda: _listens(rig.ports["mariadb"]), 60.0)
    return password


def start_slurm(rig: Rig) -> None:
    """slurmdbd, the cluster's record, slurmctld and one slurmd a node."""
    procs.start(rig, "slurmdbd", ["slurmdbd", "-D"])
    procs.wait_for("slurmdbd", lambda: _listens(rig.ports["slurmdbd"]), 60.0)
    if rig.cluster not in procs.call(rig, ["sacctmgr", "-nP", "list", "cluster", "format=cluster"]).split():
        procs.call(rig, ["sacctmgr", "-i", "add", "cluster", rig.cluster])
        for user in USERS:
            procs.call(rig, ["sacctmgr", "-i", "add", "account", ACCOUNT_OF[user], f"cluster={rig.cluster}"])
            procs.call(rig, ["sacctmgr", "-i", "add", "user", user, f"account={ACCOUNT_OF[user]}"])
    procs.start(rig, "slurmctld", ["slurmctld", "-D"])
    for node in NODES:
        (rig.path / "slurmd" / node.name).mkdir(parents=True, exist_ok=True)
        start_slurmd(rig, node.name)
    procs.wait_for("the nodes to be idle", lambda: _nodes_ready(rig), 60.0, 0.5)


def start_slurmd(rig: Rig, node: str) -> None:
    """One node's slurmd."""
    env: dict[str, str] = {}
    argv = ["slurmd", "-D", "-N", node]
    if rig.proctrack == "cgroup2":
        argv, env = [*unified.prefix(node), *argv], unified.environ(rig)
    procs.start(rig, f"slurmd.{node}", argv, env)


def start_boards(rig: Rig) -> None:
    """One board process a node, and the device nodes that stand for its GPUs."""
    devices = rig.path / "dev"
    devices.mkdir(exist_ok=True)
    # NVIDIA's major, and one of those that the kernel gives away; no driver is there, none is needed
    numbers = {f"nvidia{index}": (195, index) for index in range(max(node.n_boards for node in NODES))}
    for name, number in {**numbers, "nvidia-uvm": (511, 0)}.items():
        path = devices / name
        if not path.exists():
            try:
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*number))
            except OSError as error:
                raise RigError(f"mknod {path}: {error.strerror}; give --dir on another file system") from None
            path.chmod(0o666)
    for node in NODES:
        argv = [rig.python, "-m", "tests.rig.gpu", "--dir", str(rig.gpu_dir(node.name))]
        argv += ["--model", node.gres_type, "--count", str(node.n_boards), "--seed", str(rig.seed)]
        procs.start(rig, f"boards.{node.name}", argv, {"PYTHONPATH": str(CHECKOUT)})
    for node in NODES:
        procs.wait_for(f"the boards of {node.name}", (rig.gpu_dir(node.name) / "ready").exists)


def start_sshd(rig: Rig) -> None:
    """An sshd on loopback: the door by which a process leaves its job's control group."""
    folder = rig.path / "ssh"
    (folder / "keys").mkdir(parents=True, exist_ok=True)
    if not (folder / "host").exists():
        _keygen(rig, folder / "host")
    for user in USERS:
        key = rig.home(user) / ".ssh_key"
        if not key.exists():
            _keygen(rig, key)
            shutil.chown(key, user, user)
        shutil.copyfile(f"{key}.pub", folder / "keys" / user)
        (folder / "keys" / user).chmod(0o644)
    port = rig.ports["sshd"]
    (folder / "sshd_config").write_text(
        "StrictModes no\n"
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/keys/%u\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        f"PermitRootLogin no\nAllowUsers {' '.join(USERS)}\nUseDNS no\nPrintMotd no\n",
        "ascii",
    )
    (folder / "client_config").write_text(client_words(rig, "node", "127.0.0.1", port), "ascii")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd jails its network half
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin") or "/usr/sbin/sshd"
    procs.start(rig, "sshd", [program, "-D", "-e", "-f", str(folder / "sshd_config")])
    procs.wait_for("sshd", lambda: _listens(port))


def client_words(rig: Rig, name: str, address: str, port: int) -> str:
    """What an ssh client of the rig's users needs to know of a host."""
    return (
        f"Host {name}\n HostName {address}\n Port {port}\n IdentityFile {rig.root}/home/%u/.ssh_key\n"
        " IdentitiesOnly yes\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n"
    )


def start_smtp(rig: Rig) -> None:
    """A real SMTP server that delivers into the folder `mail` (Maildir)."""
    argv = [rig.python, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{rig.ports['smtp']}"]
    procs.start(rig, "smtp", [*argv, "-c", "aiosmtpd.handlers.Mailbox", str(rig.path / "mail")])
    procs.wait_for("the SMTP server", lambda: _listens(rig.ports["smtp"]))


def start_syslog(rig: Rig) -> None:
    """A listener for syslog's lines; it becomes /dev/log on a machine that has none."""
    sock = rig.path / "log" / "socket"
    argv = [rig.python, "-m", "tests.rig.syslog", str(sock), str(rig.path / "log" / "syslog")]
    procs.start(rig, "syslog", argv, {"PYTHONPATH": str(CHECKOUT)})
    procs.wait_for("the syslog socket", sock.exists)


def _keygen(rig: Rig, path: Path) -> None:
    procs.call(rig, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rig", "-f", str(path)])


def is_answering(rig: Rig) -> bool:
    """Whether slurmctld answers and knows the nodes."""
    return _nodes_ready(rig)


def _nodes_ready(rig: Rig) -> bool:
    try:
        states = procs.call(rig, ["sinfo", "-hN", "-o", "%N %T"], 20.0).split("\n")
    except (RigError, subprocess.SubprocessError):
        return False
    ready = {
        line.split()[0]
        for line in states
        if line.split()[1:] and line.split()[1] in ("idle", "mixed", "allocated")
    }
    return ready >= {node.name for node in NODES}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
