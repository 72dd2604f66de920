"""Probes: many short, nearly empty connections to many places."""

from dataclasses import dataclass, field

from slurm_guard.audit.net.briefs import EMPTY_B, LEAST_PLACES, Brief, BriefPlace
from slurm_guard.audit.net.net import Flow, Net
from slurm_guard.networks import LOOPBACK


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    least_places: int = LEAST_PLACES  # addresses, or ports of one. Judgement: content networks have dozens
    brief_s: float = 15.0  # judgement: two looks; a probe is over at once
    empty_b: int = EMPTY_B  # received. Judgement: a banner; a page or a file is more


@dataclass(frozen=True, slots=True)
class Scan:
    """Probes from one node: of many addresses, or of many ports of one. `known`: bytes were observed, and the
    connections are surely the run's. `n`, `n_places`: about, where they were counted and not listed."""

    node: str
    exe: str | None
    near: int | None
    n: int
    n_places: int
    what: str  # addresses, ports
    known: bool
    first_at: float
    last_at: float


@dataclass(slots=True)
class _Probes:
    """Of one node. Places by address, with ports; `most`: of the places that one brief stands for."""

    ports: dict[str, set[str]] = field(default_factory=dict)
    n_of: dict[str, int] = field(default_factory=dict)
    near: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    n_known: int = 0
    most_addresses: int = 0
    most_ports: dict[str, int] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)

    def add(self, peer: str, n: int, near: int | None, *, known: bool) -> None:
        """Connections to one place."""
        host, _, port = peer.rpartition(":")
        self.ports.setdefault(host, set()).add(port)
        self.n_of[host] = self.n_of.get(host, 0) + n
        self.near += [] if near is None else [near]
        self.n_known += n if known else 0

    def name(self, exe: str | None, n: int) -> None:
        """Whose they were."""
        self.names[exe or ""] = self.names.get(exe or "", 0) + n


def found_scans(net: Net, params: Params) -> list[Scan]:
    """At most one of each sort and node."""
    probes: dict[str, _Probes] = {}
    for flow in net.flows:
        if _is_probe(flow, params):
            mine = probes.setdefault(flow.word.node, _Probes())
            mine.add(flow.word.peer, 1, flow.near, known=flow.word.counted)
            mine.name(flow.word.exe, 1)
            mine.times += [flow.word.first_at, flow.word.last_at]
    for brief in net.briefs:
        _add_brief(probes.setdefault(brief.node, _Probes()), brief, params)
    found = [_scan(node, mine, what, params) for node, mine in sorted(probes.items()) for what in _SORTS]
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


def _is_probed(place: BriefPlace, params: Params) -> bool:
    away = place.near is not None and place.near != LOOPBACK and not place.inside
    return away and place.allowed is None and place.in_b <= params.empty_b * place.n


def _add_brief(probes: _Probes, brief: Brief, params: Params) -> None:
    """The listed places, and how many of all are like them."""
    chosen = [place for place in brief.places if _is_probed(place, params)]
    if not chosen:
        return
    listed: dict[str, int] = {}
    n_chosen = sum(place.n for place in chosen)
    # Half of the list are those with most connections: of the others each stands for as many as the rest.
    n_rest = max(0, brief.n - sum(place.n for place in brief.places))
    n = n_chosen + brief.grown(len(chosen), n_rest)
    for place in chosen:
        probes.add(place.peer, place.n * n // max(1, n_chosen), place.near, known=brief.is_sure)
        host = place.peer.rpartition(":")[0]
        listed[host] = listed.get(host, 0) + 1
    probes.name(brief.exe, n)
    probes.times += [brief.first_at, brief.last_at]
    probes.most_addresses = max(probes.most_addresses, brief.grown(len(chosen), brief.n_addresses))
    for host, n_listed in listed.items():
        grown = brief.grown(n_listed, brief.n_places) if n_listed > 1 else 1
        probes.most_ports[host] = max(probes.most_ports.get(host, 0), grown)


_SORTS = ("addresses", "ports")


def _scan(node: str, probes: _Probes, what: str, params: Params) -> Scan | None:
    if not probes.ports:
        return None
    if what == "ports":
        counts = {host: max(len(p), probes.most_ports.get(host, 0)) for host, p in probes.ports.items()}
        host = max(counts, key=lambda h: (counts[h], h))
        n_places, n = counts[host], probes.n_of[host]
    else:
        n_places, n = max(len(probes.ports), probes.most_addresses), sum(probes.n_of.values())
    if n_places < params.least_places:
        return None
    return Scan(
        node,
        max(probes.names, key=lambda name: (probes.names[name], name)) or None,
        max(probes.near, default=None),
        max(n, n_places),
        n_places,
        what,
        probes.n_known >= 0.5 * sum(probes.n_of.values()),
        min(probes.times),
        max(probes.times),
    )
