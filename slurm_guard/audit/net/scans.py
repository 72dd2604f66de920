"""Probes: many short, nearly empty connections to many places."""

from dataclasses import dataclass

from slurm_guard.audit.net.net import Flow, Net
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


def found_scans(net: Net, params: Params) -> list[Scan]:
    """At most one of each sort and node."""
    probes: dict[str, list[Flow]] = {}
    for flow in net.flows:
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
