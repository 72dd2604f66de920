"""What stayed on a node's network after a run and had not been there before, and what went or changed."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.net.changes import CONNECTION, LISTENER
from slurm_guard.audit.net.nodewide import (
    CHANGED,
    DEVICE,
    FILTER,
    GONE,
    LEGACY,
    NAMES,
    NEW,
    ROUTE,
    RULE,
    Change,
    mixed,
)
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Weights."""

    # A connection of the owner's after the job's end is his own doing; an ssh session of his has one too.
    connected: float = 0.5  # judgement: context
    # A way out, a default route or a packet filter alters what the node's runs could reach: worth knowing,
    # whoever did it.
    telling: float = 0.1  # judgement: context, the least there is
    # Listeners are editors' and tmux's as well; other routes and name servers are anybody's doing.
    other: float = 0.0  # judgement: shown, and held against nobody


_OWN = (LISTENER, CONNECTION)
_NAMES = {
    LISTENER: ("listener of the owner's", "listeners of the owner's"),
    CONNECTION: ("connection of the owner's", "connections of the owner's"),
    DEVICE: ("network device", "network devices"),
    ROUTE: ("route", "routes"),
    RULE: ("policy rule", "policy rules"),
    FILTER: ("chain of packet filters", "chains of packet filters"),
    LEGACY: ("iptables table", "iptables tables"),
    NAMES: ("name server", "name servers"),
}
_SEE = {
    LISTENER: "ss -tlnp",
    CONNECTION: "ss -tnp",
    DEVICE: "ip -d link",
    ROUTE: "ip route show table all; ip -6 route show table all",
    RULE: "ip rule; ip -6 rule",
    FILTER: "nft list ruleset",
    LEGACY: "iptables-legacy-save",
    NAMES: "cat /etc/resolv.conf",
}
_HOW = {NEW: "more than before", GONE: "fewer than before", CHANGED: "not as before"}
_OPENINGS = {
    NEW: "After the run there were on its nodes, and not before:",
    GONE: "Before the run there were, and not after:",
    CHANGED: "Changed over the run:",
}


def find(case: Case, params: Params) -> list[Finding]:
    """Context at most: nothing of it is tied to the run's processes."""
    changes = case.net.changes
    if not changes:
        return []
    said = " ".join(
        f"{opening} {parts}." for how, opening in _OPENINGS.items() if (parts := _parts(changes, how))
    )
    telling = [c for c in changes if c.telling]
    if telling:
        n_more = sum(c.n for c in telling) - len(telling[:2])
        more = f" and {n_more:,} more" if n_more else ""
        named = ", ".join(f"{c.shown} on {c.node} ({c.how})" for c in telling[:2])
        said += f" It may alter where packets go: {named}{more}."
    if any(c.kind not in _OWN for c in changes):
        said += _whose(changes)
    connected = any(c.kind == CONNECTION for c in changes)
    weight = params.connected if connected else params.telling if telling else params.other
    rating = Rating(Severity.LOW, 0.6, weight, Audience.OPERATOR)
    order = mixed(sorted(changes, key=lambda c: (c.kind not in _OWN, not c.telling)))
    return [finding(CHECK, case, rating, said, *(_evidence(case, c) for c in order[:8]))]


def _parts(changes: tuple[Change, ...], how: str) -> str:
    counts = {kind: sum(c.n for c in changes if (c.kind, c.how) == (kind, how)) for kind in _NAMES}
    return ", ".join(counted(n, *_NAMES[kind]) for kind, n in counts.items() if n)


def _whose(changes: tuple[Change, ...]) -> str:
    """The node's changes are nobody's, and where others were there it is said how many."""
    n_beside = max(c.n_beside for c in changes if c.kind not in _OWN)
    if not n_beside:
        return " Devices, routes and filters are the node's: nothing ties them to the run."
    others = counted(n_beside, "other run was", "other runs were")
    return f" {others} on the node meanwhile: this is the node's, and nothing ties it to any of them."


def _evidence(case: Case, change: Change) -> Evidence:
    return Evidence(
        f"{change.shown} on {change.node}: {change.how}",
        float(change.n),
        _HOW[change.how],
        "lake tables tickets and ends",
        see.beside(see.told(case.run, "at,net", change.node), f"now: {_SEE[change.kind]}"),
        "a service of the owner's outside the job (tmux, an ssh session), or an admin's change meanwhile",
    )


CHECK = Check(
    "network-changed",
    "The network after the run",
    Family.F,
    detects="Listeners and connections of the owner's that the epilog saw and the prolog did not; devices "
    "that lead into another network by their kind (tun, WireGuard and the like) or did before, and routes, "
    "policy rules, chains of packet filters and name servers of the node that came, went or changed: a "
    "tunnel that outlived its job, a VPN, a filter that was opened.",
    does_not_detect="What came and went during the run (see the connections themselves), what was there "
    "before, a change that was undone; members of nf_tables sets, rules of the older iptables, a resolver "
    "behind a local one, networks of containers' own; the devices that the kernel itself makes with a module "
    "(sit0, tunl0); sockets on nodes where another run of the owner's was.",
    false_alarms="An ssh session or a tmux of the owner's beside the job, and whatever an admin, a container "
    "service or another job changed on the node meanwhile. What is the node's is tied to nobody: a way out, "
    "a default or dead-end route, a policy rule or a filter at a hook makes a NOTE at most, on every run "
    "that was there; other routes and name servers are shown only.",
    remedy="See whose the sockets are while they last; have epilogs end what jobs leave behind "
    "(pam_slurm_adopt, proctrack/cgroup); ask who changed the node.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "no snapshot, or two that are alike"),
        Example("same-network", "the same listeners before and after, and another user's new one"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("network-left-open", "a listener of the owner's stayed, and a WireGuard device appeared"),
        Example("network-rerouted", "the node's default route and a packet filter are others than before"),
    ),
    attack=("T1133", "T1572", "T1562.004"),
)
