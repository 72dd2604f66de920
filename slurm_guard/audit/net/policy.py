"""How near a place is, and who allowed a connection to it: the site's rules and the job's own declaration."""

from collections.abc import Mapping
from dataclasses import dataclass

from slurm_guard.config import NetworkConfig
from slurm_guard.model import Run
from slurm_guard.networks import Nearness, Net, Place, Rule, is_loopback, parse_net, parse_place, parse_rule

Addresses = frozenset[tuple[int, int]]  # (bits, address)
SITE, JOB = "site", "job"  # whose word allows a connection
LEAST_BITS = 8  # of a network that a job may declare. Judgement: a wider one names nobody


@dataclass(frozen=True, slots=True)
class Rules:
    """[network], read once a night. `programs`: full paths whose tunnels are allowed. Each with to whom."""

    near: Nearness
    egress: tuple[tuple[Net, Rule], ...]
    tunnels: tuple[tuple[Net, Rule], ...]
    programs: tuple[Rule, ...]
    names: Mapping[tuple[int, int], tuple[str, ...]]  # of addresses, as the site's resolver gave them out

    def nets_for(self, run: Run | None) -> tuple[tuple[Net, ...], tuple[Net, ...], frozenset[str]]:
        """(egress, tunnels, programs) that hold for a run; null: those for everybody."""
        who = {} if run is None else {"user": run.user, "account": run.account, "partition": run.partition}
        return (
            tuple(net for net, rule in self.egress if rule.is_for(**who)),
            tuple(net for net, rule in self.tunnels if rule.is_for(**who)),
            frozenset(rule.what for rule in self.programs if rule.is_for(**who)),
        )


def read_rules(config: NetworkConfig, names: Mapping[tuple[int, int], tuple[str, ...]]) -> Rules:
    """The site's words as networks. Raises ValueError for what is none."""
    tunnels = [parse_rule(text) for text in config.tunnels]
    return Rules(
        Nearness(config.cluster),
        tuple((parse_net(rule.what), rule) for rule in map(parse_rule, config.egress)),
        tuple((parse_net(rule.what), rule) for rule in tunnels if not rule.what.startswith("/")),
        tuple(rule for rule in tunnels if rule.what.startswith("/")),
        names,
    )


class Ground:
    """The places that one run speaks to. Remembers what it parsed: many connections lead to few addresses.

    `own`: each node's addresses; `run`: whose rules hold; `declared`: the job's `egress=`, null: none.
    """

    def __init__(
        self,
        rules: Rules,
        own: Mapping[str, Addresses],
        run: Run,
        declared: tuple[str, ...] | None,
    ) -> None:
        self.rules = rules
        self._own = own
        self._inside = frozenset().union(*(own.get(node, frozenset()) for node in run.nodes))
        self._declared, self.names = _split(declared or ())
        self._egress, self._tunnels, self._programs = rules.nets_for(run)
        self.is_ruled = declared is not None or bool(rules.egress)
        self._places: dict[str, Place | None] = {}

    def place(self, text: str) -> Place | None:
        """Null for what is no place."""
        if text not in self._places:
            self._places[text] = _parse(text)
        return self._places[text]

    def near(self, node: str, text: str) -> int | None:
        """LOOPBACK, CLUSTER or OUTSIDE as seen from the node; null: no place."""
        place = self.place(text)
        return None if place is None else self.rules.near.of(place, self._own.get(node, frozenset()))

    def inside(self, text: str) -> bool:
        """Whether it is a node of this run: what its own parts say to each other leads nowhere else."""
        place = self.place(text)
        return place is not None and (is_loopback(place) or (place.bits, place.address) in self._inside)

    def egress(self, text: str) -> str | None:
        """Who allowed a connection to the place: SITE, JOB, or null."""
        place = self.place(text)
        if place is None:
            return None
        if any(net.holds(place) for net in (*self._egress, *self._tunnels)):
            return SITE
        if any(net.holds(place) for net in self._declared):
            return JOB
        return JOB if self.names and self._is_named(place) else None

    def _is_named(self, place: Place) -> bool:
        """Whether the site's resolver gave the address out for a name that the job declared."""
        told = self.rules.names.get((place.bits, place.address), ())
        return any(_covers(declared, name, place.port) for declared in self.names for name in told)

    def name(self, text: str) -> str | None:
        """What the site's resolver called the place's address, last of all."""
        place = self.place(text)
        told = () if place is None else self.rules.names.get((place.bits, place.address), ())
        return told[0] if told else None

    def tunnel(self, text: str, exe: str | None) -> bool:
        """Whether the site allows this tunnel, by its far end or its program."""
        place = self.place(text)
        return exe in self._programs or (place is not None and any(net.holds(place) for net in self._tunnels))


def _covers(declared: str, name: str, port: int) -> bool:
    """`example.org`, `example.org:443` or `*.example.org` as a job declares them."""
    host, colon, only = declared.lower().rpartition(":")
    if not colon or not only.isdecimal():
        host, only = declared.lower(), ""
    if only and int(only) != port:
        return False
    return name == host or (host.startswith("*.") and name.endswith(host[1:]))


def _parse(text: str) -> Place | None:
    try:
        return parse_place(text)
    except ValueError:
        return None


def _split(declared: tuple[str, ...]) -> tuple[tuple[Net, ...], tuple[str, ...]]:
    """Networks, and names, which cannot be compared with addresses; half the world is no destination."""
    nets: list[Net] = []
    names: list[str] = []
    for text in declared:
        try:
            net = parse_net(text)
        except ValueError:
            names.append(text)
            continue
        if net.length >= LEAST_BITS:
            nets.append(net)
    return tuple(nets), tuple(names)
