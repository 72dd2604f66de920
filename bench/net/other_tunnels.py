"""Tunnels without SSH."""

from bench.net.hosts import NEAR, OUTSIDE
from bench.net.programs import PYTHON, path_of
from bench.net.shape import BRIDGE, Situation
from bench.net.stage import Stage


def socat_reverse(stage: Stage) -> None:
    """socat opens both ends; the far end is socat, too."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far("socat", f"TCP-LISTEN:{up},reuseaddr", f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    stage.job_later("socat", f"TCP:{OUTSIDE}:{up},retry=20,interval=0.3", f"TCP:127.0.0.1:{inner}")
    stage.use_outside("127.0.0.1", door)


def socat_reverse_tls(stage: Stage) -> None:
    """The same with TLS outwards."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    cert = stage.hosts.folder / "cert.pem"
    there = f"OPENSSL-LISTEN:{up},cert={cert},verify=0,reuseaddr"
    stage.far("socat", there, f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    here = f"OPENSSL:{OUTSIDE}:{up},verify=0,retry=20,interval=0.3"
    stage.job_later("socat", here, f"TCP:127.0.0.1:{inner}")
    stage.use_outside("127.0.0.1", door)


def socat_exec(stage: Stage) -> None:
    """Two socats joined by a socket pair: one has the outer connection, the other the inner one."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far("socat", f"TCP-LISTEN:{up},reuseaddr", f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    stage.job_later(
        "socat", f"TCP:{OUTSIDE}:{up},retry=20,interval=0.3", f"EXEC:socat - TCP\\:127.0.0.1\\:{inner}"
    )
    stage.use_outside("127.0.0.1", door)


def socat_terminal(stage: Stage) -> None:
    """The same joined by a pseudo-terminal."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far("socat", f"TCP-LISTEN:{up},reuseaddr", f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    joined = f"EXEC:socat -\\,raw\\,echo=0 TCP\\:127.0.0.1\\:{inner},pty,raw,echo=0"
    stage.job_later("socat", f"TCP:{OUTSIDE}:{up},retry=20,interval=0.3", joined)
    stage.use_outside("127.0.0.1", door)


def split_tunnel(stage: Stage) -> None:
    """What comes in by one outer connection, and what goes out by another."""
    inner, down, up, door = stage.service(), stage.port(), stage.port(), stage.port()
    stage.far(*stage.program("striped.py"), "split_end", str(down), str(up), str(door))
    stage.job_later(*stage.program("striped.py"), "split", OUTSIDE, str(down), str(up), str(inner))
    stage.use_outside("127.0.0.1", door)


def striped_tunnel(stage: Stage) -> None:
    """Its bytes laid in turn on four outer connections, each to another port."""
    inner, door = stage.service(), stage.port()
    ports = [str(stage.port()) for _ in range(4)]
    stage.far(*stage.program("striped.py"), "stripes_end", str(door), *ports)
    stage.job_later(*stage.program("striped.py"), "stripes", OUTSIDE, str(inner), *ports)
    stage.use_outside("127.0.0.1", door)


def netcat_fifo(stage: Stage) -> None:
    """Two netcats back to back, joined by a pipe and a named one."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far("socat", f"TCP-LISTEN:{up},reuseaddr", f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    nc = path_of("nc")
    there, here = f"{nc} {OUTSIDE} {up}", f"{nc} 127.0.0.1 {inner}"
    stage.job_later("sh", "-c", f"mkfifo back; until {there} <back | {here} >back; do sleep 0.3; done")
    stage.use_outside("127.0.0.1", door)


def stunnel_reverse(stage: Stage) -> None:
    """stunnel takes the outer side, a socat joins it with the job's service over loopback."""
    inner, near, up, door = stage.service(), stage.port(), stage.port(), stage.port()
    cert = stage.hosts.folder / "cert.pem"
    there = f"OPENSSL-LISTEN:{up},cert={cert},verify=0,reuseaddr"
    stage.far("socat", there, f"TCP-LISTEN:{door},bind=127.0.0.1,reuseaddr")
    text = (
        f"foreground = yes\npid =\nsyslog = no\n[s]\nclient = yes\naccept = 127.0.0.1:{near}\n"
        f"connect = {OUTSIDE}:{up}\n"
    )
    stage.job(path_of("stunnel4"), stage.file("stunnel.conf", text))
    stage.job_later("socat", f"TCP:127.0.0.1:{near},retry=20,interval=0.3", f"TCP:127.0.0.1:{inner}")
    stage.use_outside("127.0.0.1", door)


def own_tunnel(stage: Stage) -> None:
    """A tunnel program of one's own, streams framed in one connection."""
    _own_tunnel(stage, "0")


def own_tunnel_padded(stage: Stage) -> None:
    """The same, with 48 more bytes a message."""
    _own_tunnel(stage, "48")


def _own_tunnel(stage: Stage, pad: str) -> None:
    inner, up, door = stage.service(), stage.port(), stage.port()
    stage.far_talk("far_end", str(up), str(door), pad)
    stage.job_talk_later("tunnel", OUTSIDE, str(up), "127.0.0.1", str(inner), pad)
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def reverse_in_the_trainer(stage: Stage) -> None:
    """The tunnel lives in a process that also uploads and talks to its peers."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    store, peer = stage.far_service(), stage.near_service()
    stage.far_talk("far_end", str(up), str(door), "0")
    parts = ["tunnel", OUTSIDE, str(up), "127.0.0.1", str(inner), "0"]
    parts += ["+", "stream", OUTSIDE, str(store), stage.seconds, stage.seed, "up"]
    parts += ["+", "use", NEAR, str(peer), stage.seconds, stage.seed]
    stage.job_talk_later("both", *parts)
    stage.use_outside("127.0.0.1", door)


def websocket_tunnel(stage: Stage) -> None:
    """aiowstunnel, in chisel's place (Debian, PyPI and npm have none): streams in one WebSocket."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    script = str(stage.folder / "pyssh.py")
    stage.far(PYTHON, "-I", script, "ws_server", str(up))
    stage.job_later(PYTHON, "-I", script, "ws_client", OUTSIDE, str(up), str(door), str(inner))
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def frp_tunnel(stage: Stage) -> None:
    """py-frp, in frp's place: a new outer connection for each inner one."""
    inner, up, door = stage.service(), stage.port(), stage.port()
    there = f'bindAddr = "0.0.0.0"\nbindPort = {up}\nauth.token = "x"\n'
    here = (
        f'serverAddr = "{OUTSIDE}"\nserverPort = {up}\nauth.token = "x"\nserverFingerprint = "..."\n'
        f'[[proxies]]\nname = "x"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {inner}\nremotePort = {door}\n"
    )
    program = path_of("pypi:py-frp")
    stage.far(program, "server", "--no-auto-restart", "-c", stage.file("frps.toml", there))
    stage.job_later(program, "client", "--no-auto-restart", "-c", stage.file("frpc.toml", here))
    stage.use_outside("127.0.0.1", door, stage.rng.choice(("keep", "once")))


def pproxy_backward(stage: Stage) -> None:
    """pproxy's backward proxy: the job waits at the far end for whom to connect."""
    inner, up, door, ask = stage.service(), stage.port(), stage.port(), stage.port()
    program = path_of("pypi:pproxy")
    stage.far(program, "-l", f"socks5://127.0.0.1:{door}", "-r", f"socks5+in://{OUTSIDE}:{up}")
    # a listener beside it: alone it ends at once in 2.7.9
    beside = f"socks5://127.0.0.1:{stage.port()}"
    stage.job_later(program, "-l", beside, "-l", f"socks5+in://{OUTSIDE}:{up}")
    stage.far_talk("socks", str(ask), str(door), "127.0.0.1", str(inner))
    stage.use_outside("127.0.0.1", ask, stage.rng.choice(("keep", "once")))


SITUATIONS = (
    *(Situation(build, BRIDGE) for build in (
        socat_reverse, socat_reverse_tls, socat_exec, own_tunnel, own_tunnel_padded, reverse_in_the_trainer,
        socat_terminal, split_tunnel, striped_tunnel,
    )),
    Situation(netcat_fifo, BRIDGE, ("nc",)),
    Situation(stunnel_reverse, BRIDGE, ("stunnel4",)),
    Situation(websocket_tunnel, BRIDGE, ("pypi:python",)),
    Situation(frp_tunnel, BRIDGE, ("pypi:py-frp",)),
    Situation(pproxy_backward, BRIDGE, ("pypi:pproxy",)),
)  # fmt: skip
