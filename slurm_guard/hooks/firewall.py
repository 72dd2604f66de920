"""nf_tables as it stands: tables, chains, how many rules each has, and a digest of what they say.

Handles, positions and counters are left out of the digest: a ruleset that was loaded anew, or only used, is
the same one. Members of sets are not looked at. Nothing is asked of a kernel that has not loaded nf_tables:
the question itself would load it.
"""

from __future__ import annotations

import os
import struct
import time

from slurm_guard.hooks.environ import read_small
from slurm_guard.hooks.netdump import ONE, attributes, text, walk
from slurm_guard.light import Any
from slurm_guard.wirenet import Firewall, NetChain

MAX_ROWS = 256  # chains and tables kept; a site's own ruleset has tens (judgement)
MAX_RULES_S = 0.006  # CPU time of our own for the rules: about 1,500 (measured)
MAX_LISTS_S = 0.002  # for tables and for chains
_NETFILTER = 12
_NFT = 10 << 8  # NFNL_SUBSYS_NFTABLES
_GET_TABLE, _GET_CHAIN, _GET_RULE, _GET_GENERATION = _NFT | 1, _NFT | 4, _NFT | 7, _NFT | 16
_ANY = bytes(4)  # nfgenmsg: every family
_U16 = struct.Struct("=HH")
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_OF_FAMILY = {3: ("input", "output", "forward"), 5: ("ingress", "egress")}
_POLICIES = ("drop", "accept")
_DORMANT = 1
_PLACES = (3, 6, 8)  # a rule's handle, position and padding
# Expressions whose data is a count that goes on by itself: the attribute with their name.
_COUNTS = tuple(
    struct.pack("=HH", 5 + len(name), 1) + name + b"\0" * (4 - len(name) % 4)
    for name in (b"counter", b"quota", b"last")
)
_MAX_MODULES_B, _MAX_NAMES_B = 1 << 18, 4096
_LEGACY = ("ip", "ip6", "arp")


def read_firewall(proc: str = "/proc", lib: str = "/lib/modules") -> dict[str, Any]:
    """`firewall`, null with a reason in `why`; reasons of its parts stand there as well."""
    why: dict[str, str] = {}
    legacy = _legacy(proc, why)
    if not _is_loaded(proc, lib):
        why["nf_tables"] = "not loaded"
        return {"firewall": Firewall(None, [], [], 0, 0, legacy), "why": why}
    try:
        generation = _generation()
        tables = _tables(why)
        chains = _Chains()
        chains.read(why)
        if _generation() != generation:
            raise OSError(4, "changed while it was read")
    except OSError as error:
        why["firewall"] = error.strerror or "refused"
        return {
            "firewall": None if legacy is None else Firewall(None, [], [], None, None, legacy),
            "why": why,
        }
    kept = chains.kept(why)
    n_chains = None if "chains" in why and chains.cut else len(chains.found)
    return {"firewall": Firewall(generation, tables, kept, n_chains, chains.n_rules, legacy), "why": why}


def _is_loaded(proc: str, lib: str) -> bool:
    """Whether a question would load nothing: nf_tables is there, or no module can be loaded."""
    try:
        modules = b"\n" + read_small(f"{proc}/modules", _MAX_MODULES_B)
    except FileNotFoundError:  # a kernel without modules
        return True
    if b"\nnf_tables " in modules:
        return True
    try:
        return b"/nf_tables.ko" in read_small(f"{lib}/{os.uname().release}/modules.builtin", _MAX_MODULES_B)
    except OSError:
        return False


def _legacy(proc: str, why: dict[str, str]) -> list[str] | None:
    """Tables of the older iptables, `ip filter`; null: not readable. Their rules are not looked at."""
    found: list[str] = []
    for family in _LEGACY:
        try:
            names = read_small(f"{proc}/net/{family}_tables_names", _MAX_NAMES_B).decode("utf-8", "replace")
        except FileNotFoundError:
            continue
        except OSError as error:
            why["legacy"] = error.strerror or "unreadable"
            return None
        found += [f"{family} {name}" for name in names.split()]
    return sorted(found)


def _generation() -> int | None:
    """Counts up with every change of the ruleset."""
    for bodies in walk(_NETFILTER, _GET_GENERATION, _ANY, ONE):
        for body in bodies:
            return int.from_bytes(attributes(body, 4).get(1, b""), "big")
    return None


def _tables(why: dict[str, str]) -> list[str]:
    found: list[str] = []
    until_s = time.thread_time() + MAX_LISTS_S
    for bodies in walk(_NETFILTER, _GET_TABLE, _ANY):
        for body in bodies:
            told = attributes(body, 4)
            asleep = int.from_bytes(told.get(2, b""), "big") & _DORMANT
            found.append(f"{_family(body)} {text(told.get(1, b''))}" + (" (dormant)" if asleep else ""))
        if time.thread_time() > until_s:
            why["tables"] = f"left off after {len(found)}"
            break
    if len(found) > MAX_ROWS:
        why.setdefault("tables", f"{MAX_ROWS} of {len(found)} kept")
    return sorted(found)[:MAX_ROWS]


