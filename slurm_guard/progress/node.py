"""One reading of one run's logs: `python -I -m slurm_guard.progress.node`, a request on stdin.

Safe as root: no path of the user is touched here. The opener opens as the job's user, the parser reads as
nobody, and this process sets their answers against the sampler's sights and writes the reading.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from slurm_guard.progress import checkpoints, database, declared, models, wandbmeta
from slurm_guard.progress.bracket import (
    Sight,
    Trail,
    bracket,
    changed_after_end,
    false_clocks,
    trail_of,
    with_birth,
)
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.named import OTHER_WRITER, by_name
from slurm_guard.progress.opener import Opened, open_files
from slurm_guard.progress.parser_child import MAX_POINTS, Answer, parse
from slurm_guard.progress.protocol import NAMES_HOST, NAMES_JOB
from slurm_guard.progress.reading import write_reading
from slurm_guard.progress.request import MAX_REQUEST_B, Request, RequestError, parse_request
from slurm_guard.progress.track import thin
from slurm_guard.progress.unit import Input, Told, label_of, together
from slurm_guard.wire import LogFile, Point

OPEN_SHARE = 0.5  # of the deadline that opening may take (judgement)
_DIGITS = re.compile(r"\d{1,17}")
_ORDER = {"guard": 0, "stdout": 1, "fd": 2, "stderr": 3, declared.NAME: 4, "walk": 5}
_CONFIDENCE = {"guard": 1.0, "fd": 1.0, "stdout": 0.95, "stderr": 0.95, "walk": 0.5}  # design note, section 3
_CONFIDENCE[declared.NAME] = 0.9  # named before the outcome was known, and the user's own: judgement
# Each file is one writing and repeats what was before: its birth says nothing of when its records came to be.
WRITTEN_WHOLE = frozenset(("hfstate",))
SAYS_SO = 0.8  # a file that names this job (design note, section 3): text that the user controls
SAYS_HOST = 0.6  # … that names this node alone: judgement
_NAMES = (NAMES_JOB, NAMES_HOST)


Opening = Callable[[Request, float], list[Opened]]


class Result(NamedTuple):
    """Everything that one reading holds."""

    logs: list[LogFile]
    points: list[Point]
    truncated: bool


def main(opening: Opening = open_files) -> int:
    """0: a reading was written, even if all it says is what failed; 2: no usable request."""
    try:
        request = parse_request(sys.stdin.buffer.read(MAX_REQUEST_B + 1))
    except RequestError as error:
        print(f"progress: bad request: {error}", file=sys.stderr)
        return 2
    try:
        result = read_run(request, opening)
    except Exception as error:  # noqa: BLE001 - a reading that failed is still a reading, and says so
        problem = f"reader-failed: {type(error).__name__}"
        result = Result([_row(Told(0, None, "", 0, 0, [problem]), None, request, 0)], [], False)
    write_reading(request, result.logs, result.points, result.truncated)
    return 0


def read_run(request: Request, opening: Opening = open_files) -> Result:
    """Open, parse, bracket. Takes at most the request's deadline, hung file systems included."""
    begin_s = time.monotonic()
    deadline_s = begin_s + request.limits.timeout_s
    everything = opening(request, begin_s + OPEN_SHARE * request.limits.timeout_s)
    opened = sorted(
        (one for one in everything if one.model is None),
        key=lambda one: (_ORDER.get(one.how, 9), _by_number(one.path)),
    )
    told, marks, truncated = _parse_all(opened, request, deadline_s)
    sizes = models.model_sizes(everything, request.parser_user, deadline_s)
    sizes = models.with_kept(sizes, request.models)
    for one in everything:
        if one.fd is not None:
            os.close(one.fd)
    return _settle(opened, told, (marks, truncated), request, sizes)


def _by_number(path: str) -> str:
    """A name to sort by: checkpoint-500 before checkpoint-1000."""
    return _DIGITS.sub(lambda digits: digits[0].zfill(18), path)


