"""What stayed on a node's network after a run and had not been there before."""

from dataclasses import dataclass

from slurm_guard.audit.case import Case, counted
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.net.changes import CONNECTION, DEVICE, LISTENER, Change
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Weights."""

    # A connection of the owner's after the job's end is his own doing; an ssh session of his has one too.
    connected: float = 0.5  # judgement: context
    # Listeners are editors' and tmux's as well; devices, routes and name servers are anybody's doing.
    other: float = 0.0  # judgement: shown, and held against nobody


def find(case: Case, params: Params) -> list[Finding]:
    """Context at most: nothing of it is tied to the run's processes."""
    changes = case.net.changes
    if not changes:
        return []
    own = [c for c in changes if c.kind in (LISTENER, CONNECTION)]
    devices = [c for c in changes if c.kind == DEVICE]
    parts = [counted(len(group), one, many) for group, one, many in _groups(changes) if group]
    said = f"After the run there were on its nodes, and not before: {', '.join(parts)}."
    if devices:
        said += f" {devices[0].what} on {devices[0].node} is named like a device that leads elsewhere."
    connected = any(c.kind == CONNECTION for c in changes)
    rating = Rating(Severity.LOW, 0.6, params.connected if connected else params.other, Audience.OPERATOR)
    order = [*own, *(c for c in changes if c.kind not in (LISTENER, CONNECTION))]
    return [finding(CHECK, case, rating, said, *(_evidence(c) for c in order[:8]))]


def _groups(changes: tuple[Change, ...]) -> list[tuple[list[Change], str, str]]:
    names = {
        LISTENER: ("listener of the owner's", "listeners of the owner's"),
        CONNECTION: ("connection of the owner's", "connections of the owner's"),
        DEVICE: ("network device", "network devices"),
        "route": ("route", "routes"),
        "name server": ("name server", "name servers"),
    }
    return [([c for c in changes if c.kind == kind], *words) for kind, words in names.items()]


def _evidence(change: Change) -> Evidence:
    return Evidence(
        f"{change.kind} on {change.node}: {change.what}",
        1.0,
        "more than before",
        "lake tables tickets and ends",
        f"net of the run's ticket and end mark; ss -tlnp and ip addr on {change.node}",
        "a service of the owner's outside the job (tmux, an ssh session), or an admin's change meanwhile",
    )


CHECK = Check(
    "network-changed",
    "The network after the run",
    Family.F,
    detects="Listeners and connections of the owner's that the epilog saw and the prolog did not, and "
    "devices, routes and name servers that a node had after the run and not before: a tunnel that outlived "
    "its job, a VPN.",
    does_not_detect="What came and went during the run (see the connections themselves), what was there "
    "before, a change that was undone, a device whose name is no VPN's, and sockets on nodes where another "
    "run of the owner's was.",
    false_alarms="An ssh session or a tmux of the owner's beside the job, and whatever an admin or another "
    "job changed on the node meanwhile. Context where a connection stayed; the rest is shown and held "
    "against nobody.",
    remedy="See whose the sockets are while they last; have epilogs end what jobs leave behind "
    "(pam_slurm_adopt, proctrack/cgroup).",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "no snapshot, or two that are alike"),
        Example("same-network", "the same listeners before and after, and another user's new one"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("network-left-open", "a listener of the owner's stayed, and a WireGuard device appeared"),
    ),
    attack=("T1133", "T1572"),
)
