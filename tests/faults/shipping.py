"""A spool to be shipped, and ssh commands that need no sshd."""

import sys
from pathlib import Path

from slurm_guard import wire
from slurm_guard.lake.drop import Address, Pulled, pull
from tests.spools import NODE, RUN, make, put, reading, segment, single, tree

ROOT = Path(__file__).resolve().parents[2]
TICKET = f"{wire.stem(RUN)}.json"
SHIP = "import sys; sys.path.insert(0, sys.argv.pop(1)); from slurm_guard.cli.app import main; main()"


def fill(spool: Path, n: int = 3) -> None:
    put(spool, "tickets", TICKET, single(make(wire.Ticket)))
    for seq in range(n):
        put(spool, "sealed", *segment([make(wire.Window, run=RUN)], seq=seq))
    put(spool, "progress", *reading([make(wire.LogFile)]))
    put(spool, "seals", TICKET, single(make(wire.Seal, segments=[])))
    put(spool, "open", "half.000009.jsonl", '{"k":"head"')
    put(spool, "tickets", f".{TICKET}.7.tmp", "{")


def ssh_that(tmp_path: Path, code: str) -> list[str]:
    """A program in ssh's place; what it is told to run it leaves alone."""
    path = tmp_path / "fake_ssh.py"
    path.write_text("import os, sys, time, hashlib\nout = sys.stdout.buffer\n" + code)
    return [sys.executable, str(path)]


def ssh_serving(tmp_path: Path, spool: Path, node: str = NODE) -> list[str]:
    """The other end as it is, without a network."""
    command = [
        sys.executable,
        "-c",
        SHIP,
        str(ROOT),
        "ship",
        "--serve",
        "--node",
        node,
        "--spool",
        str(spool),
    ]
    return ssh_that(tmp_path, f"os.execv({sys.executable!r}, {command!r})\n")


def ask(tmp_path: Path, ssh: list[str], node: str = NODE) -> Pulled:
    return pull(Address(None, node, None), tmp_path / "drop", ssh)


def shipped(folder: Path) -> dict[str, bytes]:
    return {k: v for k, v in tree(folder).items() if not k.startswith((f"{NODE}/open", f"{NODE}/tickets/."))}
