"""`python -m bench.gpu --out FOLDER`: all that docs/gpu-measurements.md asks of a real GPU, in ten minutes.

Writes `measured.json` and the readings as `neighbour-*.jsonl`, to become fixtures. The part with training
needs PyTorch; without it that part says why it is missing. Nothing of the GPU's settings is changed.
"""

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bench.__main__ import format_table
from bench.gpu import beside, calls


def main(argv: list[str]) -> int:
    """Measure and write. Returns 1 where NVML names no GPU."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run of the training loop")
    parser.add_argument("--poll", type=float, default=10.0, help="seconds that each counter is polled for")
    parser.add_argument("--rounds", type=int, default=3, help="of the slowdown's runs")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"at": int(time.time()), "python": platform.python_version()}
    found["facts"] = calls.facts()
    if not found["facts"]:
        print("bench.gpu: NVML names no GPU here", file=sys.stderr)
        return 1
    for gpu in found["facts"]:
        print(f"{gpu['model']}: {len(gpu['answers'])} fields answer, {len(gpu['why'])} do not")
    for name, rows in (("calls", calls.costs()), ("counters", calls.counters(options.poll))):
        found[name] = rows
        print(f"\n{name}\n{format_table(found[name])}")
    why = beside.has_torch()
    if why is not None:
        print(f"\nwithout training: {why}")
        found["without_training"] = why
    else:
        found["slowdown"] = beside.slowdown(options.seconds, options.rounds)
        print(f"\nslowdown\n{format_table(found['slowdown'])}")
        found["neighbour"] = beside.neighbour(options.seconds, options.out)
        print(f"\nneighbour\n{format_table(found['neighbour'])}")
    (options.out / "measured.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
