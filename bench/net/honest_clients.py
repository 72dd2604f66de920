"""Honest programs that speak with one place: SSH's, git, curl, uploads and downloads."""

from bench.net.hosts import LOGIN, NEAR, OUTSIDE, SSH_PORT, USER
from bench.net.programs import path_of
from bench.net.shape import NONE, Situation
from bench.net.stage import Stage

_GETS = """used() {{ printf . >>"$GUARD_USES"; }}
for size in {sizes}; do curl -s {web}/$size -o /dev/null && used; sleep 0.4; done
sleep 30
"""


def _sizes(stage: Stage, n: int, least: int, most: int) -> str:
    return " ".join(str(stage.rng.randrange(least, most)) for _ in range(n))


def _web(stage: Stage, *, tls: bool = False, address: str = OUTSIDE) -> str:
    """A web server outside; returns its address."""
    port = stage.port()
    cert = [str(stage.hosts.folder / "cert.pem")] if tls else []
    host = stage.hosts.outside if address == OUTSIDE else stage.hosts.near
    stage.at(host, *stage.talk("http", address, str(port), *cert))
    return f"{'https' if tls else 'http'}://{address}:{port}"


def interactive_ssh(stage: Stage) -> None:
    """A shell over ssh: one connection, commands and their output."""
    stage.shell(
        f"ssh {' '.join(stage.ssh)} 'for i in 1 2 3 4 5 6 7 8 9; do ls -la /etc; sleep 1; done' && used"
    )


def tunnel_unused(stage: Stage) -> None:
    """A remote forward that nobody uses: the outer connection alone."""
    stage.job("ssh", "-N", "-o", "ServerAliveInterval=1", "-R", f"127.0.0.1:{stage.port()}:127.0.0.1:9",
              *stage.ssh)  # fmt: skip


def ssh_pipe(stage: Stage) -> None:
    """A stream into `ssh HOST cat`."""
    size = stage.rng.randrange(5, 40) * 1_000_000
    stage.shell(f"head -c {size} /dev/urandom | ssh {' '.join(stage.ssh)} 'cat >/dev/null' && used; sleep 30")


def scp_to_login(stage: Stage) -> None:
    """Checkpoints to the login node by scp."""
    words = " ".join([*stage.options, "-P", str(SSH_PORT)])
    stage.shell(
        f"for size in {_sizes(stage, 6, 10**5, 10**7)}; do head -c $size /dev/urandom >part; "
        f"scp -q {words} part {USER}@{LOGIN}:part.$$ && used; sleep 1; done"
    )


def sftp_session(stage: Stage) -> None:
    """sftp: requests and answers, one connection outwards."""
    words = " ".join([*stage.options, "-P", str(SSH_PORT)])
    batch = stage.file("batch", "ls -la /etc\nget /etc/services\nls -la /usr/lib\nput key.pub x\n" * 3)
    stage.shell(f"touch key.pub; until sftp -q {words} -b {batch} {USER}@{OUTSIDE} && used; do sleep 1; done")


def rsync_ssh(stage: Stage) -> None:
    """rsync over ssh, up and down: rsync and ssh joined by a socket pair."""
    shell = f"ssh {' '.join(stage.options)} -p {SSH_PORT}"
    stage.shell(
        f"mkdir -p tree; for size in {_sizes(stage, 8, 10**4, 3 * 10**6)}; do "
        f"head -c $size /dev/urandom >tree/$size; rsync -a -e '{shell}' tree {USER}@{OUTSIDE}:$$ && used; "
        f"rsync -a -e '{shell}' {USER}@{OUTSIDE}:$$ back && used; sleep 0.7; done"
    )


def git_ssh(stage: Stage) -> None:
    """git clone and push over ssh: git and ssh joined by pipes."""
    shell = f"ssh {' '.join(stage.options)} -p {SSH_PORT}"
    repo = f"repo{stage.seed}"
    stage.shell(
        f"export GIT_SSH_COMMAND='{shell}' GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a "
        f"GIT_COMMITTER_EMAIL=a@b; "
        f"{shell} {USER}@{OUTSIDE} 'git init -q --bare {repo}'; "
        f"git clone -q {USER}@{OUTSIDE}:{repo} work; cd work; "
        f"for size in {_sizes(stage, 8, 10**3, 2 * 10**6)}; do "
        "head -c $size /dev/urandom >file; git add file; git commit -qm x; git push -q origin HEAD && used; "
        "git fetch -q && used; sleep 0.5; done"
    )


