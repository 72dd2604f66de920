"""Addresses and networks as the kernel and the configuration write them, in a few lines for the node.

`ipaddress` would cost the sampler a megabyte for what is a shift and a comparison.
"""

from __future__ import annotations

import _socket

from slurm_guard.light import Iterable, NamedTuple

LOOPBACK, CLUSTER, OUTSIDE = 0, 1, 2  # how near the other end of a connection is
# Addresses that are nobody's on the internet (RFC 1918, 6598, 3927, 4193, 4291): a cluster's own.
PRIVATE = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
    *("fc00::/7", "fe80::/10"),
)
_MAPPED = 0xFFFF << 32  # ::ffff:a.b.c.d is the IPv4 address a.b.c.d


class Place(NamedTuple):
    """One end of a connection. `bits`: 32 or 128."""

    bits: int
    address: int
    port: int


class _Net(NamedTuple):
    bits: int
    prefix: int
    length: int
    port: int | None = None


class Net(_Net):
    """A network by the number of its leading bits, with a port where only that one is meant."""

    __slots__ = ()

    def holds(self, place: Place) -> bool:
        """Whether the address, and the port where one is named, is in it."""
        if place.bits != self.bits or self.port not in (None, place.port):
            return False
        return place.address >> (self.bits - self.length) == self.prefix


def is_loopback(place: Place) -> bool:
    """127.0.0.0/8 or ::1."""
    return place.address >> 24 == 127 if place.bits == 32 else place.address == 1


def parse_place(text: str) -> Place:
    """`127.0.0.1:8080` or `[::1]:8080`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bits, address = _address(host)
    return Place(bits, address, _port(port))


def parse_net(text: str) -> Net:
    """`10.0.0.0/8`, `10.0.0.7`, `10.0.0.0/8:443`, `fd00::/8`, `[fd00::/8]:443`. Raises ValueError."""
    host, port = text.strip(), None
    if host.startswith("["):
        host, found, tail = host[1:].partition("]")
        if not found:
            raise ValueError(f"{text!r} lacks a closing bracket")
        port = _port(tail[1:]) if tail[:1] == ":" else None
        if tail and port is None:
            raise ValueError(f"{text!r} is no network")
    elif host.count(":") == 1:
        host, _, tail = host.partition(":")
        port = _port(tail)
    host, slash, size = host.partition("/")
    bits, address = _address(host)
    length = int(size) if slash and size.isdecimal() else bits if not slash else -1
    if not 0 <= length <= bits:
        raise ValueError(f"{text!r} has no prefix length of 0 to {bits}")
    return Net(bits, address >> (bits - length), length, port)


class Rule(NamedTuple):
    """What is allowed, and to whom: `who` maps user, account or partition to names; empty: to everybody."""

    what: str  # a network, or a program's path
    who: dict[str, tuple[str, ...]]

    def is_for(self, **run: str) -> bool:
        """Whether a run with these names is meant: one of each that the rule names."""
        return all(run.get(key) in names for key, names in self.who.items())


QUALIFIERS = ("user", "account", "partition")


def parse_rule(text: str) -> Rule:
    """`198.51.100.0/24:443 account=lab,chem partition=gpu`. Raises ValueError for a qualifier that is empty
    or comes twice; what is none belongs to the network or the path before it."""
    words = text.strip().split(" ")
    who: dict[str, tuple[str, ...]] = {}
    while len(words) > 1 and words[-1].partition("=")[0] in QUALIFIERS and "=" in words[-1]:
        key, _, names = words.pop().partition("=")
        who.setdefault(key, tuple(names.split(",")))
        if "" in who[key] or who[key] != tuple(names.split(",")):
            raise ValueError(f"{key}= in {text!r} is empty or comes twice")
    return Rule(" ".join(words).strip(), who)


def _address(host: str) -> tuple[int, int]:
    host = host.removeprefix("[").removesuffix("]")
    family = _socket.AF_INET6 if ":" in host else _socket.AF_INET
    try:
        packed = _socket.inet_pton(family, host)
    except (OSError, ValueError):
        raise ValueError(f"{host!r} is no address") from None
    number = int.from_bytes(packed, "big")
    if len(packed) == 16 and number >> 32 == _MAPPED >> 32:
        return 32, number & 0xFFFFFFFF
    return 8 * len(packed), number


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"{text!r} is no port")
    return int(text)


class Nearness:
    """How near the far end of a connection is: this node, the cluster, or outside."""

    def __init__(self, cluster: Iterable[str]) -> None:
        self.cluster = [parse_net(text) for text in cluster]

    def of(self, peer: Place, own: frozenset[tuple[int, int]] = frozenset()) -> int:
        """LOOPBACK, CLUSTER or OUTSIDE. `own`: (bits, address) of the node's own addresses."""
        if is_loopback(peer) or (peer.bits, peer.address) in own:
            return LOOPBACK
        return CLUSTER if any(net.holds(peer) for net in self.cluster) else OUTSIDE
