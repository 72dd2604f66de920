"""Tunnels by SSH, in its many programs."""

from bench.net.hosts import NEAR, OUTSIDE, SSH_PORT, USER
from bench.net.programs import PYTHON, path_of
from bench.net.shape import BRIDGE, DEVICE, Situation
from bench.net.stage import Stage


def _ssh_reverse(stage: Stage, *words: str, ssh: str = "ssh", how: str = "keep") -> None:
    """A remote forward to a service of the job, used from outside."""
    inner, door = stage.service(), stage.port()
    stage.job(ssh, "-N", *words, "-R", f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh)
    stage.use_outside("127.0.0.1", door, how)


def ssh_reverse(stage: Stage) -> None:
    """`ssh -R`, one long inner connection."""
    _ssh_reverse(stage)


def ssh_reverse_short(stage: Stage) -> None:
    """The same, with a new inner connection for each request."""
    _ssh_reverse(stage, how="once")


def ssh_reverse_renamed(stage: Stage) -> None:
    """The program has another name."""
    _ssh_reverse(stage, ssh=stage.renamed("ssh", "python3"))


def ssh_reverse_config(stage: Stage) -> None:
    """The forward stands in a file, not in the command line."""
    inner, door = stage.service(), stage.port()
    path = stage.file("config", f"Host *\n  RemoteForward 127.0.0.1:{door} 127.0.0.1:{inner}\n")
    stage.job("ssh", "-N", *(path if word == "none" else word for word in stage.ssh))
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_to_near(stage: Stage) -> None:
    """It leads on to another node of the cluster."""
    port, door = stage.port(), stage.port()
    stage.near_talk("service", "0.0.0.0", str(port))
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}:{NEAR}:{port}", *stage.ssh)
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_socks(stage: Stage) -> None:
    """`-R PORT` alone: the far end chooses the inner places (SOCKS)."""
    inner, door, ask = stage.service(), stage.port(), stage.port()
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}", *stage.ssh)
    stage.far_talk("socks", str(ask), str(door), "127.0.0.1", str(inner))
    stage.use_outside("127.0.0.1", ask)


def ssh_reverse_proxycommand(stage: Stage) -> None:
    """The outer connection is another process's, joined to ssh by pipes."""
    _ssh_reverse(stage, "-o", f"ProxyCommand=socat - TCP:{OUTSIDE}:%p")


def ssh_reverse_over_tls(stage: Stage) -> None:
    """ssh goes through a stunnel of the job's own: the two are joined by a connection over loopback."""
    near, up = stage.port(), stage.port()
    cert = stage.hosts.folder / "cert.pem"
    stage.far(
        "socat", f"OPENSSL-LISTEN:{up},cert={cert},verify=0,fork,reuseaddr", f"TCP:127.0.0.1:{SSH_PORT}"
    )
    text = (
        f"foreground = yes\npid =\nsyslog = no\n[s]\nclient = yes\naccept = 127.0.0.1:{near}\n"
        f"connect = {OUTSIDE}:{up}\n"
    )
    stage.job(path_of("stunnel4"), stage.file("stunnel.conf", text))
    inner, door = stage.service(), stage.port()
    words = [*stage.options, "-p", str(near), f"{USER}@127.0.0.1"]
    again = f"until ssh -N -o ConnectTimeout=2 -R 127.0.0.1:{door}:127.0.0.1:{inner} {' '.join(words)}"
    stage.job("sh", "-c", f"{again}; do sleep 0.3; done")
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_master(stage: Stage) -> None:
    """The forward is asked for later, of a connection that is there already (`ssh -O forward`)."""
    inner, door = stage.service(), stage.port()
    path = stage.folder / "master"
    stage.job("ssh", "-N", "-M", "-S", str(path), *stage.ssh)
    ask = f"ssh -S {path} -O forward -R 127.0.0.1:{door}:127.0.0.1:{inner} {' '.join(stage.ssh)}"
    stage.shell(f"until {ask}; do sleep 0.3; done")
    stage.use_outside("127.0.0.1", door)


def _login(stage: Stage, *, is_typed: bool, commands: list[str]) -> None:
    """Somebody outside logs in through it, and is told of each line that comes back."""
    inner, door = stage.port(), stage.port()
    key = stage.folder / "host"
    text = (
        f"Port {inner}\nListenAddress 127.0.0.1\nHostKey {key}\n"
        f"AuthorizedKeysFile {stage.hosts.folder}/key.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPrintMotd no\n"
    )
    config = stage.file("sshd_config", text)
    stage.job("sh", "-c", f"ssh-keygen -q -t ed25519 -N '' -f {key} && exec /usr/sbin/sshd -D -f {config}")
    stage.job("ssh", "-N", "-R", f"127.0.0.1:{door}:127.0.0.1:{inner}", *stage.ssh)
    words = [word if word != str(stage.key) else str(stage.hosts.folder / "key") for word in stage.options]
    login = f"ssh {' '.join(words)} -p {door} {stage.account}@127.0.0.1"
    count = 'while read -r line; do printf . >>"$GUARD_USES"; done'
    if is_typed:
        path = stage.file("typed", "\n".join(commands))
        begun = f"until {login} true; do sleep 1; done"
        script = f"{begun}; sh {path} | {login} sh | {count}"
    else:
        script = f"until {login} '{'; '.join(commands)}' | {count}; do sleep 1; done"
    stage.at(stage.hosts.outside, "sh", "-c", script, delay_s=stage.a_while(1.0))