def curl_bursts(stage: Stage) -> None:
    """pip, conda, model hubs: many short connections, downloads."""
    web = _web(stage, tls=True)
    stage.shell(
        f"for i in 1 2 3; do for size in {_sizes(stage, 8, 2000, 4 * 10**6)}; do "
        f"curl -sk {web}/$size -o /dev/null && used; done; sleep {stage.rng.uniform(0.5, 3):.1f}; done"
    )


def hub_downloads(stage: Stage) -> None:
    """Several downloads at a time, each connection kept for a while."""
    far = stage.far_service()
    parts = ["stream", OUTSIDE, str(far), stage.seconds]
    stage.job_talk_later("both", *parts, stage.seed, "down", "+", *parts, f"{stage.seed}/2", "down")


def s3_upload(stage: Stage) -> None:
    """Multipart uploads by curl, parts one after the other and two at a time."""
    web = _web(stage, tls=True)
    stage.shell(
        f"head -c 5000000 /dev/urandom >part; for i in 1 2 3 4 5 6; do "
        f"curl -sk -T part {web}/64 -o /dev/null "
        f"-T part {web}/80 -o /dev/null && used; sleep {stage.rng.uniform(0.2, 1.5):.1f}; done"
    )


def long_poll(stage: Stage) -> None:
    """Long-poll HTTPS: one connection, an answer now and then."""
    web = _web(stage, tls=True)
    waits = " ".join(
        f"{web}/wait/{stage.rng.uniform(0.1, 1.6):.1f}/{stage.rng.randrange(40, 3000)} -o /dev/null"
        for _ in range(6)
    )
    stage.shell(f"for i in 1 2 3 4; do curl -sk {waits} && used; done")


def keep_alive(stage: Stage) -> None:
    """A web client that keeps its connection, small requests with pauses."""
    far = stage.far_service()
    stage.job_talk_later("use", OUTSIDE, str(far), stage.seconds, stage.seed, "keep")


def database_pool(stage: Stage) -> None:
    """A pool of connections to a database outside."""
    far = stage.far_service()
    stage.job_talk_later("pool", OUTSIDE, str(far), stage.seconds, stage.seed, "5")


def remote_files(stage: Stage) -> None:
    """In NFS's place (the kernel's sockets belong to no job): long connections to port 2049."""
    stage.at(
        stage.hosts.near, "sh", "-c", f"exec {' '.join(stage.talk('service', NEAR, '2049'))} 2>/dev/null"
    )
    words = ("stream", NEAR, "2049", stage.seconds)
    stage.job_talk_later("both", *words, stage.seed, "down", "+", *words, f"{stage.seed}/2", "up")


def slirp(stage: Stage) -> None:
    """A rootless container's helper (slirp4netns): its connections leave by it."""
    web = _web(stage)
    loop = _GETS.format(sizes=_sizes(stage, 12, 500, 10**6), web=web)
    inside = stage.file("inside.sh", f"echo $$ >pid\nsleep 1.5\n{loop}")
    slirp4netns = path_of("slirp4netns")
    stage.shell(
        f"unshare --user --map-root-user --net --mount sh {inside} & "
        f"until [ -s pid ]; do sleep 0.1; done; {slirp4netns} --configure --mtu=1500 $(cat pid) tap0"
    )


def pasta(stage: Stage) -> None:
    """The same with pasta."""
    web = _web(stage)
    loop = _GETS.format(sizes=_sizes(stage, 12, 500, 10**6), web=web)
    stage.contained(loop)


SITUATIONS = (
    *(Situation(build, NONE) for build in (
        interactive_ssh, tunnel_unused, ssh_pipe, scp_to_login, sftp_session, hub_downloads, keep_alive,
        database_pool, remote_files,
    )),
    Situation(rsync_ssh, NONE, ("rsync",)),
    Situation(git_ssh, NONE, ("git",)),
    *(Situation(build, NONE, ("curl",)) for build in (curl_bursts, s3_upload, long_poll)),
    Situation(slirp, NONE, ("slirp4netns", "curl")),
    Situation(pasta, NONE, ("pasta", "curl")),
)  # fmt: skip
