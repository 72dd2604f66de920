"""Reads one unit of work, one file or the files that tell one run together, from descriptors alone.

Together: a folder's event files, the checkpoints' copies of `trainer_state.json`, the metrics of an MLflow or
DVCLive run and of DeepSpeed's CSV monitor.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from slurm_guard.progress import database, dvclive, eventruns, hfstate, wandbmeta
from slurm_guard.progress.carry import Filed
from slurm_guard.progress.deepspeed import is_monitor
from slurm_guard.progress.keys import is_eval
from slurm_guard.progress.mark import Mark
from slurm_guard.progress.mlflow import key_of
from slurm_guard.progress.pick import Chosen, is_epoch, is_weak, pick
from slurm_guard.progress.protocol import CHUNK, UNREAD, Claim, Found
from slurm_guard.progress.registry import choose
from slurm_guard.progress.said import UNSAID, Said, read_said
from slurm_guard.progress.text import TextSource
from slurm_guard.progress.track import build
from slurm_guard.progress.writers import many_writers

HEAD_B = 65_536  # shown to the sources
TEXT_HEAD_B = 1 << 20  # of a file beyond the cap: the beginning …
TAIL_B = 1 << 20  # of a file for which the time does not suffice: the end, which says how far it came
LATE_CLAIMS = 20_000  # of each series of such a file: a track of 200,000 takes seconds to make
NEVER_S = float("inf")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


_CHECKPOINT = re.compile(r"checkpoint-\d{1,15}")
JOINED = ("tfevents", "hfstate", "mlflow", "deepspeed", "dvclive")


def together(path: str) -> tuple[str, str] | None:
    """(source, folder) where files of this name tell one run together; null: each is a unit of its own."""
    folder, _, name = path.rpartition("/")
    above, _, last = folder.rpartition("/")
    if "events.out.tfevents." in name:
        return "tfevents", folder
    if name == hfstate.NAME:
        return "hfstate", above if _CHECKPOINT.fullmatch(last) else folder
    if is_monitor(path):
        return "deepspeed", folder
    if dvclive.key_of(path) is not None:
        return "dvclive", path.rpartition(dvclive.FOLDER)[0]
    run, found, key = path.rpartition("/metrics/")
    if found and key and "mlruns/" in run:
        return "mlflow", run
    return None


class Input(NamedTuple):
    """One open file. `path` is only a name here: it is never opened again."""

    file: int
    fd: int
    path: str
    how: str
    size: int
    cap_b: int


class Told(NamedTuple):
    """One track's row: which file it came from first, and by which source."""

    file: int
    source: str | None
    track: str
    n: int
    read_b: int
    problems: list[str]
    params: int | None = None  # of the model, by the file's own words


Part = tuple[Input, str | None, Found]  # a file, its source's name, and what was found
Share = tuple[Input, list[Claim], Found]  # a file, what it adds, and all that was found in it
NOTHING_ALONE = {  # of files that stand alone
    "csv": "none of its rows is believed",
    "wandb": "no row with a step is in this W&B run",
    wandbmeta.SOURCE: "it tells where the W&B run beside it was written",
}
NOTHING_IN = {
    "tfevents": "no-progress: no scalar in it",
    "hfstate": "no-progress: no record with a step in it",
    "mlflow": "no-progress: no value with a step in it",
    "dvclive": "no-progress: no row with a step in it",
    "deepspeed": "no-progress: no row in it",
}


def read_unit(
    inputs: list[Input], patterns: tuple[str, ...] = (), until_s: float = NEVER_S
) -> tuple[list[Told], list[Mark]]:
    """Every track in these files, which are one file or belong together. `patterns`: the site's own.

    `until_s`: monotonic; what is not read by then is left out, but for the end of a text, and told.
    """
    parts = [(one, *_read(one, patterns, until_s)) for one in inputs]
    if len(parts) > 1 or parts[0][1] in JOINED:
        return _joined(parts)
    return _single(*parts[0])


