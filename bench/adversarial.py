"""The audit on a coupled world it shares nothing with: families of honest runs, and of runs that divert.

Each family's runs live at 1 Hz, write rows of the lake and are judged as one night by the real audit. What
a family is, what the figures mean and what the world cannot show: docs/adversarial.md.
"""

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.world.families import Family, edited, families
from bench.world.page import write_page
from bench.world.score import Outcome, judge_family, row

_SLOW = {"very_long": 8}  # so many times fewer runs of these, but three


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--seed", default="1")
    parser.add_argument("--honest", type=int, default=14, metavar="N", help="runs of each honest family")
    parser.add_argument(
        "--diverting", type=int, default=14, metavar="N", help="runs of each diverting family"
    )
    parser.add_argument(
        "--history",
        type=int,
        default=0,
        metavar="N",
        help="earlier nights in which each training ran without what diverts; adds the edited_… families",
    )
    names = [family.name for family in _every()]
    parser.add_argument(
        "--family", action="append", choices=names, metavar="NAME", help="only this; repeatable"
    )
    parser.add_argument(
        "--page", type=Path, help="write the tables into this page, as docs/adversarial.md is"
    )
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="processes")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per family, then the totals of the sides."""
    begun_s = time.monotonic()
    known = _every() if options.history else families()
    chosen = [family for family in known if not options.family or family.name in options.family]
    outcomes = dict(zip((family.name for family in chosen), _judge(chosen, options), strict=True))
    every = [outcome for of_family in outcomes.values() for outcome in of_family]
    totals = {
        "all honest": ("honest", [o for o in every if o.is_honest]),
        "all with a genuine log": ("diverting", [o for o in every if not o.is_honest and not o.is_forged]),
        "all with a forged log": ("diverting", [o for o in every if not o.is_honest and o.is_forged]),
    }
    rows = [row(family.name, family.side, outcomes[family.name]) for family in chosen]
    rows += [row(what, side, of_side) for what, (side, of_side) in totals.items() if of_side]
    if options.page is not None:
        command = f"--seed {options.seed} --honest {options.honest} --diverting {options.diverting}"
        command += f" --history {options.history}" if options.history else ""
        write_page(options.page, rows, f"adversarial {command}", time.monotonic() - begun_s)
    return rows


def _every() -> list[Family]:
    return [*families(), *edited()]


def _judge(chosen: list[Family], options: argparse.Namespace) -> Iterator[list[Outcome]]:
    orders = [(f.name, _n_runs(f, options), options.seed, options.history) for f in chosen]
    if options.jobs == 1:
        yield from map(_judge_one, orders)
        return
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        yield from pool.map(_judge_one, orders)


def _n_runs(family: Family, options: argparse.Namespace) -> int:
    n: int = options.honest if family.is_honest else options.diverting
    return min(n, max(3, n // _SLOW[family.name])) if family.name in _SLOW else n


def _judge_one(order: tuple[str, int, str, int]) -> list[Outcome]:
    """By name, as a family's function does not travel to another process."""
    name, n, seed, nights = order
    return judge_family(next(family for family in _every() if family.name == name), n, seed, nights)
