"""A real Slurm cluster with simulated GPUs on one machine: up, submit, down, night, storm (docs/rig.md)."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from tests.rig import cluster, root
from tests.rig.layout import PROCTRACKS, USERS, RigError, load_rig
from tests.rig.night import NIGHTS, Plan, run_night
from tests.rig.nights import run_nights
from tests.rig.slurms import made_roots, own_suite, run_slurms
from tests.rig.storm import run_storm
from tests.rig.submit import list_workloads, submit


def main() -> int:
    """Parse and do; 1 with a sentence when it cannot."""
    parser = argparse.ArgumentParser(prog="python -m tests.rig", description=__doc__)
    parser.add_argument("--dir", type=Path, help="the rig's folder (default .rig)")
    parser.add_argument(
        "--slurm-root", type=Path, help="run with the Slurm of this folder (tools/slurm-root)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    begin = commands.add_parser("up", help="start a rig, or what of it has stopped")
    begin.add_argument("--proctrack", choices=PROCTRACKS, default="auto")
    begin.add_argument("--time-scale", choices=("rig", "production"), default="rig")
    begin.add_argument("--seed", type=int, default=1, help="of the boards")
    finish = commands.add_parser("down", help="end everything, also after a crash")
    finish.add_argument("--keep", action="store_true", help="leave the files")
    send = commands.add_parser("submit", help="submit a workload as an ordinary user")
    send.add_argument("--list", action="store_true", help="the workloads, a line each")
    send.add_argument("--user", default=USERS[0])
    send.add_argument("workload", nargs="?", help="a name of the list, or the path of an sbatch script")
    send.add_argument("args", nargs=argparse.REMAINDER, help="handed to the script")
    whole = commands.add_parser(
        "night", help="one night of jobs, audited and judged; 0 only if all is as expected"
    )
    whole.add_argument("--out", type=Path, required=True, help="folder for audit.json, report.html, mail.eml")
    whole.add_argument("--seed", type=int, default=1)
    whole.add_argument("--share", type=float, help="what the co-tenant asks of its GPU; default: by seed")
    whole.add_argument("--proctrack", choices=PROCTRACKS, default="auto")
    whole.add_argument("--time-scale", choices=("rig", "production"), default="rig")
    whole.add_argument(
        "--of",
        choices=NIGHTS,
        default="whole",
        help="tunnel: a job lets somebody in from outside; varied: 18 jobs",
    )
    whole.add_argument("--keep", action="store_true", help="leave the rig running")
    many = commands.add_parser("nights", help="several nights with other seeds, and a table of them")
    many.add_argument("--n", type=int, default=10)
    many.add_argument("--seed", type=int, default=1, help="of the first night")
    many.add_argument("--out", type=Path, default=Path(".rig-nights"), help="folder for each night's files")
    many.add_argument("--table", type=Path, default=Path("docs/rig-nights.md"))
    many.add_argument("--of", choices=("whole", "varied"), default="whole")
    many.add_argument("--proctrack", choices=PROCTRACKS, default="auto")
    many.add_argument("--time-scale", choices=("rig", "production"), default="rig")
    storm = commands.add_parser("storm", help="hundreds of jobs of a moment; 0 only if none lost its papers")
    storm.add_argument("--jobs", type=int, default=500, help="runs in all")
    storm.add_argument("--seed", type=int, default=1)
    storm.add_argument("--proctrack", choices=PROCTRACKS, default="auto")
    storm.add_argument("--keep", action="store_true", help="leave the rig running")
    versions = commands.add_parser("slurms", help="the same night on several releases of Slurm, and a table")
    versions.add_argument(
        "--roots", type=Path, default=Path(".roots"), help="where tools/slurm-root made them"
    )
    versions.add_argument("--out", type=Path, default=Path(".rig-slurms"))
    versions.add_argument("--table", type=Path, default=Path("docs/slurm-versions.md"))
    versions.add_argument("--proctrack", choices=PROCTRACKS[1:], action="append", help="default: v1 and v2")
    versions.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    try:
        if args.slurm_root is not None:
            _go_inside(args, sys.argv[1:])
        args.dir = args.dir or Path(".rig")
        return _run(args)
    except RigError as error:
        print(f"rig: {error}", file=sys.stderr)
        return 1


def _go_inside(args: argparse.Namespace, words: list[str]) -> NoReturn:
    """The same command in the root; --dir is a path in there, --out and --table are the machine's."""
    place = next(n for n, word in enumerate(words) if word.startswith("--slurm-root"))
    del words[place : place + (1 if "=" in words[place] else 2)]
    if args.dir is None:
        words = ["--dir", root.folder_inside(args.slurm_root), *words]
    shared = []
    if args.command == "night":
        args.out.mkdir(parents=True, exist_ok=True)
        words += ["--out", str(args.out.resolve())]  # the last one holds
        shared = [args.out]
    argv = root.command(args.slurm_root, ["-m", "tests.rig", *words], shared)
    os.execvp(argv[0], argv)


def _run(args: argparse.Namespace) -> int:
    if args.command == "up":
        begun = time.monotonic()
        rig = cluster.up(args.dir, args.proctrack, args.time_scale, args.seed)
        print(f"rig up in {time.monotonic() - begun:.1f} s: {rig.root}, proctrack/{rig.proctrack}")
        print(f"  export SLURM_CONF={rig.conf}")
    elif args.command == "down":
        cluster.down(args.dir, args.keep)
    elif args.command == "submit":
        return _submit(args)
    elif args.command == "night":
        plan = Plan(args.seed, args.share, args.time_scale, args.proctrack, args.of)
        return 1 if run_night(args.dir, args.out, plan, args.keep).faults else 0
    elif args.command == "nights":
        plan = Plan(args.seed, None, args.time_scale, args.proctrack, args.of)
        return 0 if run_nights(args.dir, args.out, args.table, plan, args.n) else 1
    elif args.command == "storm":
        return 1 if run_storm(args.dir, args.jobs, args.seed, args.proctrack, args.keep) else 0
    elif args.command == "slurms":
        suites = list(dict.fromkeys([own_suite(), *made_roots(args.roots)]))
        tracks = args.proctrack or ["cgroup", "cgroup2"]
        return 0 if run_slurms(args.roots, args.out, args.table, suites, tracks, args.seed) else 1
    return 0


def _submit(args: argparse.Namespace) -> int:
    if args.list or args.workload is None:
        for name, says in list_workloads().items():
            print(f"{name:16} {says}")
        return 0
    knobs = {name: value for name, value in os.environ.items() if name.startswith("RIG_")}
    print(submit(load_rig(args.dir), args.workload, args.user, args.args, knobs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
