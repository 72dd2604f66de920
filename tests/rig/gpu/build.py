"""Build the rig's NVML library; a few hundred milliseconds of gcc, so it is done at rig start."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "nvml"
LIBRARY = "libnvidia-ml.so.1"


def build_nvml(dest_dir: Path) -> Path:
    """The library in `dest_dir`, built if older than its source. CalledProcessError has gcc's words."""
    target = dest_dir / LIBRARY
    newest = max(path.stat().st_mtime for path in SOURCE.glob("*.[ch]"))
    if target.exists() and target.stat().st_mtime > newest:
        return target
    dest_dir.mkdir(parents=True, exist_ok=True)
    fresh = dest_dir / f".{LIBRARY}.{os.getpid()}"
    flags = ["-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-fPIC", "-shared", "-fvisibility=hidden"]
    command = [
        "gcc",
        *flags,
        f"-Wl,-soname,{LIBRARY}",
        "-o",
        str(fresh),
        *(str(path) for path in sorted(SOURCE.glob("*.c"))),
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    fresh.replace(target)
    return target
