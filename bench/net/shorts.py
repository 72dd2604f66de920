"""Tunnels that are used by short connections, or by many at once; and honest programs that take what is
asked outside to a service of the job's, and the answer back."""

from bench.net.hosts import NEAR, OUTSIDE
from bench.net.programs import PYTHON
from bench.net.shape import BRIDGE, NONE, REVIEW, Situation
from bench.net.stage import Stage

_PAGES = """
while :; do
    n=$(( RANDOM * 32768 % 58000 + 2000 ))
    if curl -s -m 10 -o /dev/null http://127.0.0.1:{door}/$n; then
        printf . >>$GUARD_USES
        [ -e $GUARD_USES.began ] || cut -d' ' -f1 /proc/uptime >$GUARD_USES.began
    fi
    sleep {pause:.2f}
done
"""


def _between(stage: Stage) -> list[str]:
    return [PYTHON, "-I", str(stage.folder / "between.py")]


def _reverse(stage: Stage, *where: str) -> int:
    """`ssh -R` to a service, or without one (SOCKS); the door outside."""
    door = stage.port()
    stage.job("ssh", "-N", "-R", ":".join(("127.0.0.1", str(door), *where)), *stage.ssh)
    return door


def _browse(stage: Stage, door: int) -> None:
    pages = _PAGES.format(door=door, pause=stage.rng.uniform(0.6, 2))
    stage.at(stage.hosts.outside, "bash", "-c", pages, delay_s=stage.a_while(1.0))


def ssh_reverse_pages(stage: Stage) -> None:
    """`ssh -R` to a web server: pages by curl, each by a connection that is closed at once."""
    web = stage.port()
    stage.job_talk("http", "127.0.0.1", str(web))
    _browse(stage, _reverse(stage, "127.0.0.1", str(web)))


def ssh_reverse_pages_near(stage: Stage) -> None:
    """The same to a web server of another node."""
    web = stage.port()
    stage.near_talk("http", NEAR, str(web))
    _browse(stage, _reverse(stage, NEAR, str(web)))


def ssh_reverse_socks_near(stage: Stage) -> None:
    """`ssh -R PORT`: a service of another node is asked by SOCKS, one short connection after the other."""
    port = stage.near_service()
    words = ("crawl", str(_reverse(stage)), NEAR, stage.seed, str(port))
    stage.at(stage.hosts.outside, *_between(stage), *words, delay_s=stage.a_while(1.0))


def _model(stage: Stage, n: int, pause: tuple[str, str], answer: tuple[str, str, str]) -> None:
    inner = stage.port()
    stage.job(*_between(stage), "model", str(inner), *answer)
    door = _reverse(stage, "127.0.0.1", str(inner))
    for k in range(n):
        words = ("ask", str(door), f"{stage.seed}{k}", *pause)
        stage.at(stage.hosts.outside, *_between(stage), *words, delay_s=stage.a_while(1.0))


def ssh_reverse_model(stage: Stage) -> None:
    """`ssh -R` to a language model's server: one user, tokens as they come, pauses to read."""
    _model(stage, 1, ("0.3", "1.5"), ("0.5", "2", "stream"))


def ssh_reverse_model_busy(stage: Stage) -> None:
    """The same with eight users who hardly pause: it is never at rest."""
    _model(stage, 8, ("0.0", "0.2"), ("0.5", "2", "stream"))


def _environment(stage: Stage, how: str) -> None:
    port, near = stage.port(), stage.port()
    stage.job(*_between(stage), "policy", str(near))
    stage.far(*_between(stage), "environment", str(port), stage.seed)
    stage.job_later(*_between(stage), "agent", OUTSIDE, str(port), str(near), how)


def environment_outside(stage: Stage) -> None:
    """An agent between an environment outside and a policy of the job's (WebSockets), with its own words."""
    _environment(stage, "plain")


def environment_outside_lean(stage: Stage) -> None:
    """The same that hands on what it gets as it is: made to find the bound."""
    _environment(stage, "lean")


def environment_outside_probed(stage: Stage) -> None:
    """The same that has its policy first, and had asked it by a connection of its own whether it is ready."""
    _environment(stage, "probed")


def _federation(stage: Stage, others: tuple[str, str, str], own: tuple[str, str]) -> None:
    port, near = stage.port(), stage.port()
    stage.far(*_between(stage), "federation", str(port), *others)
    stage.job(*_between(stage), "rank", str(near), *own)
    stage.job_later(*_between(stage), "member", OUTSIDE, str(port), str(near))


def federated_member(stage: Stage) -> None:
    """A client of a federation outside, whose weights a rank of the job's trains for a second or so."""
    _federation(stage, ("0.5", "2.5", "400000"), ("0.5", "2"))


def federated_member_quick(stage: Stage) -> None:
    """The same with small weights and a rank that answers within 50 ms: made to find the bound."""
    _federation(stage, ("0.5", "2.5", "40000"), ("0.01", "0.05"))


_PYPI = ("pypi:python",)
SITUATIONS = (
    *(Situation(build, REVIEW, ("curl",)) for build in (ssh_reverse_pages, ssh_reverse_pages_near)),
    Situation(ssh_reverse_socks_near, REVIEW),
    *(Situation(build, BRIDGE) for build in (ssh_reverse_model, ssh_reverse_model_busy)),
    *(
        Situation(build, NONE, _PYPI)
        for build in (environment_outside, environment_outside_lean, environment_outside_probed)
    ),
    *(Situation(build, NONE) for build in (federated_member, federated_member_quick)),
)
