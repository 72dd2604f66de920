"""What docs/gpu-measurements.md asks of a real GPU. Nothing of the GPU's settings is changed.

`python -m bench.gpu measure --out FOLDER`: fields, costs, counters, slowdown of a training (two minutes; the
part with training needs PyTorch and says so where it is missing). `… night --out FOLDER`: jobs of known
content under the real hooks and sampler (as root; ten minutes). `… judge FOLDER`: the audit of such a night
beside the truth."""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bench.__main__ import format_table


def main(argv: list[str]) -> int:
    """Parse and run one of the three."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("measure")
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--poll", type=float, default=5.0, help="seconds that each counter is polled for")
    verb.add_argument("--rounds", type=int, default=6, help="blocks of each rate of the slowdown")
    verb = verbs.add_parser("night")
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--dir", type=Path, default=Path("/var/tmp/guard-gpu-night"))
    verb.add_argument("--user", default="nobody", help="whose jobs they are")
    verb.add_argument("--seconds", type=float, default=50.0, help="of each job, from its first step on")
    verb.add_argument("--set", choices=("first", "second"), default="first", help="which jobs")
    verb.add_argument("--production", action="store_true", help="default time scales: what the sampler costs")
    verb.add_argument("--only", action="append", default=[], help="a job's name; more than once for several")
    verb = verbs.add_parser("judge")
    verb.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    if options.verb == "judge":
        from bench.gpu import judge

        print(format_table(judge.judge(options.folder)))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    if options.verb == "measure":
        return _measure(options)
    from bench.gpu import night

    order = night.Order(options.set, options.seconds, options.only, options.production)
    return night.record(options.out, options.dir, options.user, order)


def _measure(options: argparse.Namespace) -> int:
    """Measure and write `measured.json`. Returns 1 where NVML names no GPU."""
    from bench.gpu import beside, calls

    found: dict[str, Any] = {"at": int(time.time()), "python": platform.python_version()}
    found["facts"] = calls.facts()
    if not found["facts"]:
        print("bench.gpu: NVML names no GPU here", file=sys.stderr)
        return 1
    for gpu in found["facts"]:
        print(f"{gpu['model']}: {len(gpu['answers'])} fields answer, {len(gpu['why'])} do not")
    found |= {"calls": calls.costs(), "counters": calls.counters(options.poll)}
    why = beside.has_torch()
    if why is not None:
        print(f"\nwithout training: {why}")
        found["without_training"] = why
    else:
        found |= beside.measure(options.rounds, options.poll)
    for name, rows in found.items():
        if isinstance(rows, list) and name != "facts":
            print(f"\n{name}\n{format_table(rows)}")
    (options.out / "measured.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
