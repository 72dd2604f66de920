"""The sampler on one simulated GPU: `python gpu_sampler.py FOLDER WORDS…`; the package comes from FOLDER.

With GPU_FAULT in the environment every reading of the GPU fails with these words.
"""

import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    lib = sys.argv.pop(1)
    sys.path[:0] = [lib, str(Path(__file__).resolve().parents[2])]

    from slurm_guard.clock import SystemClock
    from slurm_guard.sampler import __main__ as entry
    from tests.unit.sampler.fakes import FakeGpus

    class Reader(FakeGpus):
        """In the place of NVML's."""

        def begin(self) -> None:
            """There is no child to start."""

    def reader(*_: Any, **__: Any) -> FakeGpus:
        """One, whatever NVML's would be given."""
        gpus = Reader(SystemClock(), 1)  # type: ignore[arg-type]
        if "GPU_FAULT" in os.environ:
            gpus.fault = RuntimeError(os.environ["GPU_FAULT"])
        return gpus

    for name in ("NvmlReader", "NvmlClient"):
        if hasattr(entry, name):
            setattr(entry, name, reader)
    sys.exit(entry.main(sys.argv[1:]))
