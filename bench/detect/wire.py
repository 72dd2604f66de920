"""Connections of a run: a reverse tunnel with its bytes, and an agent's plain clients."""

from random import Random
from typing import Any

from bench.world.tables import EPOCH_AT, Place, Tables

_MIB = 1 << 20
TUNNEL, CLIENTS, POOL = "tunnel", "clients", "pool"
POOL_PORTS = frozenset({3333, 4444, 5555, 7777, 14444})
_TUNNEL_PID = 4000


def write_network(tables: Tables, place: Place, kind: str, length_s: float, rng: Random) -> None:
    """Add what the node saw of one kind of traffic between a tenth and nine tenths of the run."""
    from_at, until_at = EPOCH_AT + 0.1 * length_s, EPOCH_AT + 0.9 * length_s
    if kind == TUNNEL:
        _write_tunnel(tables, place, (from_at, until_at), rng)
    elif kind == CLIENTS:
        for k in range(rng.randint(3, 12)):
            begin_at = rng.uniform(from_at, until_at)
            seen = (begin_at, begin_at + rng.uniform(15, 200))
            exe = rng.choice(["/usr/bin/git", "/usr/bin/ssh", "/usr/bin/python3.11", "/usr/bin/curl"])
            _write_flow(tables, place, _TUNNEL_PID + 1 + k, exe, f"198.51.100.{k + 1}:443", seen, rng)
    elif kind == POOL:
        peer = f"203.0.113.7:{rng.choice(sorted(POOL_PORTS))}"
        _write_flow(tables, place, _TUNNEL_PID, "/tmp/x/xmrig", peer, (from_at, until_at), rng)


def _write_flow(
    tables: Tables, place: Place, pid: int, exe: str, peer: str, seen: tuple[float, float], rng: Random
) -> None:
    row = place.row(
        pid=pid,
        exe=exe,
        proto="tcp",
        local=f"10.0.0.5:{40_000 + pid}",
        peer=peer,
        state="ESTABLISHED",
        inode=7000 + pid,
        cookie=90_000 + pid,
        opened=True,
    )
    amounts = {"out_b": rng.randint(20_000, 2 * _MIB), "in_b": rng.randint(20_000, 20 * _MIB)}
    first = {"first_seen_at": seen[0], "last_seen_at": seen[0], "gone": False, "out_b": 0, "in_b": 0}
    last = {"first_seen_at": seen[0], "last_seen_at": seen[1], "gone": True, **amounts}
    tables.rows["flows"] += [{**row, **first}, {**row, **last}]


def _write_tunnel(tables: Tables, place: Place, seen: tuple[float, float], rng: Random) -> None:
    """Somebody outside reaches something near by what the job opened: far and near side fit each other."""
    inwards, outwards = rng.randint(50_000, 5 * _MIB), rng.randint(100_000, 30 * _MIB)
    coupled = rng.uniform(0.5, 1.0)
    looks = max(4, int((seen[1] - seen[0]) / 60))
    row: dict[str, Any] = place.row(
        pids=[_TUNNEL_PID],
        exe=rng.choice(["/usr/bin/ssh", "/home/u/.cache/update", "/usr/bin/python3.11"]),
        outer_local="10.0.0.5:41000",
        outer_peer="203.0.113.9:443",
        outer_opened=True,
        outer_cookie=80_000,
        inner_local="127.0.0.1:50022",
        inner_peer=rng.choice(["127.0.0.1:22", "127.0.0.1:8080"]),
        inner_opened=True,
        n_inner=1,
        first_seen_at=seen[0],
    )
    whole = {
        "outer_in_b": int(1.1 * inwards),
        "outer_out_b": int(1.1 * outwards),
        "inner_in_b": outwards,
        "inner_out_b": inwards,
        "coupled_in_b": int(coupled * inwards),
        "coupled_out_b": int(coupled * outwards),
        "n_busy": looks,
        "n_coupled": int(0.8 * looks),
    }
    early = {name: value // 10 for name, value in whole.items()}
    tables.rows["relays"].append({**row, **early, "last_seen_at": seen[0] + 10, "gone": False})
    tables.rows["relays"].append({**row, **whole, "last_seen_at": seen[1], "gone": True})