def _single(one: Input, name: str | None, found: Found) -> tuple[list[Told], list[Mark]]:
    """A text file: its tracks, and a row without source when there is none."""
    told: list[Told] = []
    marks: list[Mark] = []
    for chosen in pick(found.series):
        track = track_name(chosen, one.path)
        phases = [(one.file, claim) for claim in found.phases] if not told else []
        claims = [(one.file, claim) for claim in chosen.series.claims]
        built = build(track, claims, phases, flags_of(chosen))
        crowded = many_writers(claims, built)
        problems = [*(found.problems if not told else []), *([crowded] if crowded else [])]
        told.append(
            Told(one.file, chosen.series.source, track, len(built), found.read_b, problems, found.params)
        )
        marks.extend(built)
    if not told:
        said = _nothing_in(one, name)
        told.append(Told(one.file, None, "", 0, found.read_b, [*found.problems, said], found.params))
    return told, marks


def _nothing_in(one: Input, name: str | None) -> str:
    """Why a file has no track."""
    if one.size == 0:
        return "no-progress: the file is empty"
    last = one.path.rpartition("/")[2]
    if last == hfstate.NAME:
        return "no-progress: it is no whole trainer_state.json of the HF Trainer"
    if name is None:
        if last.endswith(".json"):
            return "unknown-format: a JSON document is no log; rows of JSON, one a line, are read"
        return "unknown-format: no reader knows it: neither lines of text nor a format that is read"
    if name not in NOTHING_ALONE and last.endswith((".csv", ".tsv")):
        return (
            "no-progress: a table is read where its first line names a counter (step, epoch, …) and a metric "
            "(loss, acc, …), and its rows fit it"
        )
    return f"no-progress: {NOTHING_ALONE.get(name, 'no line in it says how far a training is')}"


def _joined(parts: list[Part]) -> tuple[list[Told], list[Mark]]:
    """Files that tell one run together: one track, or one for each run with event files in the folder."""
    path = parts[0][0].path
    source, folder = together(path) or (parts[0][1] or "tfevents", path.rpartition("/")[0])
    marks: list[Mark] = []
    for nth, shares in enumerate(_trainings(source, _shares(source, parts)), 1):
        claims: list[Filed] = []
        phases: list[Filed] = []
        for one, series, found in shares:
            claims.extend((one.file, claim) for claim in series)
            phases.extend((one.file, claim) for claim in found.phases)
        suffix = "" if nth == 1 else f".{nth}"
        marks += build(f"{source}:{label_of(folder)}{suffix}", claims, phases, ())
    told = []
    for one, name, found in parts:
        n = sum(mark.file == one.file for mark in marks)
        empty = [] if found.series else [NOTHING_IN[source]]
        kind = name if found.series else None
        track = next((mark.track for mark in marks if mark.file == one.file), "")
        told.append(Told(one.file, kind, track, n, found.read_b, [*found.problems, *empty]))
    return told, marks


def _trainings(source: str, shares: list[Share]) -> list[list[Share]]:
    """The files of each training: event files of two runs may lie in one folder."""
    if source != "tfevents" or len(shares) == 1:
        return [shares]
    files = [eventruns.Written(claims, eventruns.writer_of(one.path)) for one, claims, _ in shares]
    return [[shares[nth] for nth in group] for group in eventruns.group(files)]


def _shares(source: str, parts: list[Part]) -> list[Share]:
    """What each file adds. Event files follow each other; of metrics the longest speaks, and of checkpoints
    each later copy for the records that the earlier ones had not yet."""
    shares = [
        (one, [claim for series in found.series if series.source == source for claim in series.claims], found)
        for one, _, found in parts
    ]
    if source == "deepspeed":
        return [max(shares, key=lambda share: (len(share[1]), "loss" in share[0].path))]
    if source in ("mlflow", "dvclive"):
        return [max(shares, key=lambda share: (not is_eval(key_of(share[0].path)), len(share[1])))]
    if source != "hfstate":
        return shares
    high = -1
    new = []
    for one, claims, found in shares:
        new.append((one, [claim for claim in claims if (claim.step or 0) > high], found))
        high = max([high, *(claim.step or 0 for claim in claims)])
    return new


