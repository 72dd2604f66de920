"""What a run's GPU processes wrote between the moments at which its log says that it saved a checkpoint.

The node tells the bytes of processes on a GPU alone (`ProcShare`), those of their children once they were
waited for. So what is missing here may have been written by somebody whom nobody counts: `Saves.known` is
false wherever such a process was there.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.codes import texts
from slurm_guard.audit.owners import SHELLS
from slurm_guard.audit.stats import median
from slurm_guard.model import Run

# What is written beyond the log before it may have been a checkpoint. Adapters and small policies take some
# hundred KiB: a smaller one is not told from none. Judgement.
LEAST_B = 256 * 1024
LOG_TWICE = 2.0  # the log's own bytes are laid evenly over its time, and are not: twice as many. Judgement.
BEFORE_S = 300.0  # a log may say "saved" when it is: large ones take minutes. Judgement.
NEAR_S = (120.0, 180.0)  # before and after: a look of the sampler and a window's edge lie in it. Judgement.
MOST_NEAR = 0.5  # of the time that such stretches may cover and still tell something. Judgement.
AGREES = 0.8  # of the saves, and of what was written. Judgement.
SEEN = 0.9  # of a process's life that its windows must tell of. Judgement: the first and last are cut.
# What starts ranks and waits for them, by its file or its command line. Another program that started one, as
# a driver does, may write for it. To be named so gains nobody anything: it makes the check speak. Judgement.
_LAUNCHERS = re.compile(
    r"(?:^|[\s/])(?:torchrun|accelerate|deepspeed|horovodrun|mpirun|mpiexec\S*|orterun|prterun|orted"
    r"|prted|hydra_\w+|pmi_proxy)(?=\s|$)|torch\.distributed\.(?:run|launch)|accelerate\.commands"
    r"|deepspeed\.launcher"
)
# Programs that write nothing of their own.
_QUIET = SHELLS | {"srun", "sleep", "tail", "tee", "timeout", "time", "nvidia-smi"}
_HOP = 8  # of parents that are followed; judgement
_WHO = ["own", "node", "pid", "start_ticks"]
Times = Mapping[int, tuple[float, ...]]
Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Saves:
    """Moments at which a log says that it saved. From each to the next one a stretch of time is looked at."""

    n: int
    known: bool  # whether whatever could have written then was seen, throughout
    n_written: int  # stretches in which more was written than the log takes
    most_b: int  # in one of them
    usual_b: int  # in one of them, the middle one
    long_s: float  # from the first to the last
    in_step: bool  # nearly all was written close to these moments, which cover little of the time


def saves(
    runs: list[Run],
    times: Times,
    tables: tuple[Iterable[pl.DataFrame], pl.DataFrame, pl.DataFrame],
    told: tuple[pl.DataFrame, pl.DataFrame],
    frames: Mapping[str, pl.DataFrame],
) -> dict[int, Saves]:
    """Per run of `times`, where a process of it was on a GPU then. `tables`: uses (of some nodes each),
    process facts, keys; `told`: logs and points of the last reading."""
    uses, people, keys = tables
    spans = pl.DataFrame(
        [(i, t[0] - BEFORE_S, runs[i].until_at) for i, t in times.items()],
        schema={"own": pl.Int64, "from_at": pl.Float64, "until_at": pl.Float64},
        orient="row",
    )
    parts = [_written(rows, spans) for rows in uses]
    sums = {i: _Sums([0] * len(t)) for i, t in times.items()}
    for rows, _ in parts:
        for i, a, b, n in rows.iter_rows():
            sums[i].add(times[i], 0.5 * (a + b), n)
    lives = pl.concat([lived for _, lived in parts])
    dim = _unseen(runs, spans, (lives, people, keys), frames)
    grew = _log_bytes(*told, keys.filter(pl.col("i").is_in(list(times))))
    return {
        i: _weigh(times[i], sums[i], runs[i], grew.get(i, 0), known=i not in dim)
        for i in lives["own"].unique().sort().to_list()
    }


def _written(uses: pl.DataFrame, spans: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(own, start_at, end_at, b) of windows in which a process wrote; and of every process how long windows
    tell of it, and whether one lacks its bytes (`dark`)."""
    mine = (
        uses.join(spans, on="own")
        .filter((pl.col("end_at") > pl.col("from_at")) & (pl.col("start_at") < pl.col("until_at")))
        .group_by(*_WHO, "start_at")
        .agg(
            pl.col("end_at").max(),
            # wchar misses mappings, io_uring and libaio; write_bytes misses tmpfs: the larger one is kind
            pl.max_horizontal("written_b", "stored_b").max().alias("b"),
            (pl.col("written_b").is_null() | pl.col("stored_b").is_null()).any().alias("dark"),
        )
        .sort(*_WHO, "start_at")
    )
    lives = mine.group_by(_WHO, maintain_order=True).agg(
        (pl.col("end_at") - pl.col("start_at")).sum().alias("told_s"), pl.col("dark").any()
    )
    return mine.filter(pl.col("b") > 0).select("own", "start_at", "end_at", "b"), texts(lives)


@dataclass(slots=True)
class _Sums:
    """Bytes from each moment to the next, and of all that what came close to one."""

    whole: list[int]
    near_b: int = 0

    def add(self, times: tuple[float, ...], at: float, b: int) -> None:
        """`at`: middle of a window, `b` bytes in it."""
        k = bisect_right(times, at + BEFORE_S) - 1
        self.whole[max(0, k)] += b
        if any(t - NEAR_S[0] <= at < t + NEAR_S[1] for t in times[max(0, k - 1) : k + 2]):
            self.near_b += b


