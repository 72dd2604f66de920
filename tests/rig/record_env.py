"""Records what a real slurmd hands its hooks, as fixtures: python -m tests.rig.record_env --dir RIG.

The rig must be up. Each case submits jobs as an ordinary user, waits for their end, and leaves one file for
each hook that ran, in order: tests/fixtures/hooks/<version>/<case>.<nn>.<hook>.env, lines of `NAME=value`.
What differs from rig to rig (paths, cluster, user, job ids, times) is made equal. Afterwards, in
tests/fixtures/slurm/<version>/, what accounting and the process table say of jobs (record_texts.py).
"""

import argparse
import contextlib
import pwd
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.rig import procs
from tests.rig.layout import CHECKOUT, Rig, load_rig
from tests.rig.record_cases import CASES, USER, slurm_version
from tests.rig.record_texts import record_accounting, record_running

HOOKS = ("prolog", "epilog")
_FIRST_AT = 1_780_000_000  # what a case's first start becomes
_TIMES = ("SLURM_JOB_START_TIME", "SLURM_JOB_END_TIME")
_IDS = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_HET_JOB_ID", "SLURM_PACK_JOB_ID")
_DUMP = """#!/bin/sh
/usr/bin/env -0 >{out}/$(/bin/date +%s%N).{hook}
exec {real}
"""


def main() -> int:
    """Record every case; 1 when one did not come about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the rig's folder")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "tests" / "fixtures" / "hooks")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only these")
    parser.add_argument("--running", action="store_true", help="only what is said of a running job")
    args = parser.parse_args()
    rig = load_rig(args.dir.resolve())
    version = slurm_version(rig)
    folder = args.out / ".".join(version.split(".")[:2])
    folder.mkdir(parents=True, exist_ok=True)
    texts = args.out.parent / "slurm" / folder.name
    if args.running:
        record_running(rig, texts)
        return 0
    with _tapped(rig) as tap:
        for name in args.case or CASES:
            CASES[name](rig)
            _wait_until_quiet(rig, tap)
            _keep(rig, tap, folder, name, version)
    if not args.case:
        record_accounting(rig, texts)
        record_running(rig, texts)
    return 0


@contextlib.contextmanager
def _tapped(rig: Rig) -> Iterator[Path]:
    """The hooks in slurm.conf's place write their environment down and then run as ever."""
    tap = rig.path / "tap"
    tap.mkdir(exist_ok=True)
    shims = {hook: rig.path / "libexec" / f"slurm-guard-{hook}" for hook in HOOKS}
    for hook, shim in shims.items():
        real = shim.with_name(f"{shim.name}.real")
        if not real.exists():
            shim.rename(real)
        new = shim.with_name(f"{shim.name}.new")
        new.write_text(_DUMP.format(out=tap, hook=hook, real=real), "utf-8")
        new.chmod(0o755)
        new.rename(shim)
    try:
        yield tap
    finally:
        for shim in shims.values():
            shim.with_name(f"{shim.name}.real").rename(shim)


def _wait_until_quiet(rig: Rig, tap: Path) -> None:
    """No job is left, and no hook has run for two seconds."""
    procs.wait_for("jobs to end", lambda: not procs.call(rig, ["squeue", "-h"]).strip(), 120.0, 0.5)
    seen = -1
    while seen != len(list(tap.iterdir())):
        seen = len(list(tap.iterdir()))
        time.sleep(2.0)


def _keep(rig: Rig, tap: Path, folder: Path, case: str, version: str) -> None:
    for old in folder.glob(f"{case}.*.env"):
        old.unlink()
    dumps = {path: path.read_bytes() for path in sorted(tap.iterdir())}
    first = min(_number(raw, "SLURM_JOB_ID") for raw in dumps.values())
    first_at = min(_number(raw, "SLURM_JOB_START_TIME") for raw in dumps.values())
    for n, (path, raw) in enumerate(dumps.items()):
        hook = path.suffix[1:]
        body = "".join(f"{line}\n" for line in sorted(_scrubbed(rig, raw, first, first_at)))
        (folder / f"{case}.{n:02d}.{hook}.env").write_text(f"# recorded, Slurm {version}\n{body}", "utf-8")
        path.unlink()
    print(f"{case}: {len(list(folder.glob(f'{case}.*.env')))} hooks")


def _number(raw: bytes, name: str) -> int:
    found = re.search(rb"(?:^|\0)%s=(\d+)" % name.encode(), raw)
    return int(found[1]) if found else 0


def _scrubbed(rig: Rig, raw: bytes, first_job: int, first_at: int) -> Iterator[str]:
    entry = pwd.getpwnam(USER)
    for part in raw.decode("utf-8", "replace").split("\0"):
        name, sign, value = part.partition("=")
        if not sign or name in ("PWD", "OLDPWD", "SHLVL", "_"):
            continue
        value = value.replace(rig.root, "/site").replace(USER, "alice").replace(rig.cluster, "c1")
        if name in _IDS:
            value = str(int(value) - first_job + 1)
        if name in _TIMES:
            value = str(int(value) - first_at + _FIRST_AT)
        if name in ("SLURM_JOB_UID", "SLURM_UID", "SLURM_JOB_GID"):
            value = "1000" if value in (str(entry.pw_uid), str(entry.pw_gid)) else value
        yield f"{name}={value}"


if __name__ == "__main__":
    sys.exit(main())
