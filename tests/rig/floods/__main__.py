"""`python -m tests.rig.floods`: what a job can do to the node half, on a real cluster; 0 if it stood."""

import argparse
import sys
import time
from pathlib import Path

from tests.rig import cluster
from tests.rig.floods.page import render
from tests.rig.floods.run import Outcome, as_json, audit, install, run_flood
from tests.rig.floods.table import FLOODS
from tests.rig.layout import RigError


def main() -> int:
    """Parse and do."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig.floods", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path(".rig-floods"), help="the rig's folder, new")
    parser.add_argument("--time-scale", choices=("rig", "production"), default="production")
    parser.add_argument("--json", type=Path, help="add every outcome to this file, a line each")
    parser.add_argument("--out", type=Path, help="write the page of all in the JSON file (docs/floods.md)")
    parser.add_argument("--keep", action="store_true", help="leave the rig running")
    parser.add_argument("names", nargs="*", help="only these floods")
    args = parser.parse_args()
    try:
        return _run(args)
    except RigError as error:
        print(f"floods: {error}", file=sys.stderr)
        return 1


def _run(args: argparse.Namespace) -> int:
    since_at = time.time()
    outcomes: list[Outcome] = []
    chosen = [flood for flood in FLOODS if not args.names or flood.name in args.names]
    try:
        rig = cluster.up(args.dir, scale=args.time_scale)
        program = install(rig)
        for flood in chosen:
            outcomes.append(run_flood(rig, flood, program))
            _say(outcomes[-1])
        document = audit(rig, since_at)
        for judgement in document.judgements:
            names = [o.flood.name for o in outcomes if judgement.run.job_id in o.jobs]
            print(judgement.run.job_id, *names, judgement.verdict, [f.check for f in judgement.findings])
    finally:
        if args.json is not None:
            with args.json.open("a", encoding="utf-8") as lines:
                lines.writelines(f"{as_json(one)}\n" for one in outcomes)
        if not args.keep:
            cluster.down(args.dir)
    if args.out is not None and args.json is not None:
        args.out.write_text(render(args.json.read_text("utf-8").splitlines()), "utf-8")
    return 1 if any(one.problems for one in outcomes) else 0


def _say(one: Outcome) -> None:
    cost = one.cost
    print(
        f"{one.flood.name:9} CPU {cost.cpu_pct:5.1f} % (10 s: {cost.worst_10s_pct:5.1f}), "
        f"PSS {cost.pss_mib:5.1f} MiB, longest {cost.longest_cpu_s:.2f} s CPU {cost.longest_wall_s:.2f} s, "
        f"{one.kib:.0f} KiB, {one.n_windows} windows, hooks up to {max(one.hooks_s, default=0):.2f} s, "
        f"honest job seen {one.seen:.0%}\n  said {one.said}\n  told {one.told}\n  {one.problems or 'stood'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
