"""A process of the run that takes connections from near and goes out for them."""

from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.net.bridges import Bridge
from slurm_guard.audit.net.proxies import Params, found_proxies
from slurm_guard.audit.net.say import coupling, for_long, traffic, who
from slurm_guard.model import Audience, Family, Finding, Severity


def find(case: Case, params: Params) -> list[Finding]:
    """Context where somebody of the job goes out by it; worth a look where it serves others than the run."""
    found = [
        b for b in found_proxies(case.net, params) if not b.tunnel and b.allowed is None and not _helper(b)
    ]
    if not found:
        return []
    proxy = max(found, key=lambda b: (b.guests, b.least_b))
    someone = who(proxy.node, proxy.pids, proxy.exe, several_nodes=len(case.run.nodes) > 1)
    clients = "from beyond the run's own nodes" if proxy.guests else "on its node"
    sentence = (
        f"{someone} accepted connections {clients} and went out to {proxy.far} for "
        f"them {for_long(proxy.first_at, proxy.last_at)} ({traffic(proxy.in_b, proxy.out_b)}): a forward "
        "proxy."
    )
    rating = Rating(Severity.LOW, 0.8, ASKS if proxy.guests else 0.5, Audience.OPERATOR)
    return [finding(CHECK, case, rating, sentence, *(coupling(case.run, b, _CLEARS) for b in found[:5]))]


def _helper(proxy: Bridge) -> bool:
    """All known clients are the training's own processes, on the run's nodes: its logger's service, say."""
    return not proxy.guests and bool(proxy.clients) and proxy.clients <= {"linked", "kin"}


_CLEARS = "a helper of the job (a logger's service, a dashboard) or a proxy that the site names in [network]"

CHECK = Check(
    "forward-proxy",
    "A way out for others",
    Family.F,
    detects="A process that accepts connections from near and hands them on to one that it opened to "
    "outside: ssh -L and -D, a SOCKS or HTTP proxy, whatever it is called. A look is asked for where its "
    "clients are not on the run's own nodes.",
    does_not_detect="What goes through it; a proxy to a place in the cluster; one that uses sockets of the "
    "file system on its near side.",
    false_alarms="Loggers' services (W&B of old) and dashboards have this shape. Where only the processes "
    "that train use it, nothing is said; otherwise it is context and no second kind of evidence. A gateway "
    "of the job that serves the login node and asks outside for the answers looks like a proxy for others.",
    remedy="Ask what it is for; give jobs a proxy of the site's, named in [network] tunnels.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "no connections at all"),
        Example("logger", "the trainer's own W&B service takes its metrics out"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("proxy", "a program of the job goes out for another one: context"),
        Example("proxy-for-others", "nodes that are not the run's go out through it"),
    ),
    attack=("T1090",),
)
