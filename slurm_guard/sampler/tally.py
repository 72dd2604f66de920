"""Connections counted by far end, in bounded room however many there are."""

from __future__ import annotations

import _socket

from slurm_guard import wirenet
from slurm_guard.light import Iterable
from slurm_guard.sampler.tcpsample import place

MOST_PLACES = 512  # far ends with counts of their own. Judgement
MOST_TOLD = 32  # of these in one record, half of them those with most connections. Judgement
_BITS = 1 << 15  # of a sketch, 4 KiB: numbers up to some 100,000 to within a few percent
_MIX = 0x9E3779B97F4A7C15


class Sketch:
    """About how many different things were seen, by linear counting (Whang and others, 1990)."""

    __slots__ = ("_bits", "_n_set")

    def __init__(self) -> None:
        self._bits = bytearray(_BITS >> 3)
        self._n_set = 0

    def add(self, thing: bytes) -> None:
        """Seen."""
        at = (hash(thing) * _MIX >> 40) & (_BITS - 1)
        byte, bit = at >> 3, 1 << (at & 7)
        if not self._bits[byte] & bit:
            self._bits[byte] |= bit
            self._n_set += 1

    def merge(self, other: Sketch) -> None:
        """What either has seen."""
        bits = int.from_bytes(self._bits, "little") | int.from_bytes(other._bits, "little")
        self._bits = bytearray(bits.to_bytes(_BITS >> 3, "little"))
        self._n_set = bits.bit_count()

    @property
    def number(self) -> int:
        """How many."""
        from math import log

        return round(-_BITS * log(max(1, _BITS - self._n_set) / _BITS))


class Tally:
    """Each far end (tcpends.key_of) with [connections, failed ones, bytes out, bytes in]."""

    __slots__ = ("_addresses", "_all", "places", "rest")

    def __init__(self) -> None:
        self.places: dict[bytes, list[int]] = {}
        self.rest = [0, 0, 0, 0]  # of those beyond MOST_PLACES, together
        self._addresses: Sketch | None = None  # there once places are left out
        self._all: Sketch | None = None

    @property
    def n(self) -> int:
        """Connections."""
        return self.rest[0] + sum(counts[0] for counts in self.places.values())

    def add(self, key: bytes, *, failed: bool, out_b: int, in_b: int) -> None:
        """One connection."""
        counts = self.places.get(key)
        if counts is None:
            counts = self._place(key)
        counts[0] += 1
        counts[1] += failed
        counts[2] += out_b
        counts[3] += in_b

    def _place(self, key: bytes) -> list[int]:
        if len(self.places) < MOST_PLACES:
            counts = self.places[key] = [0, 0, 0, 0]
            return counts
        if self._addresses is None or self._all is None:
            self._addresses, self._all = _sketch(k[:-2] for k in self.places), _sketch(self.places)
        self._addresses.add(key[:-2])
        self._all.add(key)
        return self.rest

    def add_place(self, key: bytes, counts: list[int]) -> None:
        """Connections to one far end."""
        mine = self.places.get(key) or self._place(key)
        for at, n in enumerate(counts):
            mine[at] += n

    def add_all(self, other: Tally) -> None:
        """What another counted."""
        for key, counts in other.places.items():
            self.add_place(key, counts)
        self.add_rest(other)

    def add_rest(self, other: Tally) -> None:
        """What another counted together, and how many places those were."""
        if other._addresses is None or other._all is None:
            return
        if self._addresses is None or self._all is None:
            self._addresses, self._all = _sketch(k[:-2] for k in self.places), _sketch(self.places)
        self._addresses.merge(other._addresses)
        self._all.merge(other._all)
        for at, n in enumerate(other.rest):
            self.rest[at] += n

    @property
    def n_addresses(self) -> int:
        """Different addresses, about."""
        listed = len({key[:-2] for key in self.places})
        return listed if self._addresses is None else max(listed, self._addresses.number)

    @property
    def n_places(self) -> int:
        """Different addresses with their ports, about."""
        return len(self.places) if self._all is None else max(len(self.places), self._all.number)

    def sums(self) -> list[int]:
        """[connections, failed ones, bytes out, bytes in] of all."""
        return [self.rest[at] + sum(c[at] for c in self.places.values()) for at in range(4)]

    def told(self) -> list[wirenet.PlaceCount]:
        """Those with most connections, and some of the others, as evenly as they came."""
        keys = sorted(self.places, key=lambda key: (-self.places[key][0], -self.places[key][3]))
        first, others = keys[: MOST_TOLD // 2], keys[MOST_TOLD // 2 :]
        step = max(1, -(-len(others) // (MOST_TOLD - MOST_TOLD // 2)))
        chosen = [*first, *others[::step]]
        return [wirenet.PlaceCount(text_of(key), *self.places[key]) for key in chosen]


def _sketch(things: Iterable[bytes]) -> Sketch:
    sketch = Sketch()
    for thing in things:
        sketch.add(thing)
    return sketch


def text_of(key: bytes) -> str:
    """A far end as a record has it; port 0: the kernel did not tell it any more."""
    return place(_socket.AF_INET if key[:1] == b"\x02" else _socket.AF_INET6, key[1:17], key[17:])
