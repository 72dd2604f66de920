"""Raw readings of the GPU at a steady rate, as JSON lines: `python -m bench.gpu.trace OUT HZ`, until it is
ended.

Beside the sampler, whose windows are sums: the course of power, clocks and GPM within a window is seen here
alone."""

import contextlib
import gzip
import json
import sys
import time
from pathlib import Path

from slurm_guard.sampler.nvml import NvmlReader


def record(out: Path, rate_hz: float) -> None:
    """Until a signal ends the process; the file is flushed each second."""
    reader, number = NvmlReader(), 0
    with gzip.open(out, "wt", encoding="ascii", compresslevel=6) as file:
        due_s = time.monotonic()
        while True:
            for gpu in reader.gpus():
                reading = reader.read(gpu)
                if reading is not None:
                    row = {name: value for name, value in reading._asdict().items() if value is not None}
                    row.pop("why", None)
                    file.write(json.dumps({"gpu": gpu.gpu_index, **row}) + "\n")
            number += 1
            if number % max(1, round(rate_hz)) == 0:
                file.flush()
            due_s += 1 / rate_hz
            time.sleep(max(0.0, due_s - time.monotonic()))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        record(Path(sys.argv[1]), float(sys.argv[2]))