def ssh_reverse_shell(stage: Stage) -> None:
    """Somebody outside logs in on the node through it and works with commands: ssh within ssh."""
    pauses = [f"{stage.rng.uniform(0.1, 1.6):.2f}" for _ in range(12)]
    commands = [f"ls -la /usr/lib | head -n {stage.rng.randrange(5, 300)}; sleep {p}" for p in pauses]
    _login(stage, is_typed=False, commands=commands)


def ssh_reverse_session(stage: Stage) -> None:
    """The same, who types the commands one after the other and stays."""
    commands, left_s = [], float(stage.seconds)
    while left_s > 0:
        pause = stage.rng.uniform(0.4, 4.0)
        commands += [f"echo 'ls -la /usr/lib | head -n {stage.rng.randrange(2, 100)}'; sleep {pause:.2f}"]
        left_s -= pause
    _login(stage, is_typed=True, commands=commands)


def autossh_reverse(stage: Stage) -> None:
    """autossh keeps an `ssh -R` up."""
    _ssh_reverse(stage, "-M", "0", ssh=path_of("autossh"))


def dropbear_reverse(stage: Stage) -> None:
    """Dropbear's client."""
    inner, door = stage.service(), stage.port()
    key = stage.folder / "dropbear"
    convert = f"{path_of('dropbearconvert')} openssh dropbear {stage.key} {key}"
    stage.job("sh", "-c", f"{convert} && exec {path_of('dbclient')} -N -y -y -i {key} "
              f"-R 127.0.0.1:{door}:127.0.0.1:{inner} -p {SSH_PORT} {USER}@{OUTSIDE}")  # fmt: skip
    stage.use_outside("127.0.0.1", door)


def ssh_reverse_in_container(stage: Stage) -> None:
    """All of it in a network namespace of the job's own, which leaves by a rootless helper (pasta)."""
    inner, door = stage.port(), stage.port()
    service = " ".join(stage.talk("service", "127.0.0.1", str(inner)))
    ssh = f"ssh -N -R 127.0.0.1:{door}:127.0.0.1:{inner} {' '.join(stage.ssh)}"
    stage.contained(f"{service} &\nuntil {ssh}; do sleep 0.3; done &")
    stage.use_outside("127.0.0.1", door)


def ssh_device(stage: Stage) -> None:
    """`ssh -w` in a container of the user's own (elsewhere it is refused): packets, by a device."""
    inner, n = stage.port(), stage.port() % 200 + 20
    here, there, device = f"10.99.{n}.2", f"10.99.{n}.1", f"tun{n}"
    host = stage.hosts.outside
    words = [f"tuntap add dev {device} mode tun user {USER}", f"addr add {there} peer {here} dev {device}"]
    made = " && ".join(f"ip {w}" for w in [*words, f"link set {device} up"])
    stage.at(host, "sh", "-c", f"{made} && exec sleep 60")
    service = " ".join(stage.talk("service", "0.0.0.0", str(inner)))
    up = f"ip addr add {here} peer {there} dev tun0 && ip link set tun0 up"
    ssh = f"ssh -N -w 0:{n} {' '.join(stage.ssh)}"
    stage.contained(f"{service} &\n(until {ssh}; do sleep 0.3; done) &\nuntil {up}; do sleep 0.2; done")
    stage.at(
        host, *stage.talk("use", here, str(inner), stage.seconds, stage.seed), delay_s=stage.a_while(2.0)
    )


def paramiko_reverse(stage: Stage) -> None:
    """A remote forward by paramiko, in Python's threads."""
    inner, door = stage.service(), stage.port()
    script = str(stage.folder / "pyssh.py")
    stage.job(PYTHON, "-I", script, "paramiko_reverse", str(stage.key), USER, OUTSIDE, str(SSH_PORT),
              str(door), str(inner))  # fmt: skip
    stage.use_outside("127.0.0.1", door)


def asyncssh_reverse(stage: Stage) -> None:
    """A remote forward by asyncssh."""
    inner, door = stage.service(), stage.port()
    script = str(stage.folder / "pyssh.py")
    stage.job(PYTHON, "-I", script, "asyncssh_forward", "R", str(stage.key), USER, OUTSIDE, str(SSH_PORT),
              str(door), str(inner))  # fmt: skip
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


SITUATIONS = (
    *(Situation(build, BRIDGE) for build in (
        ssh_reverse, ssh_reverse_short, ssh_reverse_renamed, ssh_reverse_config, ssh_reverse_to_near,
        ssh_reverse_socks, ssh_reverse_proxycommand, ssh_reverse_master, ssh_reverse_shell,
        ssh_reverse_session,
    )),
    Situation(ssh_reverse_over_tls, BRIDGE, ("stunnel4",)),
    Situation(ssh_reverse_in_container, BRIDGE, ("pasta",)),
    Situation(ssh_device, DEVICE, ("pasta",)),
    Situation(autossh_reverse, BRIDGE, ("autossh",)),
    Situation(dropbear_reverse, BRIDGE, ("dbclient", "dropbearconvert")),
    Situation(paramiko_reverse, BRIDGE, ("pypi:python",)),
    Situation(asyncssh_reverse, BRIDGE, ("pypi:python",)),
)  # fmt: skip
