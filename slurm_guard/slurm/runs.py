"""One accounting row to one Run, clipped to the audited window."""

import re
from collections.abc import Mapping

from slurm_guard.hostlist import expand
from slurm_guard.model import Run, Skip
from slurm_guard.slurm.tres import count_gpus

Row = Mapping[str, str]
_NO_TIME = {"", "unknown", "none", "0", "n/a"}
_SPAN = re.compile(r"(?:([0-9]+)-)?(?:([0-9]{1,2}):)?([0-9]{1,2}):([0-9]{1,2})(?:\.[0-9]+)?")
_MAX_AT = 4_102_444_800  # 2100; Slurm's own "no value" times (2^32 - 1 and - 2) lie beyond


def build_run(row: Row, cluster: str, from_at: float, until_at: float) -> tuple[Run | None, list[Skip]]:
    """The run of a row, null when it has nothing in the window; a row that makes no sense is a Skip."""
    subject = f"{cluster}/{row.get('JobID') or row['JobIDRaw']}"
    try:
        return _build(row, cluster, from_at, until_at)
    except ValueError as error:
        return None, [Skip(subject, "bad-accounting-row", str(error))]


def _build(row: Row, cluster: str, from_at: float, until_at: float) -> tuple[Run | None, list[Skip]]:
    start_at = parse_time(row["Start"])
    if "." in row["JobIDRaw"] or start_at is None:
        return None, []  # a step, or a run that never started: nothing was allocated
    end_at = parse_time(row["End"])
    suspended_s = _suspended_s(row, start_at, end_at)
    if end_at is not None and end_at < start_at:
        raise ValueError(f"ends {start_at - end_at:.0f} s before it starts")
    last_at = _last_known_at(row, start_at, end_at, until_at)
    held_at = _held_from(row, start_at, last_at)
    low, high = max(held_at, from_at), min(last_at, until_at)
    if low > high or (low == high and not (held_at == end_at and from_at <= low < until_at)):
        return None, []
    run_id = f"{cluster}/{row['JobIDRaw']}/{int(held_at)}"
    gpus, nodes = count_gpus(row["AllocTRES"]), expand(row["NodeList"])
    if not nodes and start_at == end_at:
        return None, []  # refused or cancelled in the queue: 22.05 gives such a row the submit time as start
    notes = _notes(run_id, row, gpus.parts)
    inside_s, exact = _share_of(suspended_s, (start_at, last_at), (low, high))
    if not exact:
        notes.append(
            Skip(
                run_id,
                "suspension-prorated",
                f"suspended for {suspended_s} s; accounting does not say how much of it lies in the window, "
                f"{inside_s} s taken by proportion",
            )
        )
    return (
        Run(
            id=run_id,
            cluster=cluster,
            job_id=int(row["JobIDRaw"]),
            job=row.get("JobID") or row["JobIDRaw"],
            user=row.get("User", ""),
            uid=_number(row.get("UID", "")),
            account=row.get("Account", ""),
            partition=row.get("Partition", ""),
            qos=row.get("QOS", ""),
            name=row.get("JobName", ""),
            state=row["State"].partition(" ")[0],  # CANCELLED by 1000
            submit_at=parse_time(row.get("Submit", "")),
            start_at=held_at,
            end_at=end_at,
            from_at=low,
            until_at=high,
            suspended_s=inside_s,
            nodes=nodes,
            n_gpus=gpus.n,
            gpu_type=gpus.type,
            comment=row.get("Comment") or None,
            work_dir=row.get("WorkDir") or None,
            stdout=row.get("StdOut") or None,
            extra=row.get("Extra") or None,
        ),
        notes,
    )


def parse_time(text: str) -> float | None:
    """UTC epoch seconds of a `%s` time, null for Unknown and None. Raises ValueError for anything else."""
    if text.strip().lower() in _NO_TIME:
        return None
    if not re.fullmatch("[0-9]{1,12}", text):
        raise ValueError(f"not a time in epoch seconds: {text[:40]!r} (SLURM_TIME_FORMAT=%s makes them)")
    at = float(text)
    return at if at < _MAX_AT else None


def parse_span_s(text: str) -> int:
    """Seconds of `[D-]HH:MM:SS` or `MM:SS`; empty is 0."""
    if not text.strip():
        return 0
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a span of time: {text[:40]!r}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _suspended_s(row: Row, start_at: float, end_at: float | None) -> int:
    """Suspended seconds of the whole run such that the charge is ElapsedRaw (which leaves suspension out)."""
    elapsed_s = _number(row.get("ElapsedRaw", ""))
    if end_at is not None and elapsed_s is not None:
        return max(0, int(end_at - start_at) - elapsed_s)
    return parse_span_s(row.get("Suspended", ""))


def _last_known_at(row: Row, start_at: float, end_at: float | None, until_at: float) -> float:
    """The end, or for a living run the instant at which accounting was read."""
    if end_at is not None:
        return end_at
    elapsed_s = _number(row.get("ElapsedRaw", ""))
    if elapsed_s is None:
        return until_at
    return start_at + elapsed_s + parse_span_s(row.get("Suspended", ""))


def _held_from(row: Row, start_at: float, last_at: float) -> float:
    """When the row's GPUs were taken.

    22.05 gives the row after a resize the job's own start, and the instant of the resize as Submit; the time
    before it stands in the row that ended as RESIZING. Later releases start the row at the resize.
    """
    submit_at = parse_time(row.get("Submit", ""))
    return submit_at if submit_at is not None and start_at < submit_at <= last_at else start_at


def _share_of(suspended_s: int, whole: tuple[float, float], inside: tuple[float, float]) -> tuple[int, bool]:
    """(suspended seconds inside the window, whether that is known): accounting has only the run's total."""
    inside_s, whole_s = inside[1] - inside[0], whole[1] - whole[0]
    if suspended_s == 0 or inside_s >= whole_s:
        return min(suspended_s, int(inside_s)), True
    return round(suspended_s * inside_s / whole_s), False


def _notes(run_id: str, row: Row, parts: tuple[str, ...]) -> list[Skip]:
    if not parts:
        return []
    detail = f"holds {', '.join(parts)}: parts of GPUs are not counted as GPUs"
    return [Skip(run_id, "shared-gpu-tres", detail)]


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None
