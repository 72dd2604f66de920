"""The network lane of a run's timeline: who spoke to whom, from first to last sight, with bytes each way."""

from slurm_guard.audit.amounts import counted, sized
from slurm_guard.audit.case import Case
from slurm_guard.audit.net import lone, proxies, scans, tunnels
from slurm_guard.audit.net.bridges import Bridge
from slurm_guard.audit.net.briefs import Brief
from slurm_guard.audit.net.hints import base
from slurm_guard.audit.net.net import Flow
from slurm_guard.audit.net.nodewide import CHANGED, GONE, NEW, Change, mixed
from slurm_guard.audit.net.policy import JOB, SITE
from slurm_guard.audit.net.say import service, traffic, where, who
from slurm_guard.audit.net.unseen import Unseen
from slurm_guard.model import TimelineEvent

MOST = 12  # judgement: a lane of more is not read; the lake has every connection
MOST_STAYED = 3  # nodes of which changes are shown. Judgement
_OVER_RUN = {
    NEW: "after the run and not before",
    GONE: "before the run and not after",
    CHANGED: "changed over the run",
}
MOST_CLIENTS = 4  # of these, plain clients to outside, which speak for nothing by themselves. Judgement
_ALLOWED = {SITE: ", allowed by the site", JOB: ", declared by the job"}


def network_events(case: Case) -> list[TimelineEvent]:
    """Tunnels, proxies, scans and lone connections, then the plain clients that moved most; at most MOST."""
    stayed = [*_stayed(case), *(_unseen(case, one) for one in case.net.unseen)]
    if not case.net.flows and not case.net.relays and not case.net.briefs:
        return stayed
    bridges = tunnels.found_bridges(case.net, tunnels.Params())
    forwards = proxies.found_proxies(case.net, proxies.Params())
    alone = lone.found_lone(case.net, lone.Params())
    found = [_relay(case, b, "reverse tunnel" if sure == 1 else "perhaps a tunnel") for b, sure in bridges]
    found += [_relay(case, b, "forward proxy") for b in forwards]
    found += [
        _event(scan.first_at, scan.last_at, f"scan: {base(scan.exe)} tried {scan.n_places:,} {scan.what}")
        for scan in scans.found_scans(case.net, scans.Params())
    ]
    found += [_lone(case, flow) for flow in alone]
    first = {b.far for b, _ in bridges} | {b.far for b in forwards}  # how long their far side was held
    shown = {f.word.peer for f in alone}
    clients = [*_clients(case, first, shown), *_briefs(case)]
    found = [*stayed, *found]
    return [*found[:MOST], *clients[: max(0, MOST - len(found))]]


def _stayed(case: Case) -> list[TimelineEvent]:
    """In what the epilog's look differs from the prolog's, node by node, at the epilog's."""
    by_node: dict[str, list[Change]] = {}
    for change in case.net.changes:
        by_node.setdefault(change.node, []).append(change)
    several = len(case.run.nodes) > 1
    events = []
    for node, changes in sorted(by_node.items())[:MOST_STAYED]:
        parts = []
        for how, words in _OVER_RUN.items():
            alike = [c for c in changes if c.how == how]
            some = [c.shown for c in mixed(alike) if c.n == 1][:3]
            n_more = sum(c.n for c in alike) - len(some)
            more = f" and {n_more:,} more" if n_more else ""
            parts += [f"{words}{f', on {node}' if several else ''}: {', '.join(some)}{more}"] if some else []
        events.append(_event(changes[0].at, changes[0].at, "; ".join(parts)))
    return events


def _unseen(case: Case, one: Unseen) -> TimelineEvent:
    node = f", on {one.node}" if len(case.run.nodes) > 1 else ""
    return _event(one.first_at, one.last_at, f"not to be told{node}: {one.text}")


def _event(first_at: float, last_at: float, text: str) -> TimelineEvent:
    return TimelineEvent(first_at, last_at, "network", text)


