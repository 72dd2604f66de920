"""A run's GPUs beside each other: the best control group there is (ledger notes 7.4 B).

Ranks of one training do like work, whatever its pace. Where one GPU's work moves away from its siblings' at
some moment and stays away, something is on that one that is not on the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from math import exp, log, sqrt
from operator import itemgetter

import polars as pl

from slurm_guard.audit.codes import texts
from slurm_guard.audit.grid import NOBODY, exact_sum
from slurm_guard.audit.stats import median, step_sigma
from slurm_guard.model import Run

BLOCKS = 24  # of a run's time. Judgement: an hour's run gets blocks of 2.5 minutes
LEAST_GPUS = 4  # judgement: of three, one is a third of the median
LEAST_BLOCKS = 3  # on each side of a change. Judgement
KNOWN = 0.8  # of a block's covered time, for which a meter must speak. Judgement
LEAST_NOISE = 0.01  # no two boards' meters keep their ratio better over an hour. Judgement
FEW = 0.25  # of the GPUs: beyond it the ranks are of two kinds. Judgement
_METERS = ("cov", "active", "own", "dyn", "pipe")
STAYS = 0.5  # of the change must be there in the run's last blocks. Judgement


@dataclass(frozen=True, slots=True)
class Levels:
    """Parallel lists of one GPU, an entry per block: work above idle per covered time, null where unknown."""

    node: str
    gpu: str
    dyn: list[float | None]
    pipe: list[float | None]


@dataclass(frozen=True, slots=True)
class Apart:
    """One GPU that moved away from its siblings. `factor`: how much more work it did after `at` than its
    siblings would have it; `over`: the change over its noise; `channel`: pipe or energy."""

    node: str
    gpu: str
    at: float
    factor: float
    over: float
    channel: str
    n_siblings: int


def levels_of(
    cells: Iterable[pl.DataFrame], boards: pl.DataFrame, runs: list[Run]
) -> dict[int, list[Levels]]:
    """Each run's GPUs of its commonest model, in order of node and name; runs with few GPUs are left out.
    `cells`: of some nodes each; `boards`: (i, gpu) of all."""
    many = boards.group_by("i").agg(pl.col("gpu").n_unique().alias("n")).filter(pl.col("n") >= LEAST_GPUS)
    ends = pl.DataFrame(
        [
            *(
                (i, runs[i].from_at, max(1.0, runs[i].until_at - runs[i].from_at))
                for i in many["i"].to_list()
            ),
            NOBODY,
        ],
        schema={"i": pl.Int64, "zero": pl.Float64, "length": pl.Float64},
        orient="row",
    )
    parts = [_sums(some, ends) for some in cells]
    where = ("i", "model", "node", "gpu", "block")
    sums = pl.concat(parts).sort(where, nulls_last=True).select(*where, _level("dyn"), _level("pipe"))
    found: dict[int, dict[str, dict[tuple[str, str], Levels]]] = {}
    for (i, model, node, gpu), rows in groupby(sums.iter_rows(), key=itemgetter(0, 1, 2, 3)):
        one = Levels(node, gpu, [None] * BLOCKS, [None] * BLOCKS)
        for *_, at, dyn, pipe in rows:
            one.dyn[at], one.pipe[at] = dyn, pipe
        found.setdefault(i, {}).setdefault(model, {})[node, gpu] = one
    most = {i: max(models.values(), key=len) for i, models in found.items()}
    return {i: list(mine.values()) for i, mine in most.items() if len(mine) >= LEAST_GPUS}


def _sums(cells: pl.DataFrame, ends: pl.DataFrame) -> pl.DataFrame:
    """What levels are made of, by run, model, node, GPU and block. `ends`: where the runs asked for begin,
    and how long they are."""
    mine = pl.when(pl.col("active") > 0).then(pl.col("own") / pl.col("active")).otherwise(1.0)
    middle = (pl.col("start_at") + pl.col("end_at")) / 2 - pl.col("zero")
    block = (middle / pl.col("length") * BLOCKS).floor().cast(pl.Int64).clip(0, BLOCKS - 1)
    told = pl.col("dyn").is_not_null() & pl.col("own").is_not_null()
    return texts(
        cells.select("i", "model", "node", "gpu", "start_at", "end_at", *_METERS)
        .join(ends, on="i")
        .with_columns(block.alias("block"), pl.col("model").fill_null(""))
        .group_by("i", "model", "node", "gpu", "block")
        .agg(
            exact_sum(pl.col("cov")).alias("cov"),
            exact_sum((pl.col("dyn") * mine).filter(told)).alias("dyn"),
            exact_sum(pl.col("cov").filter(told)).alias("dyn_cov"),
            exact_sum((pl.col("pipe") * mine).filter(pl.col("pipe").is_not_null())).alias("pipe"),
            exact_sum(pl.col("cov").filter(pl.col("pipe").is_not_null())).alias("pipe_cov"),
        )
    )


def _level(name: str) -> pl.Expr:
    """Per covered time, null where the meter spoke for too little of it."""
    cov, own_cov = pl.col("cov"), pl.col(f"{name}_cov")
    known = (cov > 0) & (own_cov >= KNOWN * cov)
    return pl.when(known).then(pl.col(name) / own_cov).alias(name)


def moved_away(boards: list[Levels], run: Run, least: float, least_over: float) -> list[Apart]:
    """GPUs whose work changed by the factor 1 + `least` and more against their siblings', `least_over` times
    its noise, and stayed so; none where that is true of more than few of them."""
    if len(boards) < LEAST_GPUS:
        return []
    for channel in ("pipe", "dyn"):
        found = _moved(boards, channel, run, (least, least_over))
        if found:
            few = max(1, int(FEW * len(boards)))
            return found if len(found) <= few else []
    return []


def _moved(boards: list[Levels], channel: str, run: Run, least: tuple[float, float]) -> list[Apart]:
    columns: list[list[float | None]] = [getattr(board, channel) for board in boards]
    full = [b for b in range(BLOCKS) if all(column[b] is not None for column in columns)]
    middles = {b: median([column[b] or 0.0 for column in columns]) for b in full}
    usual = median(list(middles.values())) if middles else 0.0
    # A block in which hardly anything ran says nothing about who does more.
    full = [b for b in full if middles[b] > 0.25 * usual > 0 and all((c[b] or 0.0) > 0 for c in columns)]
    if len(full) < 2 * LEAST_BLOCKS:
        return []
    ratios = [[log((column[b] or 0.0) / middles[b]) for b in full] for column in columns]
    noise = max(LEAST_NOISE, median([step_sigma(r) for r in ratios]))
    found = []
    for board, ratio in zip(boards, ratios, strict=True):
        split, change = _best_split(ratio)
        n = len(ratio)
        over = change / (noise * sqrt(1 / split + 1 / (n - split)))
        stays = median(ratio[-LEAST_BLOCKS:]) - median(ratio[:split]) >= STAYS * change
        if change >= log(1 + least[0]) and over >= least[1] and stays:
            at = run.from_at + full[split] * (run.until_at - run.from_at) / BLOCKS
            name = "pipe" if channel == "pipe" else "energy"
            found.append(Apart(board.node, board.gpu, at, exp(change), over, name, len(boards) - 1))
    return found


def _best_split(ratio: list[float]) -> tuple[int, float]:
    """(the first block after the change, by how much the median rose), where that is clearest."""
    best, most = LEAST_BLOCKS, 0.0
    for split in range(LEAST_BLOCKS, len(ratio) - LEAST_BLOCKS + 1):
        change = median(ratio[split:]) - median(ratio[:split])
        weighed = change * sqrt(split * (len(ratio) - split))
        if weighed > most:
            best, most = split, weighed
    change = median(ratio[best:]) - median(ratio[:best])
    return best, change
