"""A machine's image in a folder, and a clock that kills at its n-th change."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from slurm_guard.install.change import Places
from slurm_guard.install.facts import Asked
from slurm_guard.install.removal import Removal, take_back
from slurm_guard.install.session import Prepared, carry_out, prepare

CONF = (
    b"ClusterName=a\r\nInclude site.conf\r\nProlog=/s/prolog.d/*\r\n"
    b"PrologFlags=Serial # mind\r\nTaskProlog=/s/t"
)
SITE = b"Epilog=/s/epilog\n"


def make_image(root: Path) -> Path:
    """A site with a folder of prologs, an epilog in an included file, CRLF, and a last line without end."""
    for name, text, mode in (
        ("etc/slurm/slurm.conf", CONF, 0o640),
        ("etc/slurm/site.conf", SITE, 0o644),
        ("s/prolog.d/10-site", b"#!/bin/sh\n", 0o755),
        ("s/epilog", b"#!/bin/sh\n", 0o755),
        ("etc/slurm-guard/slurm-guard-hooks.conf", b"# mine\nSYSLOG=/x\nPYTHON=/old", 0o600),
        ("var/lib/.keep", b"", 0o644),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        path.chmod(mode)
    return root


def asked(root: Path, role: str = "all", version: str = "23.11") -> Asked:
    return Asked(role, Places(None, root), Path("/etc/slurm/slurm.conf"), version)


def install(root: Path, role: str = "all", version: str = "23.11") -> Prepared:
    """To its end."""
    ready = prepare(asked(root, role, version))
    assert carry_out(ready, lambda _: None) == []
    return ready


def uninstall(root: Path, *, purge: bool = False) -> list[str]:
    """To its end; what stays."""
    return take_back(Places(None, root), Removal(purge=purge), lambda _: None)


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file's bytes and mode, and every folder that holds none."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(root))] = (path.read_bytes(), path.stat().st_mode)
    return found


class Killed(BaseException):
    """As SIGKILL: nothing of ours runs after it."""


CALLS = ("rename", "mkdir", "unlink", "rmdir", "fsync", "chmod", "fchmod")


@contextmanager
def failing_at(n: int, failure: Callable[[], BaseException], *, late: bool) -> Iterator[list[str]]:
    """The n-th change of the disk fails, before it is made or (`late`) after. Gives the calls made."""
    made: list[str] = []
    real = {name: getattr(os, name) for name in CALLS}

    def wrap(name: str) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            made.append(name)
            if len(made) == n and not late:
                raise failure()
            try:
                # Syncing is counted and left out: nothing here survives a power cut anyway, and it is slow.
                return None if name == "fsync" else real[name](*args, **more)
            finally:
                if len(made) == n:
                    raise failure()

        return call

    try:
        for name in CALLS:
            setattr(os, name, wrap(name))
        yield made
    finally:
        for name, function in real.items():
            setattr(os, name, function)