def _family(body: bytes) -> str:
    return _FAMILIES.get(body[0], str(body[0]))


class _Chains:
    """Chains by family, table and name, and the rules that were read of each."""

    def __init__(self) -> None:
        self.found: dict[bytes, NetChain] = {}
        self.cut = False
        self.n_rules: int | None = 0
        self._counts: dict[bytes, int] = {}
        self._digests: dict[bytes, Any] = {}

    def read(self, why: dict[str, str]) -> None:
        """Raises OSError."""
        until_s = time.thread_time() + MAX_LISTS_S
        for bodies in walk(_NETFILTER, _GET_CHAIN, _ANY):
            for body in bodies:
                told = attributes(body, 4)
                self.found[_key(body[:1], told.get(1, b""), told.get(3, b""))] = _chain(body, told)
            if time.thread_time() > until_s:
                self.cut = True
                why["chains"] = f"left off after {len(self.found)}"
                break
        if self.found:
            self._read_rules(why)

    def _read_rules(self, why: dict[str, str]) -> None:
        """The kernel tells them chain by chain: all but the last chain are whole when we leave off."""
        blake2b = _hasher()
        n, key = 0, b""
        counts, digests = self._counts, self._digests
        until_s = time.thread_time() + MAX_RULES_S
        for bodies in walk(_NETFILTER, _GET_RULE, _ANY):
            for body in bodies:
                key, said = split_rule(body)
                if key not in digests:
                    digests[key], counts[key] = blake2b(digest_size=8), 0
                digests[key].update(said)
                counts[key] += 1
            n += len(bodies)
            if time.thread_time() > until_s:
                self.n_rules = None
                why["rules of chains"] = f"left off after {n}"
                del digests[key]  # perhaps not whole
                return
        self.n_rules = n

    def kept(self, why: dict[str, str]) -> list[NetChain]:
        """Chains with what is known of their rules, those that packets meet first before the others."""
        rows: list[NetChain] = []
        if not self.found:
            return rows
        empty = _hasher()(digest_size=8) if self.n_rules is not None else None
        for key, chain in self.found.items():
            digest = self._digests.get(key, empty)
            if digest is not None:
                chain = chain._replace(n_rules=self._counts.get(key, 0), digest=digest.hexdigest())
            rows.append(chain)
        if len(rows) > MAX_ROWS:
            why.setdefault("chains", f"{MAX_ROWS} of {len(rows)} kept")
        rows.sort(key=lambda chain: (chain.hook is None, chain.table, chain.chain))
        return rows[:MAX_ROWS]


def _hasher() -> Any:
    """Where there is no chain, its half millisecond is saved."""
    try:
        from _blake2 import blake2b
    except ImportError:  # an interpreter without CPython's accelerator
        from hashlib import blake2b
    return blake2b


def _key(family: bytes, table: bytes, chain: bytes) -> bytes:
    return family + table + chain  # both end in a zero


def _chain(body: bytes, told: dict[int, bytes]) -> NetChain:
    hook = policy = None
    if 4 in told:
        at = attributes(told[4], 0)
        place, priority = (int.from_bytes(at.get(i, b""), "big", signed=i == 2) for i in (1, 2))
        names = _OF_FAMILY.get(body[0], _HOOKS)
        hook = f"{names[place] if place < len(names) else place} {priority}"
        hook += f" dev {text(at[3])}" if 3 in at else ""
    if 5 in told:
        word = int.from_bytes(told[5], "big")
        policy = _POLICIES[word] if word < len(_POLICIES) else str(word)
    table = f"{_family(body)} {text(told.get(1, b''))}"
    return NetChain(table, text(told.get(3, b"")), hook, policy, None, None)


def split_rule(body: bytes) -> tuple[bytes, bytes]:
    """A rule's chain as a key, and what the rule says without handle, position and counts. Raises OSError."""
    at, names = 4, []
    for wanted in (1, 2):
        length, kind = _U16.unpack_from(body, at)
        if kind != wanted or length < 5:
            raise OSError(71, "a rule is out of form")
        names.append(body[at + 4 : at + length])
        at += (length + 3) & ~3
    while at + 4 <= len(body):
        length, kind = _U16.unpack_from(body, at)
        if kind & 0x3FFF not in _PLACES or length < 4:
            break
        at += (length + 3) & ~3
    said = body[at:]
    for mark in _COUNTS:
        place = said.find(mark)
        while place >= 0:
            data = place + len(mark)
            length = _U16.unpack_from(said, data)[0] if data + 4 <= len(said) else 4
            said = said[: data + 4] + said[data + max(4, length) :]
            place = said.find(mark, data + 4)
    return _key(body[:1], *names), said
