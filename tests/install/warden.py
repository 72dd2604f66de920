"""Ends what a test's cluster left behind, whatever became of the test.

A finalizer does not run in a pytest that was killed, nor in one that pytest-timeout ended by its thread; and
the sampler that a prolog started has nothing of the test's: its session, environment and folder are its own.
So a process beside the test waits for the test's end of a pipe to close, which the kernel does in any case,
and then takes down the rig and every sampler whose configuration lies below the test's folder. Nobody else's:
other clusters on the machine have other folders.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.rig import cluster, procs
from tests.rig.layout import CHECKOUT

# As the prolog starts it (hooks/launch.py), and as a unit does.
_SAMPLERS = (b"slurm_guard/hooks/sampler_main.py", b"slurm_guard/sampler/__main__.py")


@contextlib.contextmanager
def guarded(top: Path) -> Iterator[None]:
    """`top`, whose rig is in `r`, is cleaned and removed when the block ends, or the process does."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    argv = [sys.executable, "-P", "-m", "tests.install.warden", str(top)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd="/", env=env, start_new_session=True
    ) as warden:
        assert warden.stdin is not None
        try:
            yield
        finally:
            warden.stdin.close()
            status = warden.wait(180)
    assert status == 0, f"{top} was not cleaned: status {status}"


def samplers_below(top: Path) -> list[int]:
    """Samplers with a configuration in the folder, their children too."""
    inside = os.fsencode(top) + b"/"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            configs = [config for name, config in pairwise(words) if name == b"--config"]
            if any(w.endswith(_SAMPLERS) for w in words) and any(c.startswith(inside) for c in configs):
                found.append(int(entry.name))
    return found


def clean(top: Path) -> None:
    """Twice, for a prolog may start one more while the first is being ended."""
    try:
        cluster.down(top / "r")
    finally:
        for _ in range(2):
            procs.end(samplers_below(top))
        shutil.rmtree(top, ignore_errors=True)


def main(top: Path) -> None:
    """Until the other end of the standard input is closed, then clean."""
    sys.stdin.buffer.read()
    clean(top)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
