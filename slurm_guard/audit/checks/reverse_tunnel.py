"""A process that hands bytes on between a connection it opened outwards and one it opened inwards."""

from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import ASKS, HARD, Check, Example, Rating, finding
from slurm_guard.audit.net.bridges import Bridge
from slurm_guard.audit.net.hints import hint
from slurm_guard.audit.net.net import Kind
from slurm_guard.audit.net.policy import JOB
from slurm_guard.audit.net.say import coupling, for_long, port_of, service, traffic, where, who
from slurm_guard.audit.net.tunnels import Params, found_bridges, grade, may_ask
from slurm_guard.model import Audience, Family, Finding, Severity
from slurm_guard.networks import CLUSTER, OUTSIDE

_TRAINERS = frozenset({"linked", "kin"})  # processes on the run's GPUs that its progress is tied to


def find(case: Case, params: Params) -> list[Finding]:
    """A hard finding for coupled bridges to outside that nobody allowed; a soft one for the others."""
    hard: list[tuple[Bridge, float]] = []
    soft: list[tuple[Bridge, float]] = []
    for bridge, sure in found_bridges(case.net, params):
        if bridge.tunnel:
            continue
        weight = _weight(bridge, sure, asks=may_ask(bridge, params))
        if weight >= HARD:
            hard.append((bridge, weight))
        elif weight > 0:
            soft.append((bridge, weight))
    found = [_finding(case, group, hard=True) for group in (hard,) if group]
    return found + [_finding(case, group, hard=False) for group in (soft,) if group]


def _weight(bridge: Bridge, sure: float, *, asks: bool) -> float:
    """HARD: beyond doubt and to outside, where nobody allowed anything."""
    trains = bool(bridge.ties & _TRAINERS)
    if bridge.near == OUTSIDE and sure == 1.0 and bridge.kind is Kind.BRIDGE and not asks:
        # what trains and nothing else: by its name and far end another's may be counted with it
        return HARD if bridge.allowed is None and not bridge.ties <= _TRAINERS else ASKS
    if bridge.near == OUTSIDE:
        return 0.9 if trains else ASKS  # a trainer's own clients live side by side all night
    # Ranks hand on what they receive, and a tunnel to the login node is how many reach a notebook.
    return 0.0 if bridge.near != CLUSTER or sure < 1.0 or trains else ASKS


def _finding(case: Case, group: list[tuple[Bridge, float]], *, hard: bool) -> Finding:
    bridge, weight = max(group, key=lambda pair: pair[1])
    extra = hint(bridge.exe, case.net.person(bridge.node, (*bridge.pids, None)[0]), None)
    if hard:
        rating = Rating(Severity.HIGH, 0.95, HARD, Audience.OPERATOR, hard=True)
    else:
        weight += extra.weight if weight >= ASKS else 0.0
        rating = Rating(Severity.MEDIUM, 0.8 if bridge.share >= 0.3 else 0.5, weight, Audience.OPERATOR)
    others = f" {counted(len(group) - 1, 'other tunnel', 'other tunnels')} beside it." if group[1:] else ""
    evidence = [coupling(case.run, b, _CLEARS) for b, _ in group[:5]]
    return finding(
        CHECK,
        case,
        rating,
        _sentence(case, bridge, extra.words, sure=grade(bridge, CHECK.params) == 1) + others,
        *evidence,
    )


def _sentence(case: Case, bridge: Bridge, hints: tuple[str, ...], *, sure: bool) -> str:
    someone = who(bridge.node, bridge.pids, bridge.exe, several_nodes=len(case.run.nodes) > 1)
    reached = " and ".join(service(end) for end in bridge.inner[:2])
    allowed = {JOB: ", which the job declared,", "site": ", which the site allows as a destination,"}
    said = (
        f"{someone} opened a connection to {case.net.place(bridge.far)} "
        f"{where(bridge.near)}{allowed.get(bridge.allowed or '', '')} and handed it on to {reached} "
        f"{for_long(bridge.first_at, bridge.last_at)} ({traffic(bridge.in_b, bridge.out_b)}): "
    )
    if sure and may_ask(bridge, CHECK.params):
        said += (
            "a tunnel in use, or a program that asks there by itself and hands on what it gets (a worker, a "
            "mirror, an uplink). It was not seen that the far end asks and has its answers from here."
        )
    elif sure:
        said += "a reverse tunnel in use."
    else:
        said += "perhaps a tunnel in use, for little of it reappeared there."
    if bridge.kind is Kind.UNCLEAR:
        said += " Who opened the connections is not known of all of them."
    elif sure and not may_ask(bridge, CHECK.params) and any(port_of(end) == 22 for end in bridge.inner):
        said += " Whoever is at the far end could reach this node's ssh."
    return said + (f" {'; '.join(hints)[:1].upper()}{'; '.join(hints)[1:]}." if hints else "")


_CLEARS = (
    "a tunnel that the site permits ([network] tunnels names its far end or its program), or a program "
    "that by its nature answers outside requests from a local service, such as federated learning's client"
)

CHECK = Check(
    "reverse-tunnel",
    "A way in from outside",
    Family.F,
    detects="One process, or several joined by pipes, with a connection that it opened outwards and one that "
    "it opened to this node or the cluster, where the bytes of one reappear on the other in both directions. "
    "Name, port and protocol do not matter. Coupled, led by the far end, to an outside place that neither "
    "the site nor the job names, it is a hard fact. The far end leads where, at rest, the last of it was a "
    "question from there that went in at once and an answer that went out at once, on an inner connection "
    "that is the later one.",
    does_not_detect="A tunnel that nobody used (see lone-connection), one over UDP or inside the kernel "
    "(WireGuard), one whose two sides do not move within the same look, one whose far side was accepted, "
    "or one inside the training process to a place in the cluster; one inside it to outside is told softly. "
    "One of which it was not seen that the far end leads is no hard fact: one that polls, one whose far end "
    "acknowledges each answer, one that is never at rest, one whose inner connections last less than a look, "
    "one that opened its inner connection before the outer one.",
    false_alarms="A worker that is given requests by an outside queue on a connection that stays, word for "
    "word and without acknowledgements, is built like a tunnel; so is `code tunnel`: name it in [network] "
    "tunnels. So is a program that connects outside first and nearby second, and then hands on what it gets, "
    "both ways and nearly as it is: each answer from outside to a queue on the node which answers with the "
    "next task for there, an environment's observations to a policy server and its actions back, a "
    "federation's weights to a rank and back. Where it has its service nearby first it is told softly, as is "
    "what adds words of its own, asks outside, or copies. To a place "
    "in the cluster (a notebook reached through the login node), to a declared or allowed destination, and "
    "where little reappeared, the finding is soft. What a run's own nodes say to each other is left out.",
    remedy="Ask the owner what was reached through it; look at sshd's journal and authorized_keys on the "
    "node.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "no connections at all"),
        Example("busy-clients", "object storage beside a rendezvous, a database, W&B: clients side by side"),
        Example("ring", "ranks that hand on what they receive, between the run's own nodes"),
        Example("allowed-tunnel", "the site's configuration names the tunnel's far end"),
        Example("notebook", "a notebook that the login node connects to"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("tunnel", "ssh -R by another name, used to reach the node's sshd"),
        Example("tunnel-to-login", "the same to a place in the cluster: soft"),
        Example("asking-worker", "tasks from outside to a local model server, word for word: soft"),
        Example("faint-tunnel", "only a little reappeared: soft"),
    ),
    attack=("T1572", "T1090", "T1021.004"),
)
