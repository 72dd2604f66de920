"""`python -m tests.rig.faults`: every fault of the table on a real cluster; 0 only when nobody was hurt."""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.rig import cluster
from tests.rig.faults.report import render_page, render_text, slurm_version
from tests.rig.faults.run import Session, start
from tests.rig.faults.table import FAULTS, choose
from tests.rig.layout import PROCTRACKS, RigError


def main() -> int:
    """Parse and do; 1 with a table when a fault hurt, or with a sentence when it could not be tried."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig.faults", description=__doc__)
    parser.add_argument(
        "--dir", type=Path, default=Path(".rig-faults"), help="the rig's folder, new and short"
    )
    parser.add_argument("--out", type=Path, help="write the page here (docs/faults.md)")
    parser.add_argument("--proctrack", choices=PROCTRACKS, default="auto")
    parser.add_argument("--keep", action="store_true", help="leave the rig running")
    parser.add_argument("--list", action="store_true", help="the faults, a line each")
    parser.add_argument("words", nargs="*", help="only faults whose name contains one of them")
    args = parser.parse_args()
    if args.list:
        for fault in FAULTS:
            print(f"{fault.name:18} {fault.where:10} {fault.does}")
        return 0
    try:
        return _run(args)
    except RigError as error:
        print(f"faults: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    begun = time.monotonic()
    chosen = choose(args.words)
    try:
        session = Session(start(args.dir, args.proctrack))
        session.say(f"rig up, {len(chosen)} faults, load {os.getloadavg()[0]:.1f}")
        session.run(chosen)
        outcomes, _ = session.judge()
    finally:
        if not args.keep:
            cluster.down(args.dir)
    print("\n" + render_text(outcomes))
    failed = [one for one in outcomes if one.problems]
    n = len(outcomes)
    print(f"\n{n - len(failed)} of {n} rows passed in {time.monotonic() - begun:.0f} s")
    if args.out is not None:
        words = " ".join(["python -m tests.rig.faults", *args.words])
        page = render_page(outcomes, words, time.monotonic() - begun, slurm_version())
        # Where the rig happened to stand is of no interest to a reader of the page.
        args.out.write_text(
            page.replace(str(args.dir.resolve()), "RIG").replace(str(args.dir), "RIG"), "utf-8"
        )
        print(f"table: {args.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
