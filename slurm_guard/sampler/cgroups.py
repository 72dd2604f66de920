"""Which Slurm job a cgroup path or a slurmstepd's title speaks of. Pure; by path components."""

from __future__ import annotations

from slurm_guard.light import NamedTuple
from slurm_guard.sampler.patterns import pattern

_JOB = pattern(r"job_(\d{1,10})")
_SLUID = pattern(r"s[0-9A-HJKMNP-TV-Z]{13}")  # Slurm 26.05's job folders (its src/common/sluid.c)
_UID = pattern(r"uid_(\d{1,10})")
_SCOPE = "slurmstepd.scope"
# setproctitle of slurmstepd: "slurmstepd: [44.batch]", "[44.0]", "[44+1.0]" (het), a SLUID from 26.05
_TITLE = pattern(r"slurmstepd: \[(?:(\d{1,10})|(s[0-9A-HJKMNP-TV-Z]{13}))(?:\+\d+)?\.(\w+)")


_SOCKET = pattern(r"(.+)_(\d+)\.\d+(?:\.\d+)?")


class JobRef(NamedTuple):
    """A job as a path or a title names it: by id or by SLUID. `node` null: the path names none."""

    job_id: int | None
    sluid: str | None
    node: str | None
    step: str | None  # batch, extern, interactive, 0, 1, …; null: unknown


def parse_cgroup(text: str) -> JobRef | None:
    """The outermost Slurm job in the content of /proc/PID/cgroup; null: none.

    Below a user's own slice nothing counts: with delegation the user names the folders there.
    """
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        found = _parse_path([part for part in path.split("/") if part])
        if found is not None:
            return found
    return None


def job_folder(path: str) -> str | None:
    """The beginning of a control group's path up to the folder of the outermost job; null: it is in none, or
    the path was cut."""
    parts = path.split("/")
    if "[cut]" in path or ".." in parts:
        return None
    for place, part in enumerate(parts):
        if part.startswith(("user.slice", "user-", "user@")):
            return None
        below = place and (parts[place - 1].endswith(_SCOPE) or _UID.fullmatch(parts[place - 1]))
        if below and (_JOB.fullmatch(part) or _SLUID.fullmatch(part)):
            return "/".join(parts[: place + 1])
    return None


def _parse_path(parts: list[str]) -> JobRef | None:
    for place, part in enumerate(parts):
        if part.startswith(("user.slice", "user-", "user@")):
            return None
        after = parts[place + 1 :]
        if part.endswith(_SCOPE) and after:  # v2
            node = part[: -len(_SCOPE)].rstrip("_") or None
            return _job(after[0], node, after[1:])
        if _UID.fullmatch(part) and after and _JOB.fullmatch(after[0]):  # v1
            root = parts[place - 1] if place else ""
            node = root[len("slurm_") :] if root.startswith("slurm_") else None
            return _job(after[0], node, after[1:])
    return None


def _job(part: str, node: str | None, after: list[str]) -> JobRef | None:
    by_id, by_sluid = _JOB.fullmatch(part), _SLUID.fullmatch(part)
    step = after[0][len("step_") :] if after and after[0].startswith("step_") else None
    if by_id:
        return JobRef(int(by_id[1]), None, node, step)
    return JobRef(None, part, node, step) if by_sluid else None


def parse_title(cmdline: str) -> JobRef | None:
    """The job of a slurmstepd by its process title (only root's processes are asked); null: no slurmstepd."""
    found = _TITLE.match(cmdline)
    if found is None:
        return None
    return JobRef(int(found[1]) if found[1] else None, found[2], None, found[3])


def parse_stepd_socket(path: str, job: JobRef) -> str | None:
    """The node in the name of a slurmstepd's socket, `<spool>/<node>_<job>.<step>`; null: another file."""
    name = path.rsplit("/", 1)[-1]
    found = _SOCKET.fullmatch(name)
    return found[1] if found and found[2] == str(job.job_id) else None
