"""Connections and relays of the audit's small worlds, from a few plain statements.

`Talk("203.0.113.9:443")` is a connection that the job's process opened; `Handed(…)` a relay. The places:
203.0.113.0/24 and 198.51.100.0/24 (documentation) are outside, 10.0.0.0/8 is the cluster, 10.0.0.5 the node.
"""

from dataclasses import dataclass
from typing import Any

OUT = "203.0.113.9:443"
NODE_AT = "10.0.0.5"
MIB = 1 << 20


@dataclass(frozen=True)
class Talk:
    """One connection. Times in seconds from the run's start; `who`: a tenant's name, a pid, or null."""

    peer: str = OUT
    from_s: float = 600.0
    until_s: float = 9000.0
    who: str | int | None = 300
    exe: str | None = "/usr/bin/ssh"
    opened: bool | None = True
    out_b: int | None = 9000
    in_b: int | None = 9000
    local: str = f"{NODE_AT}:40000"
    gone: bool = True
    state: str = "ESTABLISHED"
    cookie: int | None = None
    netns: int | None = None
    proto: str = "tcp"


@dataclass(frozen=True)
class Handed:
    """One relay: what came from outer and appeared on inner. `coupled`: share of what inner carried."""

    outer: str = OUT
    inner: str = "127.0.0.1:22"
    from_s: float = 1200.0
    until_s: float = 7200.0
    who: tuple[str | int, ...] = (300,)
    exe: str | None = "/home/ann/.cache/update"
    outer_opened: bool | None = True
    inner_opened: bool | None = True
    inner_local: str = "127.0.0.1:50022"
    outer_b: tuple[int, int] = (2 * MIB, 20 * MIB)  # in, out
    inner_b: tuple[int, int] = (19 * MIB, 1 * MIB)  # in, out
    coupled: float = 0.97
    n_coupled: int = 90
    n_busy: int = 120
    led: bool | None = True


@dataclass(frozen=True)
class Counted:
    """Connections that the node only counted; of `n_places` far ends `places` are listed, alike in all."""

    places: tuple[str, ...]
    n_places: int
    n_each: int = 1
    failed: bool = False
    in_b: int = 0  # of each connection
    out_b: int = 0
    how: str | None = "alike"
    from_s: float = 600.0
    until_s: float = 660.0


def brief_rows(counted: tuple[Counted, ...], run: str | None, at: float) -> list[dict[str, Any]]:
    """One row each, as the sampler writes them."""
    rows: list[dict[str, Any]] = []
    for one in counted:
        n, k = one.n_places * one.n_each, len(one.places)
        hosts = {place.rpartition(":")[0] for place in one.places}
        rows.append({
            "run": run, "how": one.how, "first_seen_at": at + one.from_s, "last_seen_at": at + one.until_s,
            "n": n, "n_failed": n * one.failed, "out_b": n * one.out_b, "in_b": n * one.in_b, "n_unheard": 0,
            "n_addresses": one.n_places if len(hosts) > 1 else 1, "n_places": one.n_places,
            "peer": list(one.places), "peer_n": [one.n_each] * k,
            "peer_failed": [one.n_each * one.failed] * k,
            "peer_out_b": [one.n_each * one.out_b] * k, "peer_in_b": [one.n_each * one.in_b] * k,
        })  # fmt: skip
    return rows


def flow_rows(
    talks: tuple[Talk, ...], run: str | None, at: float, pids: dict[str, int]
) -> list[dict[str, Any]]:
    """Two rows a connection, as the sampler writes them: first sight and last word."""
    rows: list[dict[str, Any]] = []
    for k, talk in enumerate(talks):
        base = {
            "run": run, "pid": _pid(talk.who, pids), "exe": talk.exe, "proto": talk.proto,
            "local": talk.local, "peer": talk.peer, "state": talk.state, "inode": 7000 + k,
            "netns": talk.netns, "opened": talk.opened,
            "cookie": 90_000 + k if talk.cookie is None else talk.cookie,
        }  # fmt: skip
        first = {"first_seen_at": at + talk.from_s, "last_seen_at": at + talk.from_s, "gone": False}
        last = {"first_seen_at": at + talk.from_s, "last_seen_at": at + talk.until_s, "gone": talk.gone}
        rows += [{**base, **first, "out_b": 0, "in_b": 0} if talk.out_b is not None else {**base, **first}]
        rows += [{**base, **last, "out_b": talk.out_b, "in_b": talk.in_b}]
    return rows


def relay_rows(
    handed: tuple[Handed, ...], run: str | None, at: float, pids: dict[str, int]
) -> list[dict[str, Any]]:
    """The last word on each relay, and a first one."""
    rows: list[dict[str, Any]] = []
    for k, relay in enumerate(handed):
        base = {
            "run": run, "pids": [_pid(who, pids) for who in relay.who], "exe": relay.exe,
            "outer_local": f"{NODE_AT}:{41_000 + k}", "outer_peer": relay.outer,
            "outer_opened": relay.outer_opened,
            "outer_cookie": 80_000 + k, "inner_local": relay.inner_local, "inner_peer": relay.inner,
            "inner_opened": relay.inner_opened, "n_inner": 1, "led": relay.led,
            "first_seen_at": at + relay.from_s,
        }  # fmt: skip
        whole = {
            "outer_in_b": relay.outer_b[0], "outer_out_b": relay.outer_b[1], "inner_in_b": relay.inner_b[0],
            "inner_out_b": relay.inner_b[1], "coupled_in_b": int(relay.coupled * relay.inner_b[1]),
            "coupled_out_b": int(relay.coupled * relay.inner_b[0]), "n_busy": relay.n_busy,
            "n_coupled": relay.n_coupled,
        }  # fmt: skip
        early = {name: value // 10 for name, value in whole.items()}
        rows.append({**base, **early, "last_seen_at": at + relay.from_s + 10, "gone": False})
        rows.append({**base, **whole, "last_seen_at": at + relay.until_s, "gone": True})
    return rows


def _pid(who: str | int | None, pids: dict[str, int]) -> int | None:
    return pids[who] if isinstance(who, str) else who