def _relay(case: Case, bridge: Bridge, what: str) -> TimelineEvent:
    into, out = bridge.coupled_b
    allowed = ", allowed by the site" if bridge.tunnel else _ALLOWED.get(bridge.allowed or "", "")
    inner = " and ".join(service(end) for end in bridge.inner[:2])
    text = (
        f"{what}: {_who(case, bridge.node, bridge.pids, bridge.exe)} between {case.net.place(bridge.far)} "
        f"{where(bridge.near)} and {inner}; {traffic(bridge.in_b, bridge.out_b)}, of which "
        f"{sized(into)} and {sized(out)} were passed on{allowed}"
    )
    return _event(bridge.first_at, bridge.last_at, text)


def _lone(case: Case, flow: Flow) -> TimelineEvent:
    word = flow.word
    text = (
        f"lone connection: {_who(case, word.node, (word.pid,), word.exe)} to {case.net.place(word.peer)}; "
        f"{traffic(word.in_b, word.out_b)}{_ALLOWED.get(flow.allowed or '', '')}"
    )
    return _event(word.first_at, word.last_at, text)


def _clients(case: Case, first: set[str], shown: set[str]) -> list[TimelineEvent]:
    """Connections to outside, one event a program, and one a program and place for the far ends of relays."""
    groups: dict[tuple[str, str, str], list[Flow]] = {}
    for flow in case.net.flows:
        peer = flow.word.peer
        if (flow.goes_out or peer in first) and peer not in shown:
            key = (flow.word.node, flow.word.exe or "", peer if peer in first else "")
            groups.setdefault(key, []).append(flow)
    sums = {key: _total(flows) for key, flows in groups.items()}
    ordered = sorted(groups, key=lambda key: (not key[2], -sum(sums[key]), key))
    return [_client(case, groups[key], sums[key]) for key in ordered[:MOST_CLIENTS]]


def _briefs(case: Case) -> list[TimelineEvent]:
    """Connections to outside that came and went unseen, one event for each node."""
    by_node: dict[str, list[Brief]] = {}
    for brief in case.net.briefs:
        if any(place.goes_out for place in brief.places):
            by_node.setdefault(brief.node, []).append(brief)
    events = []
    for node, briefs in sorted(by_node.items())[:MOST_CLIENTS]:
        out = [place for brief in briefs for place in brief.places if place.goes_out]
        n = sum(b.grown(sum(p.goes_out for p in b.places), b.n) for b in briefs)
        hosts = {place.peer.rpartition(":")[0] for place in out}
        sure = "" if all(b.is_sure for b in briefs) else ", this run's or the node's own"
        text = (
            f"about {n:,} short connections of {_who(case, node, (briefs[0].pid,), briefs[0].exe)}{sure} to "
            f"{counted(len(hosts), 'address', 'addresses')} and more outside, {case.net.place(out[0].peer)} "
            f"one of them; {traffic(sum(p.in_b for p in out), sum(p.out_b for p in out))}"
        )
        events.append(_event(min(b.first_at for b in briefs), max(b.last_at for b in briefs), text))
    return events


def _total(flows: list[Flow]) -> tuple[int, int]:
    """Bytes in and out."""
    return sum(f.word.in_b or 0 for f in flows), sum(f.word.out_b or 0 for f in flows)


def _client(case: Case, flows: list[Flow], total: tuple[int, int]) -> TimelineEvent:
    words = [f.word for f in flows]
    pids = tuple(dict.fromkeys(w.pid for w in words))
    peers = sorted({w.peer for w in words})
    first = case.net.place(peers[0])
    places = first if len(peers) == 1 else f"{len(peers):,} places outside, {first} one of them"
    n = counted(len(words), "connection", "connections")
    text = f"{n} of {_who(case, words[0].node, pids, words[0].exe)} to {places}; {traffic(*total)}"
    allowed = {f.allowed for f in flows}
    text += _ALLOWED.get(flows[0].allowed or "", "") if len(allowed) == 1 else ""
    return _event(min(w.first_at for w in words), max(w.last_at for w in words), text)


def _who(case: Case, node: str, pids: tuple[int | None, ...], exe: str | None) -> str:
    return who(node, pids, exe, several_nodes=len(case.run.nodes) > 1)
