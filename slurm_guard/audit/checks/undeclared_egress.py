"""Destinations outside that neither the site nor the job named, where somebody did name some."""

from dataclasses import dataclass

from slurm_guard.audit.case import Case, counted
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.net.net import Flow
from slurm_guard.audit.net.say import traffic
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    most_named: int = 4  # destinations in the sentence. Judgement: longer lists are not read


@dataclass(slots=True)
class Place:
    """Connections to one place."""

    n: int = 0
    in_b: int = 0
    out_b: int = 0
    exe: str | None = None


def places(flows: list[Flow]) -> dict[str, Place]:
    """By address and port, most bytes first."""
    found: dict[str, Place] = {}
    for flow in flows:
        place = found.setdefault(flow.word.peer, Place(exe=flow.word.exe))
        place.n += 1
        place.in_b += flow.word.in_b or 0
        place.out_b += flow.word.out_b or 0
    return dict(sorted(found.items(), key=lambda item: (-item[1].in_b - item[1].out_b, item[0])))


def find(case: Case, params: Params) -> list[Finding]:
    """Context only: an unknown destination alone is never more than a NOTE."""
    if not case.net.ruled or (case.net.names and not case.net.called):
        return []  # nobody said what is allowed, or in names that no address can be held against
    # a place without a name may be one that the job named
    known = case.net.called if case.net.names else None
    out = [f for f in case.net.flows if f.goes_out and f.allowed is None]
    found = places([f for f in out if known is None or f.word.peer in known])
    if not found:
        return []
    first = list(found.items())[: params.most_named]
    named = "; ".join(f"{case.net.place(peer)} ({traffic(p.in_b, p.out_b)})" for peer, p in first)
    sentence = (
        f"Connections to {counted(len(found), 'place', 'places')} outside that neither the site's rules nor "
        f"the job's declaration name: {named}."
    )
    evidence = [
        Evidence(
            f"{counted(p.n, 'connection', 'connections')} of {p.exe or 'a process'} to {peer}",
            float(p.in_b + p.out_b),
            "bytes both ways",
            "lake table flows",
            f"flows with peer {peer}",
            "[network] egress, or egress= in the job's comment or extra",
        )
        for peer, p in first
    ]
    return [finding(CHECK, case, Rating(Severity.LOW, 0.9, 0.5, Audience.OWNER), sentence, *evidence)]


CHECK = Check(
    "undeclared-egress",
    "Destinations that nobody named",
    Family.F,
    detects="Connections that the run opened to addresses outside which are neither in [network] egress or "
    "tunnels nor in the job's own egress=, where one of them says something.",
    does_not_detect="Anything where neither the site nor the job named a destination, or where the job "
    "named host names that [network] resolver_log does not tell: addresses are all that is seen.",
    false_alarms="Content networks answer from ever new addresses. Context, without weight as a second "
    "kind of evidence: an unknown destination alone is never more than a NOTE.",
    remedy="Declare networks (egress=203.0.113.0/24:443), or list them in [network] egress.",
    params=Params(),
    find=find,
    explained=(
        Example("busy-clients", "nobody said what is allowed"),
        Example("idle-declared", "the job declared the destination"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("undeclared", "the job declared to speak to nobody, and did"),),
)
