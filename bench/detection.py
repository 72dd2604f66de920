"""How often the audit is right, on whom, and how far its figures hold: recall, false alerts, and U's bounds.

Runs of many families live on simulated nodes of six GPU classes and are judged by the real audit, beside
simple and learnt baselines; real logs are replayed with synthesised GPU channels. What the figures mean:
docs/detection.md.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from bench.detect import report
from bench.detect.classes import NAMES
from bench.detect.page import write_page
from bench.detect.plan import orders
from bench.detect.real import measure_real
from bench.detect.scenarios import scenarios
from bench.detect.state import play_all


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--seed", default="dev", help="any word; final figures: the digest of a tag")
    parser.add_argument("--honest", type=int, default=10, metavar="N", help="runs of a family and class")
    parser.add_argument("--diverting", type=int, default=10, metavar="N", help="the same")
    parser.add_argument("--violated", type=int, default=10, metavar="N", help="of a suite, family and class")
    parser.add_argument("--family", action="append", choices=[s.name for s in scenarios()], metavar="NAME")
    parser.add_argument("--gpu", action="append", choices=NAMES, metavar="CLASS", help="only this class")
    parser.add_argument(
        "--theta",
        choices=("own", "peers"),
        default="own",
        help="peers: each training ran on four earlier nights as other users'",
    )
    parser.add_argument(
        "--state", type=Path, help="JSON lines of nights that were played: goes on from there"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no night after so many")
    parser.add_argument("--jobs", type=int, default=1, choices=(1, 2), help="processes, all at nice 19")
    parser.add_argument("--no-real", action="store_true", help="leave the real logs out")
    parser.add_argument("--page", type=Path, help="write the tables into this page, as docs/detection.md is")


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row per figure. `table` and `what` name it; null: it has no such number."""
    begun_s = time.monotonic()
    nights = play_all(orders(options), options.state, options.jobs, options.minutes)
    records = [record for of_night in nights.values() for record in of_night]
    rows = report.rows(records, options.seed)
    if not options.no_real and not options.family:
        rows += measure_real(options.seed)
    if options.page is not None:
        write_page(options.page, rows, options, (len(records), time.monotonic() - begun_s))
    return rows
