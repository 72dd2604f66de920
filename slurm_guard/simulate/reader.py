"""The real progress reader on a simulated night's files: `python -I -m slurm_guard.simulate.reader`.

The files are written today, and the night is long over. Nobody can set a file's change time, and by today's
each of them would have been changed after its run's end; so it is the last that the simulated sampler saw.
"""

import sys

from slurm_guard.progress.node import main
from slurm_guard.progress.opener import Opened, open_files
from slurm_guard.progress.request import Request


def open_simulated(request: Request, deadline_s: float) -> list[Opened]:
    """As open_files, with the night's change times."""
    return [_of_the_night(one, request) for one in open_files(request, deadline_s)]


def _of_the_night(one: Opened, request: Request) -> Opened:
    sights = [sight for nth in one.nths for sight in request.files[nth].sights]
    last = max(sights, key=lambda sight: sight.at, default=None)
    if last is None or last.ctime_ns is None:
        return one
    return one._replace(ctime_at=last.ctime_ns / 1e9)


if __name__ == "__main__":
    sys.exit(main(open_simulated))