def track_name(chosen: Chosen, path: str) -> str:
    """`source[/clock]:label[suffix]`: stable over readings, in plain characters."""
    series = chosen.series
    clock = "/epoch" if is_epoch(series) else ""
    label = "job" if series.source == "guard" else label_of(path)
    return f"{series.source}{clock}:{label}{chosen.suffix}"


def flags_of(chosen: Chosen) -> tuple[str, ...]:
    """What holds for every point of the track."""
    if is_weak(chosen.series):
        return ("weak",)
    if chosen.series.source in database.SOURCES:
        return ("unplaced",)
    return ("epoch",) if is_epoch(chosen.series) else ()


def label_of(path: str) -> str:
    """The last part of a path in plain characters, and six digits of the whole path's digest."""
    name = _ODD.sub("_", path.rpartition("/")[2])[:48] or "file"
    return f"{name}~{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"


def _read(one: Input, patterns: tuple[str, ...], until_s: float) -> tuple[str | None, Found]:
    """(source's name, what was found) of one file."""
    try:
        head = os.pread(one.fd, HEAD_B, 0)
        source = choose(head, one.path, one.how, patterns)
        if source is None:
            return None, Found([], [], [], len(head))
        reader = source.reader()
        said: list[Said] = []

        def feed(data: bytes, at: int) -> int:
            if at == 0 and isinstance(source, TextSource):
                said.append(read_said(data))
            return reader.feed(data, at)

        problems, edges = _drive(one, feed, reader.skipped if source.resyncs else None, until_s)
        found = reader.finish()
        model = said[0] if said else UNSAID
    except OSError as error:
        return None, Found([], [], [f"read-error: {os.strerror(error.errno or 0)}"], 0)
    if any(problem.startswith("timeout:") for problem in problems):
        found = found._replace(series=[one._replace(claims=_fewer(one.claims)) for one in found.series])
    unread = [Claim(at, "phase", phase=UNREAD, advances=False) for at in edges]
    return source.name, found._replace(
        problems=[*problems, *found.problems, *model.problems],
        phases=[*found.phases, *unread],
        params=model.params,
    )


def _fewer(claims: list[Claim]) -> list[Claim]:
    """Some of them and the last, where there is no time to make a track of all: counters are cumulative."""
    every = -(-len(claims) // LATE_CLAIMS)
    return claims if every < 2 else [*claims[:-1:every], claims[-1]]


def _drive(
    one: Input,
    feed: Callable[[bytes, int], int],
    skipped: Callable[[int], None] | None,
    until_s: float,
) -> tuple[list[str], list[int]]:
    """Feeds the file within its cap: all of it, or the beginning and, where the format allows, the end.

    (problems, the offsets between which bytes were not read: the log goes on there, and is not silent)
    """
    at, used = 0, 0
    problems: list[str] = []
    edges: list[int] = []
    resume = one.size - (one.cap_b - TEXT_HEAD_B)
    whole = one.size <= one.cap_b
    while used < one.cap_b and at < one.size:
        if time.monotonic() > until_s:
            until_s = NEVER_S
            tail = max(at, one.size - TAIL_B)
            if skipped is None:
                return [*problems, f"timeout: bytes from {at} on were not read"], [*edges, at, one.size]
            if tail > at:
                problems.append(f"timeout: bytes {at} to {tail} were not read")
                edges += at, tail
                skipped(tail)
                at, whole = tail, True
        data = os.pread(one.fd, min(CHUNK, one.cap_b - used, one.size - at), at)
        if not data:
            break
        used += len(data)
        at = max(at + len(data), feed(data, at))
        if not whole and skipped is not None and used >= TEXT_HEAD_B and at < resume:
            problems.append(f"capped: bytes {at} to {resume} were not read")
            edges += at, resume
            skipped(resume)
            at, whole = resume, True
    if at < one.size:
        problems.append(f"capped: bytes from {at} on were not read")
        edges += at, one.size
    return problems, edges