def _weigh(times: tuple[float, ...], sums: _Sums, run: Run, log_b: int, *, known: bool) -> Saves:
    edges = [t - BEFORE_S for t in times]
    whole, near_b = sums.whole, sums.near_b
    ends = [*edges[1:], max(run.until_at, edges[-1])]
    per_s = LOG_TWICE * log_b / max(1.0, run.until_at - run.from_at)
    most = [LEAST_B + per_s * (b - a) for a, b in zip(edges, ends, strict=True)]
    wrote = [b for b, least in zip(whole, most, strict=True) if b > least]
    covered = len(times) * sum(NEAR_S) / max(1.0, ends[-1] - edges[0])
    in_step = len(wrote) >= AGREES * len(times) and covered <= MOST_NEAR and near_b >= AGREES * sum(whole)
    usual_b = int(median([float(b) for b in whole]))
    return Saves(len(times), known, len(wrote), max(whole), usual_b, times[-1] - times[0], in_step)


def _log_bytes(logs: pl.DataFrame, points: pl.DataFrame, keys: pl.DataFrame) -> dict[int, int]:
    """By how much the logs of these runs grew from their first record to their last."""
    sizes = logs.filter(pl.col("size").is_not_null()).group_by("run", "file").agg(pl.col("size").max())
    grew = pl.col("offset").max() - pl.col("offset").min()
    rows = (
        points.join(keys.select("run"), on="run", how="semi")
        .group_by("run", "file")
        .agg(grew.alias("grew"))
        .join(sizes, on=["run", "file"])
        .with_columns(pl.min_horizontal("grew", "size").alias("b"))
        .join(keys.select("run", "i"), on="run")
        .group_by("i")
        .agg(pl.col("b").sum())
    )
    return dict(rows.drop_nulls().iter_rows())


def _unseen(
    runs: list[Run],
    spans: pl.DataFrame,
    tables: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame],
    frames: Mapping[str, pl.DataFrame],
) -> set[int]:
    """Runs in which somebody may have written whose bytes nobody counted."""
    lives, people, keys = tables
    dim = set(lives.filter("dark")["own"].to_list())
    dim |= set(spans["own"].to_list()) - set(lives["own"].to_list())
    here = keys.select("run", pl.col("i").alias("own"))
    cut = pl.col("procs_truncated") | pl.col("why").str.contains('"procs"', literal=True)
    windows = frames["windows"].filter(cut.fill_null(value=False)).select("run").join(here, on="run")
    dim |= set(windows.join(spans, on="own")["own"].to_list())
    nodes = dict(lives.group_by("own").agg(pl.col("node").unique()).iter_rows())
    sent = frames["flows"].filter(pl.col("out_b") >= LEAST_B).join(here, on="run")
    dim |= set(sent.join(spans, on="own")["own"].to_list())
    crowded = set(frames["events"].filter(pl.col("name") == "processes-truncated")["node"].to_list())
    dim |= {i for i, seen in nodes.items() if set(runs[i].nodes) - set(seen) or crowded & set(runs[i].nodes)}
    lived = (
        people.filter(pl.col("run").is_not_null())
        .join(here, on="run")
        .join(spans, on="own")
        .filter((pl.col("last_seen_at") > pl.col("from_at")) & (pl.col("first_seen_at") < pl.col("until_at")))
        .join(lives.drop("dark"), on=_WHO, how="left")
    )
    for (i,), part in lived.partition_by("own", as_dict=True).items():
        of_node: dict[object, dict[object, Row]] = {}
        for row in part.iter_rows(named=True):
            of_node.setdefault(row["node"], {})[row["pid"]] = row
        if any(_may_write(row, of_node[row["node"]]) for row in part.iter_rows(named=True)):
            dim.add(i)
    return dim


def _may_write(row: Row, here: dict[object, Row]) -> bool:
    """Whether a process may have written something that no window tells of. `here`: those of its node."""
    begin = max(_at(row["first_seen_at"]), _at(row["from_at"]))
    end = min(_at(row["last_seen_at"]), _at(row["until_at"]))
    if row["told_s"] is not None:
        return _at(row["told_s"]) < SEEN * (end - begin)
    name = str(row["exe"] or row["comm"] or "?").rpartition("/")[2]
    if name in _QUIET or str(row["comm"]).startswith("slurmstepd"):
        return False
    workers = [r for r in here.values() if r["told_s"] is not None]
    launches = _LAUNCHERS.search(f"{row['exe']} {row['cmdline']}") is not None
    if launches and any(row["pid"] in _above(worker, here) for worker in workers):
        return False
    parent = here.get(row["ppid"])
    # what ended before its parent was waited for by it, and is in its bytes
    reaped = parent is not None and parent["told_s"] is not None
    return not (reaped and _at(row["last_seen_at"]) < _at(parent["last_seen_at"]) - NEAR_S[0])  # type: ignore[index]


def _above(row: Row, here: dict[object, Row]) -> list[object]:
    found: list[object] = []
    at: Row | None = row
    while at is not None and len(found) < _HOP:
        found.append(at["ppid"])
        at = here.get(at["ppid"])
    return found


def _at(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
