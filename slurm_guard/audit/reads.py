"""What a run's GPU processes read while its log moved. A figure, and nothing is concluded from it.

Files that are mapped, data that workers load (their bytes are known once they ended) or that lies on the
GPU cost the process on the GPU no read(2) at all: little says nothing (docs/method.md 7).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.track import Arc, Track
from slurm_guard.model import Run

LEAST_READ_B = 64 << 20  # in training: programs and libraries alone are as much. Judgement.
LEAST_TRAIN_S = 3600.0  # judgement
EVEN = 2.0  # a quarter reads at most so many times what the mean does, and at least as little. Judgement.
PARTS = 4


@dataclass(frozen=True, slots=True)
class Reads:
    """What the GPU processes read during training. `rates`: by quarters of its time, bytes a unit."""

    read_b: int
    unit: str
    rates: tuple[float, ...]

    @property
    def even(self) -> bool:
        """Whether it was as much for each unit all the way."""
        usual = sum(self.rates) / len(self.rates)
        return all(usual / EVEN <= rate <= EVEN * usual for rate in self.rates)


def reads(runs: list[Run], tracks: Mapping[int, Track], uses: Iterable[pl.DataFrame]) -> dict[int, Reads]:
    """Per run that read enough to be told, in its audited part. `uses`: owners.uses, of some nodes each."""
    trained: dict[int, tuple[Arc, ...]] = {}
    for i, track in tracks.items():
        arcs = tuple(a for a in track.arcs if runs[i].from_at <= a.from_at and a.until_at <= runs[i].until_at)
        if len(arcs) >= 2 * PARTS and arcs[-1].until_at - arcs[0].from_at >= LEAST_TRAIN_S:
            trained[i] = arcs
    spans = [(i, arcs[0].from_at, arcs[-1].until_at) for i, arcs in trained.items()]
    schema = {"own": pl.Int64, "from_at": pl.Float64, "until_at": pl.Float64}
    times = pl.DataFrame(spans, schema=schema, orient="row")
    found: dict[int, list[int]] = {}
    for rows in uses:
        for i, k, b in _sums(rows, times).iter_rows():
            found.setdefault(i, [0] * PARTS)[k] += b
    return {
        i: Reads(sum(b), tracks[i].unit or "unit", rates)
        for i, b in sorted(found.items())
        if sum(b) >= LEAST_READ_B and (rates := _rates(b, trained[i]))
    }


def _sums(uses: pl.DataFrame, times: pl.DataFrame) -> pl.DataFrame:
    """(run, quarter of its time, bytes) of these uses."""
    middle = 0.5 * (pl.col("start_at") + pl.col("end_at"))
    part = PARTS * (middle - pl.col("from_at")) / (pl.col("until_at") - pl.col("from_at"))
    return (
        uses.filter(pl.col("read_b").is_not_null() & pl.col("own").is_not_null())
        .join(times, on="own")
        .with_columns(part.floor().cast(pl.Int64).alias("part"))
        .filter(pl.col("part").is_between(0, PARTS - 1))
        .group_by("own", "part", "node", "pid", "start_ticks", "gpu")
        .agg(pl.col("read_b").sum())
        .group_by("own", "part", "node", "pid", "start_ticks")
        .agg(pl.col("read_b").max())  # of one on several GPUs each tells the same
        .group_by("own", "part")
        .agg(pl.col("read_b").sum())
    )


def _rates(read_b: list[int], arcs: tuple[Arc, ...]) -> tuple[float, ...]:
    """Bytes a unit by quarters of the time; empty: one of them has no progress."""
    a, b = arcs[0].from_at, arcs[-1].until_at
    units = [0.0] * PARTS
    for arc in arcs:
        k = int(PARTS * (0.5 * (arc.from_at + arc.until_at) - a) / (b - a))
        units[min(PARTS - 1, k)] += arc.units
    return tuple(n / u for n, u in zip(read_b, units, strict=True)) if min(units) > 0 else ()
