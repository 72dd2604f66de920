"""Devices' kinds, routes of both families and policy rules by rtnetlink, in the words of `ip`.

Routes of every table but `local`, which repeats the node's own addresses. /proc/net/route knows neither IPv6
nor a second table nor whether a route leads nowhere: a VPN's default route stands in a table of its own.
"""

from __future__ import annotations

import _socket
import struct
import time

from slurm_guard.hooks.netdump import attributes, number, text, walk
from slurm_guard.light import Any, Callable

MAX_ROWS = 256  # kept of each list; a compute node has tens (judgement)
MAX_DUMP_S = 0.003  # CPU time of our own for each of the four questions: some 300 routes or 100 devices
_ROUTE = 0  # NETLINK_ROUTE
_GET_LINK, _GET_ROUTE, _GET_RULE = 18, 26, 34
_FAMILIES = ((_socket.AF_INET, "inet"), (_socket.AF_INET6, "inet6"))
_NO_STATISTICS = struct.pack("=HHI", 8, 29, 1 << 3)  # IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS
_NEXT = struct.Struct("=HBBi")  # rtnexthop
_ETHERNET = 1  # ARPHRD
_LOCAL, _MAIN = 255, 254
_CLONED = 0x200  # RTM_F_CLONED: an entry that the kernel made for one peer
_TYPES = {2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable"}
_TYPES |= {8: "prohibit", 9: "throw", 10: "nat"}
_NAMED = {_LOCAL: "local", _MAIN: "main", 253: "default"}
_ACTIONS = {2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
_NOT = 2  # FIB_RULE_INVERT


class Found:
    """What was told of one list: rows, and why not all of it."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.n = 0
        self.left_off = False

    def why(self) -> str | None:
        """Null: everything that there is was kept."""
        if self.left_off:
            return f"left off after {self.n}"
        return f"{MAX_ROWS} of {self.n} kept" if self.n > MAX_ROWS else None


def read_routing() -> dict[str, Any]:
    """`kinds` (device -> kind, where it has one), `routes` and `rules`, each null with a reason in `why`."""
    why: dict[str, str] = {}
    told: dict[str, Any] = {"kinds": None, "routes": None, "rules": None, "why": why}
    names: dict[int, str] = {}
    try:
        told["kinds"] = _kinds(names, why)
    except OSError as error:
        why["kinds"] = error.strerror or "refused"
    steps: tuple[tuple[str, Callable[[], Found]], ...] = (
        ("routes", lambda: _both(_GET_ROUTE, lambda body, _: _route(body, names))),
        ("rules", lambda: _both(_GET_RULE, _rule)),
    )
    for part, step in steps:
        try:
            found = step()
            reason = found.why()
            told[part] = sorted(found.rows)
        except OSError as error:
            reason = error.strerror or "refused"
        if reason is not None:
            why[part] = reason
    return told


def _kinds(names: dict[int, str], why: dict[str, str]) -> dict[str, str]:
    """Device -> kind (veth, bridge, wireguard, tun …) of those that are not hardware; fills `names`."""
    kinds: dict[str, str] = {}
    until_s = time.thread_time() + MAX_DUMP_S
    for bodies in walk(_ROUTE, _GET_LINK, bytes(16) + _NO_STATISTICS):
        for body in bodies:
            _, hardware, index, _, _ = struct.unpack_from("=BxHiII", body)
            told = attributes(body, 16)
            name = text(told.get(3, b""))
            names[index] = name
            kind = text(attributes(told.get(18, b""), 0).get(1, b""))
            if kind:
                kinds[name] = "tap" if kind == "tun" and hardware == _ETHERNET else kind
        if time.thread_time() > until_s:
            why["kinds"] = f"left off after {len(names)}"
            break
    if len(kinds) > MAX_ROWS:
        why.setdefault("kinds", f"{MAX_ROWS} of {len(kinds)} kept")
    return dict(sorted(kinds.items())[:MAX_ROWS])


def _both(kind: int, parse: Callable[[bytes, str], str | None]) -> Found:
    """Rows of IPv4 and IPv6. Raises OSError where a family refuses."""
    found = Found()
    for family, name in _FAMILIES:
        until_s = time.thread_time() + MAX_DUMP_S
        for bodies in walk(_ROUTE, kind, bytes([family]) + bytes(11)):
            for body in bodies:
                # a kernel without the family answers with all that it has
                row = parse(body, name) if body[0] == family else None
                if row is not None:
                    found.n += 1
                    if len(found.rows) < MAX_ROWS:
                        found.rows.append(row)
            if time.thread_time() > until_s:
                found.left_off = True
                break
    return found


def _route(body: bytes, names: dict[int, str]) -> str | None:
    """`blackhole 10.9.0.0/16 metric 5 table 100`; null for what is not a site's doing."""
    family, width, _, _, table, _, _, kind = body[:8]
    told = attributes(body, 12)
    table = number(told.get(15, bytes([table])))
    if table == _LOCAL or number(body[8:12]) & _CLONED:
        return None
    parts = [_TYPES[kind]] if kind in _TYPES else []
    parts.append(f"{_address(family, told.get(1))}/{width}")
    if body[2]:
        parts.append(f"from {_address(family, told.get(2))}/{body[2]}")
    parts += _hop(family, told, number(told[4]) if 4 in told else None, names)
    hops = told.get(9, b"")
    while len(hops) >= _NEXT.size:
        length, _, _, index = _NEXT.unpack_from(hops)
        if length < _NEXT.size:
            break
        parts += _hop(family, attributes(hops[:length], _NEXT.size), index, names)
        hops = hops[(length + 3) & ~3 :]
    if 6 in told:
        parts.append(f"metric {number(told[6])}")
    if table != _MAIN:
        parts.append(f"table {_NAMED.get(table, table)}")
    return " ".join(parts)


def _hop(family: int, told: dict[int, bytes], index: int | None, names: dict[int, str]) -> list[str]:
    """Where a route leads: its gateway, its device, its encapsulation."""
    parts = []
    if 5 in told:
        parts.append(f"via {_address(family, told[5])}")
    elif 18 in told:  # RTA_VIA: a gateway of another family
        parts.append(f"via {_address(number(told[18][:2]), told[18][2:])}")
    if 22 in told:
        parts.append(f"encap {number(told.get(21, b''))}")
    return parts if index is None else [*parts, f"dev {names.get(index, f'if{index}')}"]


def _address(family: int, packed: bytes | None) -> str:
    width = 4 if family == _socket.AF_INET else 16
    return _socket.inet_ntop(family, (packed or bytes(width))[:width])


_MASKED = "fwmark"
# FRA_*: word before the value, and how the value is written.
_SELECTORS: tuple[tuple[int, str], ...] = ((3, "iif"), (17, "oif"), (10, _MASKED), (20, "uidrange"))
_SELECTORS += ((22, "ipproto"), (23, "sport"), (24, "dport"), (4, "goto"))


def _rule(body: bytes, name: str) -> str:
    """`inet 32765: from 10.0.0.0/8 lookup 100`."""
    family, to_width, from_width, tos, table, _, _, action = body[:8]
    told = attributes(body, 12)
    parts = [f"{name} {number(told.get(6, b''))}:", *(["not"] if number(body[8:12]) & _NOT else [])]
    parts.append(f"from {_address(family, told.get(2))}/{from_width}" if from_width else "from all")
    if to_width:
        parts.append(f"to {_address(family, told.get(1))}/{to_width}")
    if tos:
        parts.append(f"tos {tos:#x}")
    for kind, word in _SELECTORS:
        if kind in told:
            parts.append(f"{word} {_value(kind, told)}")
    if action == 1:
        table = number(told.get(15, bytes([table])))
        parts.append(f"lookup {_NAMED.get(table, table)}")
    elif action != 2:  # goto is told with its target
        parts.append(_ACTIONS.get(action, f"action {action}"))
    if number(told.get(14, b"\xff\xff\xff\xff")) != 0xFFFFFFFF:
        parts.append(f"suppress_prefixlength {number(told[14])}")
    return " ".join(parts)


def _value(kind: int, told: dict[int, bytes]) -> str:
    value = told[kind]
    if kind in (3, 17):
        return text(value)
    if kind == 10:
        mask = number(told.get(16, b"\xff\xff\xff\xff"))
        return f"{number(value):#x}" + ("" if mask == 0xFFFFFFFF else f"/{mask:#x}")
    if kind in (20, 23, 24):
        half = len(value) // 2
        return f"{number(value[:half])}-{number(value[half:])}"
    return str(number(value))
