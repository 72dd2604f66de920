"""Tunnels and what resembles them, made with real programs between network namespaces: what is seen?

Each situation is played several times with random delays, amounts and ports, by an ordinary user's processes.
The sampler's own socket table looks at them each second (a tenth of the usual interval; the plays are short
as well) and must call a tunnel in use a bridge, a forwarder a forwarder, and nothing else either. Needs root,
iproute2, OpenSSH and socat.
"""

import argparse
import random
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any, NamedTuple

from bench.net.hosts import Hosts, hosts
from bench.net.situations import BRIDGE, FORWARD, NONE, SITUATIONS, Situation
from bench.net.stage import ACCOUNTS, Stage
from bench.net.watch import Watcher
from bench.pace import wilson

_FIRST_PORT, _PORTS = 20_000, 40  # a play's own


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    names = [s.name for s in SITUATIONS]
    parser.add_argument("--n", type=int, default=10, help="plays of each situation")
    parser.add_argument("--seconds", type=float, default=12.0, help="length of a play")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--at-once", type=int, default=6, help="plays at the same time")
    parser.add_argument(
        "--situation", action="append", choices=names, metavar="NAME", help="only this; repeatable"
    )


class Played(NamedTuple):
    """What was seen of one play. `after_s`: from the first use to the first word of a bridge."""

    name: str
    shape: str
    seen: frozenset[str]
    looks_late: int | None


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each situation, then the shapes' precision and recall."""
    chosen = [s for s in SITUATIONS if not options.situation or s.name in options.situation]
    free: Queue[str] = Queue()
    for account in ACCOUNTS:
        free.put(account)

    def play(order: tuple[Situation, int], place: int) -> Played:
        account = free.get()
        try:
            return _play(order, account, _FIRST_PORT + _PORTS * (place % 1000), (made, options))
        finally:
            free.put(account)

    with hosts() as made, ThreadPoolExecutor(min(options.at_once, len(ACCOUNTS))) as pool:
        orders = [(s, k) for k in range(options.n) for s in chosen]
        played = list(pool.map(play, orders, range(len(orders))))
    rows = [_row(s, [p for p in played if p.name == s.name]) for s in chosen]
    shapes = [shape for shape in (BRIDGE, FORWARD) if any(p.shape == shape for p in played)]
    return rows + [_of_shape(shape, played) for shape in shapes]


def _play(
    order: tuple[Situation, int], account: str, port: int, given: tuple[Hosts, argparse.Namespace]
) -> Played:
    (situation, k), (made, options) = order, given
    rng = random.Random(f"{options.seed}/{situation.name}/{k}")
    seconds = options.seconds * rng.uniform(0.7, 1.3)
    stage = Stage(made, rng, account, port, seconds)
    watcher = Watcher(stage.roots)
    try:
        situation.build(stage)
        until_s = time.monotonic() + seconds + 4
        while time.monotonic() < until_s:
            watcher.look()
            time.sleep(1.0)
    finally:
        stage.end()
        watcher.end()
    return Played(situation.name, situation.shape, watcher.shapes(), watcher.looks_late)


def _row(situation: Situation, played: list[Played]) -> dict[str, Any]:
    right = sum(_is_right(p) for p in played)
    late = sorted(p.looks_late for p in played if p.looks_late is not None)
    low, high = wilson(right, len(played))
    return {
        "what": situation.name,
        "shape": situation.shape,
        "n": len(played),
        "right": right,
        "right_lo_pct": 100 * low,
        "right_hi_pct": 100 * high,
        "seen_as_bridge": sum(BRIDGE in p.seen for p in played),
        "seen_as_forward": sum(FORWARD in p.seen for p in played),
        "looks_median": late[len(late) // 2] if late else None,
        "looks_worst": late[-1] if late else None,
    }


def _is_right(played: Played) -> bool:
    return played.shape in played.seen if played.shape != NONE else not played.seen & {BRIDGE, FORWARD}


def _of_shape(shape: str, played: list[Played]) -> dict[str, Any]:
    """Recall in `right`, precision in `seen_as_…` of all."""
    of = [p for p in played if p.shape == shape]
    said = [p for p in played if shape in p.seen]
    hits = sum(shape in p.seen for p in of)
    f1 = 2 * hits / (len(of) + len(said)) if of or said else 0.0
    low, high = wilson(hits, len(of))
    return {
        "what": f"all {shape}: F1 {f1:.3f}",
        "shape": shape,
        "n": len(of),
        "right": hits,
        "right_lo_pct": 100 * low,
        "right_hi_pct": 100 * high,
        "seen_as_bridge": sum(BRIDGE in p.seen for p in played),
        "seen_as_forward": sum(FORWARD in p.seen for p in played),
        "looks_median": None,
        "looks_worst": None,
    }
