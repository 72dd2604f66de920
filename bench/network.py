"""Tunnels and what resembles them, made with real programs between network namespaces: what is seen?

Each situation is played several times with random delays, amounts, ports and idle times, by an ordinary
user's processes. The sampler's own socket table looks at them each second (a tenth of the usual interval;
the plays are short as well) and must call a tunnel in use a bridge, a forwarder a forwarder, and nothing else
either. With `--out FILE` a run can be left (`--budget-s`) and gone on with. Needs root; programs:
`tools/bootstrap network`.
"""

import argparse
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

from bench.net.hosts import ACCOUNTS, RTT_S, Hosts, enter, hosts
from bench.net.page import write_page
from bench.net.plays import Book, Played, code_digest
from bench.net.programs import missing
from bench.net.score import rows_of
from bench.net.shape import Situation
from bench.net.situations import SITUATIONS
from bench.net.stage import Stage
from bench.net.watch import Watcher

ROUND_S = 1.0  # the sampler's, by default
_FIRST_PORT, _PORTS = 20_000, 24  # a play's own


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    names = [s.name for s in SITUATIONS]
    parser.add_argument("--n", type=int, default=10, help="plays of each situation")
    parser.add_argument("--seconds", type=float, default=16.0, help="length of a play")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--look-s", type=float, default=1.0, help="seconds from one look to the next")
    parser.add_argument("--rtt-ms", type=float, default=1000 * RTT_S, help="to the outside host and back")
    parser.add_argument("--at-once", type=int, default=6, help="plays at the same time")
    parser.add_argument("--out", help="file of plays: those in it, by this code, are not played again")
    parser.add_argument("--table", type=Path, help="put the tables between the marks in this page")
    parser.add_argument("--budget-s", type=float, help="begin no play after so many seconds")
    parser.add_argument("--no-rounds", action="store_true", help="looks alone, none at suspects between them")
    parser.add_argument(
        "--held-out", action="store_true", help="the situations that were left out, and no other"
    )
    parser.add_argument(
        "--blind", action="store_true", help="do not look: only whether the programs do their work"
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each play that went otherwise")
    parser.add_argument(
        "--situation", action="append", choices=names, metavar="NAME", help="only this; repeatable"
    )


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each situation, then the shapes' precision and recall."""
    enter()
    chosen = [s for s in SITUATIONS if s.held_out == options.held_out]
    if options.situation:
        chosen = [s for s in SITUATIONS if s.name in options.situation]
    for situation in [s for s in chosen if missing(s.needs)]:
        sys.stderr.write(f"{situation.name} left out, missing: {', '.join(missing(situation.needs))}\n")
        chosen.remove(situation)
    book = Book(options.out, code_digest())
    until_s = time.monotonic() + (options.budget_s or float("inf"))
    free: Queue[tuple[str, int]] = Queue()
    for place, account in enumerate(ACCOUNTS):
        free.put((account, place))

    def play(order: tuple[Situation, int], place: int) -> None:
        if time.monotonic() > until_s:
            return
        account, _ = seat = free.get()
        try:
            port = _FIRST_PORT + _PORTS * (place % 1700)
            book.add(_play(order, account, port, (made, options)))
        finally:
            free.put(seat)

    at_once = min(options.at_once, len(ACCOUNTS))
    with hosts(options.rtt_ms / 1000) as made, ThreadPoolExecutor(at_once) as pool:
        orders = [(s, k) for k in range(options.n) for s in chosen if not book.has(s.name, k)]
        list(pool.map(play, orders, range(len(orders))))
    if options.table is not None:
        write_page(options.table, chosen, book.played, options)
    return rows_of(chosen, book.played)


def _play(
    order: tuple[Situation, int], account: str, port: int, given: tuple[Hosts, argparse.Namespace]
) -> Played:
    (situation, k), (made, options) = order, given
    rng = random.Random(f"{options.seed}/{situation.name}/{k}")
    seconds = options.seconds * rng.uniform(0.7, 1.3)
    stage = Stage(made, rng, account, port, seconds)
    watcher = Watcher(stage, situation.shape)
    try:
        failed = _build(situation, stage)
        until_s = time.monotonic() + seconds + max(4.0, options.look_s)
        while time.monotonic() < until_s:
            if not options.blind:
                watcher.look()
            _rest(watcher, options)
        n_uses = stage.n_uses()
    finally:
        said = stage.end()
        watcher.end()
    seen, alert = watcher.shapes()
    played = Played(
        situation.name, situation.shape, k, code_digest(), tuple(sorted(seen)), alert, n_uses,
        watcher.looks_late, watcher.busy_late, watcher.n, failed + said if n_uses == 0 else "",
        watcher.event_late_s, watcher.round_ms,
    )  # fmt: skip
    if options.verbose:
        sys.stderr.write(f"{played}\n")
    return played


def _rest(watcher: Watcher, options: argparse.Namespace) -> None:
    """From one look to the next, with a round each second in between, as the sampler makes them."""
    until_s = time.monotonic() + options.look_s
    while (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(ROUND_S, left_s))
        if not (options.blind or options.no_rounds) and until_s - time.monotonic() > ROUND_S / 2:
            watcher.round()


def _build(situation: Situation, stage: Stage) -> str:
    """Start its programs. Returns why that failed: the play is void then."""
    try:
        situation.build(stage)
    except OSError as error:
        return f"{error}\n"
    return ""