def _parse_all(
    opened: list[Opened], request: Request, deadline_s: float
) -> tuple[list[Told], list[Mark], bool]:
    """All units, each in a child of its own: a file that kills its parser costs nobody else's points."""
    told: list[Told] = []
    marks: list[Mark] = []
    truncated = False
    left_b = request.limits.run_b
    for unit in _units(opened, request.limits.file_b):
        if left_b <= 0:
            told.extend(Told(one.file, None, "", 0, 0, ["run-capped: not read"]) for one in unit)
            truncated = True
            continue
        share = [one._replace(cap_b=min(one.cap_b, left_b)) for one in unit]
        answer = parse(share, request.parser_user, deadline_s, request.patterns)
        told.extend(_all_told(answer, unit))
        marks.extend(answer.marks)
        truncated |= answer.truncated or answer.problem is not None
        left_b -= sum(one.read_b for one in answer.told)
    truncated |= len(marks) > MAX_POINTS
    return told, thin(marks, MAX_POINTS), truncated


def _all_told(answer: Answer, unit: list[Input]) -> list[Told]:
    """The answer's rows, and one for each file that the parser did not get to."""
    if answer.problem is None:
        return answer.told
    return [Told(one.file, None, "", 0, 0, [answer.problem]) for one in unit]


def _units(opened: list[Opened], cap_b: int) -> list[list[Input]]:
    """Event files of one folder are one training; every other file stands alone."""
    units: dict[str, list[Input]] = {}
    for file, one in enumerate(opened):
        if one.fd is None:
            continue
        shared = together(one.path)
        key = f"f{file}" if shared is None else "\0".join(shared)
        units.setdefault(key, []).append(Input(file, one.fd, one.path, one.how, one.size or 0, cap_b))
    return list(units.values())


def _settle(
    opened: list[Opened],
    told: list[Told],
    parsed: tuple[list[Mark], bool],
    request: Request,
    sizes: models.Sizes,
) -> Result:
    """Brackets, and one row per file and track."""
    marks, truncated = parsed
    told = _with_metadata(told, opened)
    whole = {row.file for row in told if row.source in WRITTEN_WHOLE}
    trails = {
        file: _trail(one if file not in whole else one._replace(born_at=None), request)
        for file, one in enumerate(opened)
        if one.fd is not None
    }
    clocks = false_clocks(marks, trails, request.frame)
    points, dropped = bracket(marks, trails, request.frame)
    counts: dict[tuple[int, str], int] = {}
    for point in points:
        counts[point.file, point.track] = counts.get((point.file, point.track), 0) + 1
    logs = []
    rows = told + [Told(i, None, "", 0, 0, []) for i, one in enumerate(opened) if one.fd is None]
    for row in sorted(rows, key=lambda row: row.file):
        problems = list(row.problems)
        if row.file in dropped:
            problems.append(f"before-run: {dropped[row.file]} records are older than the run")
        whys = {why for (track, file, _), why in clocks.items() if (track, file) == (row.track, row.file)}
        problems.extend(f"no-clock: {why}; they are left out" for why in sorted(whys))
        if row.file in trails:
            one = opened[row.file]
            problems.extend(f"{flag}: seen by the sampler" for flag in trails[row.file].flags)
            # A database is changed in place by whatever other run is in it.
            if row.source not in database.SOURCES and changed_after_end(
                _sights(one, request), one.size or 0, one.ctime_at, request.frame
            ):
                problems.append("changed-after-end: it was changed, and not longer, after the run's end")
        n = counts.get((row.file, row.track), 0)
        if opened[row.file].fd is not None or opened[row.file].problem is not None:
            logs.append(_row(row._replace(problems=problems), opened[row.file], request, n))
    saved_logs, saved_points = _checkpoints(opened, request, sizes)
    # What the sampler keeps for the next reading comes first.
    return Result([*logs, *saved_logs], [*saved_points, *points], truncated)


