"""What the sampler's own process never imports: NVML's binding, which may hang, and what costs megabytes."""

import subprocess
import sys
from pathlib import Path

import pynvml

ROOT = Path(__file__).resolve().parents[2]
DANGEROUS = {"pynvml", "ctypes"}
# Measured with CPython 3.11: the configuration 3 MB (dataclasses, tomllib, pathlib), hashlib 4 MB (it loads
# OpenSSL), subprocess 1.1, re 0.6 with enum and functools, typing 0.6, collections, json and socket 0.3 each.
COSTLY = {"slurm_guard.config", "dataclasses", "inspect", "tomllib", "pathlib", "hashlib", "_hashlib"}
COSTLY |= {"subprocess", "typing", "socket", "selectors", "logging", "threading", "argparse", "runpy"}
COSTLY |= {"collections", "contextlib", "enum", "functools", "json", "operator", "re", "signal", "string"}
BEGIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); before = set(sys.modules);"
    "import slurm_guard.sampler.__main__ as entry; entry.settings.load('');"
)
LOOP = "import slurm_guard.sampler.loop, slurm_guard.sampler.gpuwatch, slurm_guard.sampler.retention;"
NVML = "sys.path.append(sys.argv[2]); from slurm_guard.sampler import nvml, nvml_child;"
TELL = "print(*sorted(set(sys.modules) - before), sep='\\n')"


def _modules(program: str) -> set[str]:
    """What a sampler's process has imported beyond a bare interpreter."""
    where = [str(ROOT), str(Path(pynvml.__file__).parent)]
    command = [sys.executable, "-IS", "-c", program + TELL, *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_samplers_own_process_imports_neither_nvml_nor_what_costs_megabytes() -> None:
    found = _modules(BEGIN + LOOP)

    assert "slurm_guard.sampler.loop" in found
    assert found & (DANGEROUS | COSTLY) == set()


def test_nvmls_process_has_of_pynvml_what_it_uses_and_nothing_of_the_loop() -> None:
    found = _modules(BEGIN + NVML + "assert 100 < len(vars(nvml.pynvml)) < 600, len(vars(nvml.pynvml));")

    assert {"ctypes", "slurm_guard.sampler.nvml"} <= found
    assert found & {*COSTLY, "pynvml", "slurm_guard.sampler.loop", "slurm_guard.wire"} == set()
