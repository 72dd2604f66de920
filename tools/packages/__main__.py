"""Packages of this checkout: `python -m tools.packages deb|rpm [--out dist] [--python /usr/bin/python3]`.

`make deb` and `make rpm` call it. The packages hold an environment for the interpreter that they were made
with, so they are made on the system that they are for.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.packages.deb import make_debs
from tools.packages.rpm import make_rpms
from tools.packages.tree import ROOT, make_tree


def main() -> int:
    """Parse, make the tree, pack it."""
    parser = argparse.ArgumentParser(prog="python -m tools.packages", description=__doc__)
    parser.add_argument("kind", choices=("deb", "rpm", "tree"))
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder (for tree: the tree, new)")
    parser.add_argument(
        "--python", default="/usr/bin/python3", help="the interpreter that they will run with"
    )
    parser.add_argument(
        "--epoch", type=int, default=None, help="time of every file; default: the last commit's"
    )
    asked = parser.parse_args()
    epoch = asked.epoch if asked.epoch is not None else _last_commit()
    with tempfile.TemporaryDirectory(prefix="slurm-guard-packages-") as scratch:
        stage = asked.out if asked.kind == "tree" else Path(scratch) / "stage"
        tree = make_tree(stage.absolute(), asked.python, epoch)
        if asked.kind == "tree":
            return 0
        asked.out.mkdir(parents=True, exist_ok=True)
        make = make_debs if asked.kind == "deb" else make_rpms
        for path in make(tree, Path(scratch), asked.out.absolute(), epoch):
            print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _last_commit() -> int:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"], capture_output=True, text=True, check=False
    )
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


if __name__ == "__main__":
    sys.exit(main())
