"""From frames to the plain values of one run: its marks, its GPU processes, its logs' holders, its beats."""

from itertools import groupby
from math import isfinite
from typing import Any

import polars as pl

from slurm_guard.audit.holds import GpuUser, LogHold
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Mark, edge_of, read_mark
from slurm_guard.distinct import parted

Series = list[tuple[str, list[Mark]]]


def latest(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows of each run's highest read."""
    return frame.filter(pl.col("read") == pl.col("read").max().over("run"))


BOUND = 0.9  # how sure the reader must be that a file is the run's (progress notes: an open file, stdout)


LEAST_COUNTERS = 3  # distinct ones; below, a line is stray: a resumed step, a printed setting. Judgement
LEAST_BARE = 8  # … where nothing is told beside them: a configuration has several steps, too. Judgement
_BESIDE = ("at", "loss", "took_s", "total", "samples", "tokens")


def bound(logs: pl.DataFrame, keys: pl.DataFrame, points: pl.DataFrame) -> pl.DataFrame:
    """The logs that may speak for their run, with `i`: a file that was merely found near the run counts only
    where the run has none that it held open.

    A bar or a stray line in a held file silences no file with a real count: every serving engine draws bars
    while it starts. Where nothing else counts, the held file speaks alone, whatever is in it.
    """
    mine = (
        logs.filter(pl.col("n") > 0)
        .join(keys.select("run", "i"), on="run", maintain_order="left")
        .join(_counting(points), on=["run", "file"], how="left", maintain_order="left")
    )
    held, counts, solid = pl.col("bind_conf") >= BOUND, _told("counts"), _told("solid")
    any_held = [(held & told).any().over("i") for told in (counts, solid)]
    alone = any_held[1] | (any_held[0] & ~solid.any().over("i"))
    return mine.filter(held | ~alone).drop("counts", "solid")


def _told(column: str) -> pl.Expr:
    return pl.col(column).fill_null(value=False)


def _counting(points: pl.DataFrame) -> pl.DataFrame:
    """Per file: whether a track in it counts at all, and whether one does in more than bars and few pairs."""
    counter = pl.coalesce("step", "samples", "tokens")
    surer = ~pl.col("flags").fill_null([]).list.contains("weak")
    told = pl.any_horizontal(pl.col(name).is_not_null() for name in _BESIDE)
    return (
        points.filter((pl.col("phase") == "train") & counter.is_not_null())
        .group_by("run", "file", "track")
        .agg(
            (counter.n_unique() >= LEAST_COUNTERS).alias("counts"),
            (
                counter.filter(surer).n_unique()
                >= pl.when(told.any()).then(LEAST_COUNTERS).otherwise(LEAST_BARE)
            ).alias("solid"),
        )
        .group_by("run", "file")
        .agg(pl.col("counts").any(), pl.col("solid").any())
    )


def series_of(
    points: pl.DataFrame, logs: pl.DataFrame, keys: pl.DataFrame, slack_s: float
) -> dict[int, Series]:
    """Marks per run and log. A series is one track of one file of one node's reading."""
    named = (
        bound(logs, keys, points)
        .select("run", "file", pl.col("path").alias("log"), "source")
        .unique(["run", "file"], keep="first", maintain_order=True)
    )
    same = [
        "run",
        "file",
        "track",
        "segment",
        "offset",
        "at",
        "obs_hi_at",
        "step",
        "samples",
        "tokens",
        "phase",
    ]
    rows = (
        points.unique(same, keep="any")
        .join(keys.select("run", "i"), on="run")
        .join(named, on=["run", "file"], maintain_order="left")
        .sort("i", "run", "file", "track", "segment", "offset", "at", "step", nulls_last=True)
    )
    found: dict[int, Series] = {}
    lines = rows.iter_rows(named=True)
    for (i, *_, track), group in groupby(lines, key=lambda r: (r["i"], r["run"], r["file"], r["track"])):
        some = list(group)
        name = f"{some[0]['source'] or 'log'}:{some[0]['log'] or some[0]['file']}"
        if marks := _marks(some, slack_s):
            found.setdefault(i, []).append((f"{name} ({track})" if track else name, marks))
    return found


def _marks(rows: list[dict[str, Any]], slack_s: float) -> list[Mark]:
    """The marks of one series, in the file's order."""
    grown = _Growth()
    since = [grown.since(row["obs_lo_at"], row["obs_hi_at"]) for row in rows]
    late_s = _late_s(rows, since, slack_s)
    marks = (read_mark(row, slack_s, s, late_s) for row, s in zip(rows, since, strict=True))
    return [mark for mark in marks if mark is not None]


def _late_s(rows: list[dict[str, Any]], since: list[float | None], slack_s: float) -> float:
    """How far a log's clock is behind, at least: what brings the earliest record of half of its growths into
    the bracket. Its own distances are right, only its zero is not; 0 where most records fit as they are."""
    needs: dict[float, float] = {}
    for row, front in zip(rows, since, strict=True):
        edge = edge_of(row["obs_lo_at"], front, slack_s)
        if edge is not None and front is not None and row["at"] is not None and isfinite(row["at"]):
            needs[row["obs_hi_at"]] = max(needs.get(row["obs_hi_at"], 0.0), edge - row["at"])
    return median(list(needs.values())) if needs else 0.0


class _Growth:
    """A file's growth as the sampler saw it, record by record in the file's order."""

    def __init__(self) -> None:
        self._low: float | None = None
        self._high: float | None = None
        self._since: float | None = None

    def since(self, low: float | None, high: float | None) -> float | None:
        """From when on a record of this bracket may have waited in its writer's buffer: the front of the
        growth before; null for the first growth, or unseen."""
        if low is None or high is None:
            return None
        if self._high is None or high > self._high:
            self._since = self._low
            self._low, self._high = low, high
        return self._since


def problems_of(logs: pl.DataFrame, keys: pl.DataFrame) -> dict[int, tuple[str, ...]]:
    """What the readers could not read, per run."""
    rows = logs.join(keys.select("run", "i"), on="run").select("i", "path", "problems")
    found: dict[int, set[str]] = {}
    for i, path, problems in rows.iter_rows():
        found.setdefault(i, set()).update(f"{path}: {p}" for p in problems or [])
    return {i: tuple(sorted(p)[:20]) for i, p in found.items()}


def read_until(logs: pl.DataFrame, keys: pl.DataFrame) -> dict[int, float]:
    """When each run's logs that tell anything were last read, on any node: that they were silent after it
    nobody knows."""
    told = logs.filter((pl.col("n") > 0) & pl.col("read_at").is_finite())
    rows = told.join(keys.select("run", "i"), on="run")
    return dict(rows.group_by("i").agg(pl.col("read_at").max()).iter_rows())


LEAST_LOOKS = 10  # at which a log grew before its pace is known: a buffer's lumps have none. Judgement


def _paces(points: pl.DataFrame) -> pl.DataFrame:
    """Counter a second of each log (run, file, pace), over what was seen to come of its last segment."""
    unit, when = counter_of(), pl.col("obs_hi_at")
    last = pl.col("segment") == pl.col("segment").max().over("run", "file")
    return (
        points.filter(pl.col("obs_lo_at").is_not_null() & when.is_not_null())
        .filter(last)
        .group_by("run", "file")
        .agg(
            ((unit.max() - unit.min()) / (when.max() - when.min())).alias("pace"),
            when.n_unique().alias("n_looks"),
        )
        .filter(pl.col("n_looks") >= LEAST_LOOKS)
        .drop("n_looks")
    )


def counter_of() -> pl.Expr:
    """A record's counter: its step, else its samples, else its tokens; as floats, null: it has none."""
    return pl.coalesce("step", "samples", "tokens").cast(pl.Float64)


def holds_of(
    logs: pl.DataFrame, files: pl.DataFrame, keys: pl.DataFrame, points: pl.DataFrame
) -> dict[int, list[LogHold]]:
    """Logs with progress and every process that was seen to have them open for writing."""
    seen = (
        files.join(keys.select("run", "i"), on="run")
        .select("i", "path", pl.concat_list(pl.col("pids").fill_null([]), pl.col("pid")).alias("pids"))
        .explode("pids")
        .drop_nulls()
        .unique()
    )
    held: dict[tuple[int, str], set[int]] = {}
    for i, path, pid in seen.iter_rows():
        held.setdefault((i, path), set()).add(pid)
    came = pl.col("offset").filter(pl.col("obs_lo_at").is_not_null())
    told = points.group_by("run", "file").agg(
        counter_of().max().alias("top"), (came.max() - came.min()).alias("grew_b")
    )
    told = told.join(_paces(points), on=["run", "file"], how="left")
    rows = bound(logs, keys, points).join(told, on=["run", "file"], how="left").sort("i", "run", "file")
    found: dict[int, list[LogHold]] = {}
    for row in rows.iter_rows(named=True):
        pids = set(row["pids"] or []) | held.get((row["i"], row["path"]), set())
        pace = row["pace"] if row["pace"] is not None and isfinite(row["pace"]) else None
        log = (
            row["node"],
            row["path"],
            row["how"] or "",
            row["size"],
            frozenset(pids),
            row["top"],
            pace,
            row["grew_b"],
        )
        hold = LogHold(*log)
        found.setdefault(row["i"], []).append(hold)
    return found


def users_of(uses: pl.DataFrame, facts: pl.DataFrame) -> dict[int, list[GpuUser]]:
    """Each run's own processes that had time on the GPUs it holds, most time first."""
    return those(uses.filter((pl.col("own") == pl.col("i")) & (pl.col("sm_ms") > 0)), facts)


def those(mine: pl.DataFrame, facts: pl.DataFrame) -> dict[int, list[GpuUser]]:
    """The processes of these uses by the run `i` that they are of, most time first."""
    sums = (
        mine.group_by("i", "node", "pid", "start_ticks")
        .agg(
            pl.col("gpu").unique().sort().alias("gpus"),
            pl.col("sm_ms").sum(),
            pl.col("start_at").min().alias("first_at"),
            pl.col("end_at").max().alias("last_at"),
        )
        .join(_written(mine), on=["i", "node", "pid", "start_ticks"], how="left")
        .join(
            facts.select(
                "node",
                "pid",
                "start_ticks",
                "ppid",
                "cmdline",
                "parents",
                "exe_flags",
                "how",
                pl.col("exe").alias("program"),
                pl.col("uid").alias("owner"),
                pl.col("start_at").alias("born_at"),
                pl.col("last_seen_at").alias("left_at"),
            ),
            on=["node", "pid", "start_ticks"],
            how="left",
        )
        .with_columns(*_lived())
        .sort("i", "sm_ms", "node", "pid", "start_ticks", descending=[False, True, False, False, False])
    )
    found: dict[int, list[GpuUser]] = {}
    for row in sums.iter_rows(named=True):
        found.setdefault(row["i"], []).append(_user(row))
    return found


def most_first(user: GpuUser) -> tuple[object, ...]:
    """How a run's processes follow each other: most time first."""
    ticks = user.start_ticks
    return (-user.sm_ms, user.node, user.pid, ticks is not None, ticks)


def _lived() -> list[pl.Expr]:
    """First and last work, within the process's own life where that is known: a window's edges are coarse."""
    first = pl.max_horizontal("first_at", "born_at")
    last = pl.when(pl.col("left_at") > first).then(pl.min_horizontal("last_at", "left_at"))
    sound = first < pl.col("last_at")
    return [
        pl.when(sound).then(first).otherwise("first_at").alias("first_at"),
        pl.coalesce(pl.when(sound).then(last), "last_at").alias("last_at"),
    ]


def _written(mine: pl.DataFrame) -> pl.DataFrame:
    """Bytes written per process: one value per window, however many GPUs it is repeated for."""
    where = ["i", "node", "pid", "start_ticks", "start_at"]
    lone, several = parted(mine.select(*where, "written_b"), where)
    once = pl.concat([lone, several.group_by(where).agg(pl.col("written_b").max())])
    return once.group_by("i", "node", "pid", "start_ticks").agg(
        pl.when(pl.col("written_b").is_not_null().any()).then(pl.col("written_b").sum()).alias("written_b")
    )


def _user(row: dict[str, Any]) -> GpuUser:
    return GpuUser(
        row["node"],
        row["pid"],
        row["start_ticks"],
        row["owner"],
        row["ppid"],
        row["program"],
        row["cmdline"],
        tuple(row["parents"] or ()),
        tuple(row["exe_flags"] or ()),
        row["how"],
        row["born_at"],
        row["first_at"],
        row["last_at"],
        tuple(row["gpus"]),
        row["sm_ms"],
        row["written_b"],
    )


def partners(flows: pl.DataFrame) -> set[tuple[str, int, int]]:
    """(node, pid, pid) of processes that are the two ends of one connection on one node."""
    ends = flows.filter(pl.col("pid").is_not_null()).select("node", "pid", "local", "peer").unique()
    both = ends.join(
        ends.rename({"pid": "other"}), left_on=["node", "local", "peer"], right_on=["node", "peer", "local"]
    ).filter(pl.col("pid") != pl.col("other"))
    return {(node, a, b) for node, a, b in both.select("node", "pid", "other").iter_rows()}
