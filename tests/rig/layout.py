"""Where a rig keeps its things, which ports and nodes it has; rig.json tells every command."""

import dataclasses
import json
import random
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
WORKLOADS = Path(__file__).resolve().parent / "workloads"
USERS = ("sgrig1", "sgrig2")
AUDITOR = "sgaudit"
ACCOUNT_OF = {"sgrig1": "vision", "sgrig2": "language"}
PROCTRACKS = ("auto", "cgroup", "cgroup2", "linuxproc")  # auto: v1's freezer where it is, else linuxproc
_PORTS = ("mariadb", "slurmdbd", "slurmctld", "sshd", "smtp", "n1", "n2")
JOB_IDS = 100_000  # a rig's jobs are numbered within a stretch of this many
_MAX_DIR = 60  # a Unix socket's path may have 107 bytes; ours add up to 40 below the rig's folder


class RigError(RuntimeError):
    """A sentence for the person at the terminal."""


class NodeSpec(NamedTuple):
    """One slurmd and its boards. `gres_type` is the board's model as Slurm spells it; `n_spare`: boards above
    those that Slurm was told of, as one that was taken out of gres.conf for a fault."""

    name: str
    gres_type: str
    n_gpus: int
    n_spare: int = 0

    @property
    def n_boards(self) -> int:
        """What the driver sees."""
        return self.n_gpus + self.n_spare


NODES = (NodeSpec("n1", "h100", 4, n_spare=1), NodeSpec("n2", "a100", 4))


@dataclass(frozen=True, slots=True)
class Rig:
    """One rig. `scale`: rig (5 s windows) or production (1 Hz, 60 s).

    `proctrack`: cgroup (v1's freezer), cgroup2 or linuxproc.
    """

    root: str
    cluster: str
    ports: dict[str, int]
    proctrack: str
    scale: str
    seed: int
    first_job_id: int

    @property
    def path(self) -> Path:
        """The rig's folder."""
        return Path(self.root)

    @property
    def conf(self) -> Path:
        """slurm.conf, for SLURM_CONF."""
        return self.path / "etc" / "slurm.conf"

    @property
    def guard_toml(self) -> Path:
        """slurm-guard's configuration, for --config."""
        return self.path / "etc" / "guard.toml"

    @property
    def python(self) -> str:
        """The interpreter with the project's packages: the one that runs the rig."""
        return sys.executable

    def gpu_dir(self, node: str) -> Path:
        """A node's simulated boards: library, loads, grants, truth."""
        return self.path / "nodes" / node / "gpu"

    def home(self, user: str) -> Path:
        """Where a user's jobs run and write."""
        return self.path / "home" / user

    def save(self) -> None:
        """Write rig.json."""
        (self.path / "rig.json").write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n", "utf-8")


def load_rig(folder: Path) -> Rig:
    """The rig in `folder`. RigError when there is none."""
    try:
        data = json.loads((folder / "rig.json").read_text("utf-8"))
    except FileNotFoundError:
        raise RigError(f"there is no rig in {folder}: start one with `python -m tests.rig up`") from None
    return Rig(**data)


def make_rig(folder: Path, proctrack: str, scale: str, seed: int) -> Rig:
    """A new rig's numbers; ports are free at this moment. RigError when the folder's name is too long."""
    if len(str(folder)) > _MAX_DIR:
        raise RigError(
            f"{folder} is too long for Unix sockets below it: give --dir with at most {_MAX_DIR} bytes"
        )
    ports = free_ports(len(_PORTS))
    # Job ids far apart: the processes of two rigs on one machine can never be taken for each other's.
    first = random.SystemRandom().randrange(1, 600) * JOB_IDS + 1
    numbers = dict(zip(_PORTS, ports, strict=True))
    return Rig(str(folder), "rig", numbers, proctrack, scale, seed, first)


def free_ports(count: int) -> list[int]:
    """Free TCP ports below the ephemeral range: no outgoing connection takes one before its daemon does."""
    held: list[socket.socket] = []
    draw = random.SystemRandom()
    try:
        while len(held) < count:
            trial = socket.socket()
            try:
                trial.bind(("127.0.0.1", draw.randrange(20_000, 32_000)))
                held.append(trial)
            except OSError:
                trial.close()
        return [int(part.getsockname()[1]) for part in held]
    finally:
        for part in held:
            part.close()
