"""Many short, nearly empty connections to many places."""

from dataclasses import dataclass

from slurm_guard.audit.case import Case, counted
from slurm_guard.audit.check import ASKS, Check, Example, Rating, finding
from slurm_guard.audit.net.hints import base
from slurm_guard.audit.net.net import Flow
from slurm_guard.audit.net.say import where
from slurm_guard.model import Audience, Evidence, Family, Finding, Severity
from slurm_guard.networks import LOOPBACK


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_places: int = 100  # addresses, or ports of one address. Judgement: content networks have dozens
    brief_s: float = 15.0  # judgement: two looks; a probe is over at once
    empty_b: int = 512  # received. Judgement: a banner; a page or a file is more


@dataclass(frozen=True, slots=True)
class Scan:
    """Probes from one node: of many addresses, or of many ports of one. `known`: bytes were observed."""

    node: str
    exe: str | None
    near: int | None
    n: int
    n_places: int
    what: str  # addresses, ports
    known: bool
    first_at: float
    last_at: float


def found_scans(case: Case, params: Params) -> list[Scan]:
    """At most one of each sort and node."""
    probes: dict[str, list[Flow]] = {}
    for flow in case.net.flows:
        if _is_probe(flow, params):
            probes.setdefault(flow.word.node, []).append(flow)
    found = [_scan(node, flows, what, params) for node, flows in sorted(probes.items()) for what in _SORTS]
    return [scan for scan in found if scan is not None]


def _is_probe(flow: Flow, params: Params) -> bool:
    word = flow.word
    away = flow.near is not None and flow.near != LOOPBACK and not flow.inside
    brief = word.gone and word.age_s <= params.brief_s
    return (
        away
        and brief
        and word.opened is not False
        and (word.in_b is None or word.in_b <= params.empty_b)
        and flow.allowed is None
    )


_SORTS = ("addresses", "ports")


def _scan(node: str, flows: list[Flow], what: str, params: Params) -> Scan | None:
    split = [(*f.word.peer.rpartition(":")[::2], f) for f in flows]
    if what == "ports":
        by_host: dict[str, set[str]] = {}
        for host, port, _ in split:
            by_host.setdefault(host, set()).add(port)
        host = max(by_host, key=lambda h: (len(by_host[h]), h))
        split, n_places = [s for s in split if s[0] == host], len(by_host[host])
    else:
        n_places = len({host for host, _, _ in split})
    if n_places < params.least_places:
        return None
    words = [f.word for _, _, f in split]
    names: dict[str, int] = {}
    for word in words:
        names[word.exe or ""] = names.get(word.exe or "", 0) + 1
    return Scan(
        node,
        max(names, key=lambda name: (names[name], name)) or None,
        max((f.near for _, _, f in split if f.near is not None), default=None),
        len(words),
        n_places,
        what,
        sum(w.counted for w in words) >= 0.5 * len(words),
        min(w.first_at for w in words),
        max(w.last_at for w in words),
    )


def find(case: Case, params: Params) -> list[Finding]:
    """One soft finding; without byte counts a crawler looks the same, and it is context."""
    scans = found_scans(case, params)
    if not scans:
        return []
    scan = max(scans, key=lambda s: (s.known, s.n_places, s.node))
    sentence = (
        f"{base(scan.exe) if scan.exe is not None else 'A process'} on {scan.node} opened "
        f"{counted(scan.n, 'short connection', 'short connections')} to {scan.n_places:,} {scan.what} "
        f"{where(scan.near)} and received next to nothing: a scan looks like this."
    )
    rating = Rating(Severity.MEDIUM, 0.8, ASKS if scan.known else 0.9, Audience.OPERATOR)
    evidence = [
        Evidence(
            f"{s.what} that {base(s.exe)} on {s.node} tried, in {counted(s.n, 'connection', 'connections')}",
            float(s.n_places),
            s.what,
            "lake table flows",
            f"flows of {s.node} with gone and in_b below {params.empty_b}",
            "a program that looks for its partners, or a crawler whose pages are that small",
        )
        for s in scans[:5]
    ]
    return [finding(CHECK, case, rating, sentence, *evidence)]


CHECK = Check(
    "address-scan",
    "Many places tried",
    Family.F,
    detects="Many connections from one node of the run, each over at once and nearly empty, to many "
    "addresses or to many ports of one address that are not the run's own nodes.",
    does_not_detect="A slow scan, one of a few places, one by UDP or raw packets, and connections that were "
    "over before the kernel told of them.",
    false_alarms="Frameworks that look for partners beyond the run's nodes. Downloads of many small files "
    "receive more than a banner. Where bytes are not known a crawler looks the same: context. Soft.",
    remedy="Ask what was looked for; keep compute nodes from management networks.",
    params=Params(),
    find=find,
    explained=(
        Example("busy-clients", "many short downloads from few places"),
        Example("crawler", "thousands of places, and something received from each"),
        Example("ring", "the run's own nodes"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("scan", "every address of a network, one after the other"),),
    attack=("T1046",),
)
