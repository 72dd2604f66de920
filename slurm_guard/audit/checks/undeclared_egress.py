"""Destinations outside that neither the site nor the job named, where somebody did name some."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.net.briefs import Brief
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
    is_sure: bool = True  # the run's; else no other user was on the node, and it may be the node's own


def places(flows: list[Flow], briefs: tuple[Brief, ...] = ()) -> dict[str, Place]:
    """By address and port, most bytes first; of `briefs` what leads out and nobody allowed."""
    found: dict[str, Place] = {}
    for brief in briefs:
        for told in brief.places:
            if told.goes_out and told.allowed is None:
                place = found.setdefault(told.peer, Place(exe=brief.exe, is_sure=False))
                place.n += told.n
                place.in_b += told.in_b
                place.out_b += told.out_b
                place.is_sure = place.is_sure or brief.is_sure
    for flow in flows:
        place = found.setdefault(flow.word.peer, Place(exe=flow.word.exe))
        place.n += 1
        place.is_sure = True
        place.exe = place.exe or flow.word.exe
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
    found = {
        peer: place for peer, place in places(out, case.net.briefs).items() if known is None or peer in known
    }
    if not found:
        return []
    first = list(found.items())[: params.most_named]
    named = "; ".join(f"{case.net.place(peer)} ({_words(p)})" for peer, p in first)
    sentence = (
        f"Connections to {counted(len(found), 'place', 'places')} outside that neither the site's rules nor "
        f"the job's declaration name: {named}."
    )
    evidence = [
        Evidence(
            f"{counted(p.n, 'connection', 'connections')} of {p.exe or 'a process'} to {peer}",
            float(p.in_b + p.out_b),
            "bytes both ways",
            "lake tables flows and briefs",
            see.both(
                see.rows(case.run, "flows", "", (("peer", peer),)),
                see.rows(case.run, "briefs", "", (("peer", peer),)),
            ),
            "a destination that the site allows ([network] egress), or that the job declares (egress= in "
            "its comment or extra)",
        )
        for peer, p in first
    ]
    return [finding(CHECK, case, Rating(Severity.LOW, 0.9, 0.5, Audience.OWNER), sentence, *evidence)]


def _words(place: Place) -> str:
    doubt = "" if place.is_sure else "; the run's or the node's own, no other user was there"
    return f"{traffic(place.in_b, place.out_b)}{doubt}"


CHECK = Check(
    "undeclared-egress",
    "Destinations that nobody named",
    Family.F,
    detects="Connections that the run opened to addresses outside which are neither in [network] egress or "
    "tunnels nor in the job's own egress=, where one of them says something; also those that came and went "
    "between two looks of the node.",
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
    attack=("T1071",),
)
