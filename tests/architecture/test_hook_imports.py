"""The hooks import what stands here and nothing else: every module costs each job start on each node."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "__future__",
    "_collections",
    "_collections_abc",
    "_json",
    "_operator",
    "_posixsubprocess",
    "_socket",
    "_stat",
    "_struct",
    "_weakref",
    "abc",
    "_abc",
    "_blake2",  # of the child that looks at the firewall
    "collections",
    "collections.abc",
    "errno",  # built in; os.path of Python 3.13 asks for it
    "fcntl",
    "genericpath",
    "itertools",
    "keyword",
    "operator",
    "os",
    "os.path",
    "posixpath",
    "reprlib",
    "stat",
    "struct",
}
HASHING = {"hashlib", "_hashlib", "_blake2", "_sha3", "_sha2", "_sha1", "_md5", "_sha256", "_sha512"}
COSTLY = {
    "re",
    "enum",
    "typing",
    "json",
    "functools",
    "signal",
    "socket",
    "dataclasses",
    "pathlib",
    "logging",
}
COSTLY |= {"argparse", "subprocess", "tempfile", "threading", "inspect", "contextlib", "importlib.util"}

TELL = """
import sys
before = set(sys.modules)
sys.path.insert(0, {lib!r})
import os
leave = os._exit
def tell(status):
    os.write(1, "".join(name + "\\n" for name in sorted(set(sys.modules) - before)).encode())
    leave(status)
os._exit = tell
from slurm_guard.hooks import boundary
boundary.run({args!r})
"""


def _modules(tmp_path: Path, hook: str, **env: str) -> set[str]:
    """Modules that one hook and its children imported beyond a bare interpreter."""
    folder = tmp_path / "run" / "n1"
    folder.mkdir(parents=True, exist_ok=True)
    folder.parent.chmod(0o711)
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    (folder / "sampler.pid").write_text(f"{os.getpid()} {ticks}")  # one is running: no fork, one answer
    names = ("run", "spool", "client")
    args = [hook, *[f"{name}_dir={tmp_path / name}" for name in names], f"syslog={tmp_path / 'log'}"]
    args += ["sampler_python=/bin/true", f"disabled={tmp_path / 'disabled'}"]
    base = {"SLURM_JOB_ID": "7", "SLURMD_NODENAME": "n1", "SLURM_JOB_UID": str(os.getuid())}
    done = subprocess.run(
        [sys.executable, "-IS", "-c", TELL.format(lib=str(ROOT), args=args)],
        env={**base, **env},
        capture_output=True,
        check=True,
    )
    kind = "tickets" if hook == "prolog" else "ends"
    assert list(tmp_path.glob(f"spool/n1/{kind}/*.json"))  # it went the whole way
    return set(done.stdout.decode().split())


@pytest.mark.parametrize("hook", ["prolog", "epilog"])
def test_hook_imports_nothing_beyond_the_list(tmp_path: Path, hook: str) -> None:
    modules = _modules(tmp_path, hook)

    ours = {name for name in modules if name.split(".")[0] == "slurm_guard"}
    assert modules - ours - ALLOWED == set()
    assert {n for n in ours if not n.startswith("slurm_guard.hooks")} == {
        "slurm_guard",
        "slurm_guard.light",
        "slurm_guard.netlink",
        "slurm_guard.wire",
        "slurm_guard.wirenet",
    }


def test_declared_intent_costs_hashing_and_no_more(tmp_path: Path) -> None:
    modules = _modules(tmp_path, "prolog", SLURM_JOB_COMMENT="guard:task=x")

    assert {n for n in modules if not n.startswith("slurm_guard")} - ALLOWED - HASHING == set()
    assert modules & COSTLY == set()
