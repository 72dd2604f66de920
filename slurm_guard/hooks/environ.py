"""Reading slurmd's environment as untrusted data: bounded text, checked integers, safe names."""

from __future__ import annotations

import os

from slurm_guard.light import NamedTuple
from slurm_guard.wire import clip

MAX_NAME = 80  # bytes of a node or cluster name; both are part of a file name (255 bytes with the rest)
MAX_SHORT = 256  # bytes of user, account, partition, sluid
MAX_GPUS = 1024  # GRES indices on one node; Slurm's own GPU plugin ends well below
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_UINT32 = 2**32 - 1
_MOST_OWNER = 2**32 - 2  # of uid and gid: the one above is the kernel's "leave it as it is"
JOB_ID_MAX = 2**32 - 1  # Slurm's job ids are 32 bits wide, reserved values included


class Identity(NamedTuple):
    """Which job, node and boot this hook speaks of."""

    job_id: int
    node: str
    cluster: str
    boot_id: str
    uid: int | None


class Environ:
    """The environment with the reasons why a field of it is missing, collected in `why`."""

    def __init__(self, raw: dict[bytes, bytes], proc: str = "/proc") -> None:
        self._raw = raw
        self._proc = proc
        self.why: dict[str, str] = {}

    def raw(self, name: str) -> bytes | None:
        """The bytes of a variable, null when it is unset."""
        return self._raw.get(name.encode())

    def text(self, name: str, limit: int | None = None) -> str | None:
        """The text of a variable, clipped; null when it is unset."""
        value = self.raw(name)
        if value is None:
            return None
        text = value.decode("utf-8", "surrogateescape")
        return clip(text) if limit is None else clip(text, limit)

    def owner(self, field: str, *names: str) -> int | None:
        """A uid or gid, by the rules of `integer`."""
        return self.integer(field, *names, most=_MOST_OWNER)

    def integer(self, field: str, *names: str, most: int = _UINT32) -> int | None:
        """The first of `names` that is set, as a whole number 0..most; null with a reason otherwise."""
        for name in names:
            value = self.raw(name)
            if value is None:
                continue
            # isdigit() on bytes knows ASCII digits alone; the length bound comes before int() is asked
            if value.isdigit() and len(value) <= 20 and int(value) <= most:
                return int(value)
            self.why[field] = f"{name} is not a whole number up to {most}"
            return None
        self.why[field] = f"{names[0]} is not set"
        return None

    def safe_name(self, field: str, name: str, fallback: str) -> str:
        """A variable that becomes part of a path; anything odd is replaced by `fallback`, with a reason."""
        value = self.raw(name)
        text = None if value is None else value.decode("ascii", "replace")
        if text is not None and is_safe_name(text):
            return text
        self.why[field] = f"{name} is not set" if text is None else f"{name} is no usable name"
        return fallback

    def gpus(self) -> list[int] | None:
        """GRES indices of SLURM_JOB_GPUS; null: variable absent (a job without GPUs, or count-only GRES)."""
        value = self.raw("SLURM_JOB_GPUS")
        if value is None:
            self.why["gpus"] = "SLURM_JOB_GPUS is not set"
            return None
        try:
            return parse_indices(value[: 8 * MAX_GPUS].decode("ascii"))
        except ValueError:
            self.why["gpus"] = "SLURM_JOB_GPUS is no list of indices"
            return None

    def start_at(self) -> int | None:
        """When Slurm says that this run of the job began (23.02+), whole epoch seconds."""
        return self.integer("slurm_start_at", "SLURM_JOB_START_TIME", most=2**53)

    def sharing(self) -> list[str] | None:
        """What the environment tells of others on the job's GPUs: mps, shard.

        Null: Slurm up to 22.05 tells nothing of it. An empty list is no promise: a shard looks like a whole
        GPU there (no Slurm up to 26.05 names it in a prolog). SLURM_JOB_OVERSUBSCRIBE=YES is no sharing of
        GPUs: jobs that oversubscribe a node share its CPUs; its GPUs go to one job at a time (tried on 22.05,
        24.11 and 26.05 with OverSubscribe=YES and FORCE).
        """
        found = []
        if self.raw("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE") is not None:
            found.append("mps")
        if self.raw("SLURM_SHARDS_ON_NODE") is not None:
            found.append("shard")
        if self.raw("SLURM_JOB_OVERSUBSCRIBE") is None and not found:  # of a release that tells nothing
            self.why["sharing"] = "SLURM_JOB_OVERSUBSCRIBE is not set"
            return None
        return found

    def identity(self) -> Identity:
        """Who we are. Raises ValueError without a usable job id, when there is nothing to write about, and
        without a /proc, which alone tells one boot from another."""
        job_id = self.integer("job_id", "SLURM_JOB_ID", "SLURM_JOBID", most=JOB_ID_MAX)
        if job_id is None or job_id == 0:
            raise ValueError(f"no usable job id: {self.why.get('job_id', 'SLURM_JOB_ID is 0')}")
        host = os.uname().nodename.split(".", 1)[0]
        node = self.safe_name("node", "SLURMD_NODENAME", host if is_safe_name(host) else "unknown")
        cluster = self.safe_name("cluster", "SLURM_CLUSTER_NAME", "unknown")
        try:
            boot_id = (
                read_small(f"{self._proc}/sys/kernel/random/boot_id", 64).decode("ascii", "replace").strip()
            )
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise ValueError(
                f"no {self._proc} ({reason}): nothing is written, the run is not observed"
            ) from None
        return Identity(job_id, node, cluster, boot_id, self.owner("uid", "SLURM_JOB_UID", "SLURM_UID"))


def is_safe_name(text: str) -> bool:
    """Letters, digits, dot, underscore and hyphen, beginning with neither dot nor hyphen, not too long."""
    return 0 < len(text) <= MAX_NAME and text[0] not in ".-" and _NAME_CHARS.issuperset(text)


def parse_indices(text: str) -> list[int]:
    """`0,2-3` as [0, 2, 3]; empty text is no index at all. Raises ValueError."""
    found: list[int] = []
    for part in text.split(",") if text else []:
        first, dash, last = part.partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise ValueError(part)
        low, high = int(first), int(last if dash else first)
        if high < low or high >= MAX_GPUS or len(found) + high - low >= MAX_GPUS:
            raise ValueError(part)
        found.extend(range(low, high + 1))
    return found


def read_small(path: str, most: int) -> bytes:
    """The first `most` bytes of a small local file, without ever waiting for a writer. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        parts = []
        while most > 0 and (part := os.read(fd, most)):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)
