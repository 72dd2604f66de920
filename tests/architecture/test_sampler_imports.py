"""What the sampler's own process never imports: NVML's binding, which may hang, and what costs megabytes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DANGEROUS = {"pynvml", "ctypes"}
# Measured with CPython 3.11: the configuration 3 MB (dataclasses, tomllib, pathlib), hashlib 4 MB (it loads
# OpenSSL), subprocess 1.1, typing 0.6, socket 0.3.
COSTLY = {"slurm_guard.config", "dataclasses", "inspect", "tomllib", "pathlib", "hashlib", "_hashlib"}
COSTLY |= {"subprocess", "typing", "socket", "selectors", "logging", "threading", "argparse", "runpy"}


def test_the_samplers_own_process_imports_neither_nvml_nor_what_costs_megabytes() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules);"
        "import slurm_guard.sampler.__main__, slurm_guard.sampler.loop, slurm_guard.sampler.gpuwatch,"
        "slurm_guard.sampler.retention;"
        "print(*sorted(set(sys.modules) - before), sep='\\n')"
    )

    done = subprocess.run(
        [sys.executable, "-IS", "-c", program, str(ROOT)], capture_output=True, text=True, check=True
    )

    found = set(done.stdout.split())
    assert "slurm_guard.sampler.loop" in found
    assert found & (DANGEROUS | COSTLY) == set()