def _with_metadata(told: list[Told], opened: list[Opened]) -> list[Told]:
    """What W&B's metadata says of the run beside it, where the run's own file says no job."""
    said = {
        opened[row.file].path.removesuffix(f"/files/{wandbmeta.NAME}"): row.problems
        for row in told
        if opened[row.file].path.endswith(f"/files/{wandbmeta.NAME}")
    }
    out = []
    for row in told:
        if row.source == "wandb" and not any(text.startswith(NAMES_JOB) for text in row.problems):
            beside = said.get(opened[row.file].path.rpartition("/")[0], [])
            names = [text for text in beside if text.startswith(_NAMES)]
            row = row._replace(problems=[*row.problems, *names])
        out.append(row)
    return out


def _checkpoints(
    opened: list[Opened], request: Request, sizes: models.Sizes
) -> tuple[list[LogFile], list[Point]]:
    """A row for each folder with checkpoints, those of earlier readings that are gone now among them."""
    folders: dict[str, list[Opened]] = {kept.path: [] for kept in request.checkpoints}
    for one in opened:
        if one.fd is None and one.problem is None:
            folders.setdefault(one.path, []).append(one)
    logs, points = [], []
    for file, (path, rows) in enumerate(sorted(folders.items()), len(opened)):
        saved = [each for row in rows for each in row.saved]
        kept = [one for one in request.checkpoints if one.path == path]
        track = f"{checkpoints.NAME}:{label_of(path)}"
        said, problems = checkpoints.settle((file, track), saved, kept, request.frame)
        source, track = (checkpoints.NAME, said[0].track) if said else (None, "")
        size = saved[-1].size_b if saved else None
        ino = next((row.ino for row in rows), None)
        model = sizes.get(path, models.UNKNOWN) if said else models.UNKNOWN
        problems += model.problems
        row = LogFile(
            file, path, "walk", source, track, size, ino, len(said), model.read_b, _CONFIDENCE["walk"], [],
            problems, model.params, model.dense, None if model.params is None else models.FROM,
        )  # fmt: skip
        logs.append(row)
        points += said
    return logs, points


def _sights(one: Opened, request: Request) -> list[Sight]:
    return [sight for nth in one.nths for sight in request.files[nth].sights]


def _trail(one: Opened, request: Request) -> Trail:
    return trail_of(
        with_birth(_sights(one, request), one.born_at, one.ino, request.frame),
        one.size or 0,
        one.ctime_at,
        request.frame,
    )


def _row(told: Told, one: Opened | None, request: Request, n: int) -> LogFile:
    """A file's line in the reading."""
    if one is None:
        return LogFile(told.file, "", "fd", None, "", None, None, 0, 0, 0.0, [], told.problems)
    pids = sorted({pid for nth in one.nths for pid in request.files[nth].pids})[:16]
    problems = [text for text in told.problems if not text.startswith(_NAMES)]
    problems.extend([one.problem] if one.problem is not None else [])
    confidence = _CONFIDENCE.get(one.how, 0.5)
    if one.how in ("walk", declared.NAME):
        jobs = [text for text in told.problems if text.startswith(NAMES_JOB)]
        hosts = [text[len(NAMES_HOST) :] for text in told.problems if text.startswith(NAMES_HOST)]
        found, said = _by_job(jobs[0], request) if jobs else by_name(one.path, request)
        if not jobs and request.node.split(".")[0] in [host.split(".")[0] for host in hosts]:
            found = max(found, SAYS_HOST)
        confidence = found if one.how == "walk" or found == OTHER_WRITER else confidence
        problems.extend(said)
    return LogFile(
        told.file, one.path, one.how, told.source, told.track, one.size, one.ino, n, told.read_b,
        confidence, pids, problems, told.params, None, "said" if told.params is not None else None,
    )  # fmt: skip


def _by_job(said: str, request: Request) -> tuple[float, list[str]]:
    """Confidence of a walked file that says its own Slurm job."""
    job, ours = said[len(NAMES_JOB) :], request.run.split("/")[1:2]
    if not ours:  # outside of any run (`progress show`) there is nothing to compare
        return _CONFIDENCE["walk"], []
    if [job] == ours:
        return SAYS_SO, []
    return OTHER_WRITER, [f"other-job: it says that Slurm job {job} wrote it"]


if __name__ == "__main__":
    sys.exit(main())
