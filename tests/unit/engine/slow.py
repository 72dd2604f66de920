"""An audit's head with parts that never end, for who ends it: `python -m tests.unit.engine.slow FOLDER`."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from slurm_guard.engine import local
from slurm_guard.engine.kept import work_of
from slurm_guard.engine.parts import Site
from slurm_guard.engine.plan import Part
from slurm_guard.engine.tasks import Task
from tests.shapes import facts_of

N = 2


class Slow:
    """In the place of a reach: who asks it for files waits, and is named in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, _: Iterable[str]) -> None:
        """Ten minutes."""
        (self._folder / str(os.getpid())).touch()
        time.sleep(600.0)


def main(folder: Path) -> None:
    """The head."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without
    none = Part((), (), frozenset(), frozenset())
    with work_of(None, 0, ("", "", 0.0, 0.0)) as work:
        site = Site(facts_of("honest"), (), folder, Slow(folder))  # type: ignore[arg-type]
        with local.in_processes(work, site, N) as make:
            make([Task("survey", f"survey-{k}", (), none) for k in range(N)], lambda _: None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
