"""Of each GPU the exporter that is believed, and its readings side by side."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from slurm_guard.readings import Hour, Series

_RANK = {"dcgm-exporter": 0}  # of two that tell as much
WORK = ("busy", "power", "energy")
FIELDS = (*WORK, "mem", "limit", "sm", "tensor", "int", "dram")
SPACE = {"node": pl.String, "gpu": pl.String}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The one exporter of a GPU that is believed, with its place among all chosen."""

    k: int
    source: str
    target: str


def _choose(hour: Hour, left_out: Counter[str]) -> dict[tuple[str, str], _Chosen]:
    """By (node, gpu): of several exporters the one with most readings of work; none of a GPU that two nodes
    claim."""
    n: Counter[tuple[str, str, str, str, str]] = Counter()
    nodes: dict[str, set[str]] = {}
    for (source, name), series in hour.values.items():
        for one in series if name in WORK else ():
            n[one.node, one.gpu, source, one.target, name] += len(one.at)
            nodes.setdefault(one.gpu, set()).add(one.node)
    strange = {gpu for gpu, named in nodes.items() if len(named) > 1}
    left_out["GPUs that two nodes claim"] += len(strange)
    most: dict[tuple[str, str], dict[tuple[int, str, str], int]] = {}
    for (node, gpu, source, target, _), count in n.items():
        if gpu not in strange:
            known = most.setdefault((node, gpu), {})
            who = (_RANK.get(source, 9), source, target)
            known[who] = max(known.get(who, 0), count)
    left_out["second exporters of a GPU"] += sum(len(known) - 1 for known in most.values())
    best = {place: min(known, key=lambda who: (-known[who], who)) for place, known in most.items()}
    return {place: _Chosen(k, *best[place][1:]) for k, place in enumerate(sorted(best))}


def lay_out(series: Sequence[tuple[int, Series]], name: str) -> pl.DataFrame:
    """(k, t, `name`), a row a reading."""
    times, values = array("d"), array("d")
    for _, one in series:
        times.extend(one.at)
        values.extend(one.value)
    lengths = pl.Series([len(one.at) for _, one in series], dtype=pl.Int64)
    places = pl.Series("k", [k for k, _ in series], pl.UInt32).to_frame()
    rows = places.select(pl.col("k").repeat_by(lengths).explode())
    return rows.with_columns(pl.Series("t", times, pl.Float64), pl.Series(name, values, pl.Float64))


def readings_of(hour: Hour, left_out: Counter[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row for each GPU and instant with a column for each field, by one exporter, and with `label`, the
    job that a label of the series names; and what is told of each GPU: index, model, source."""
    chosen = _choose(hour, left_out)
    mine: dict[str, list[tuple[int, Series]]] = {}
    for (source, name), series in sorted(hour.values.items()):
        for one in series if name in FIELDS else ():
            who = chosen.get((one.node, one.gpu))
            if who is not None and (who.source, who.target) == (source, one.target):
                mine.setdefault(name, []).append((who.k, one))
    wide: pl.DataFrame | None = None
    for name, parts in mine.items():
        rows = lay_out(parts, name).sort("k", "t", name).unique(["k", "t"], keep="last", maintain_order=True)
        wide = rows if wide is None else wide.join(rows, on=["k", "t"], how="full", coalesce=True)
    if wide is None:
        return pl.DataFrame(schema={**SPACE, "t": pl.Float64}), pl.DataFrame(schema=SPACE)
    absent = [pl.lit(None, pl.Float64).alias(name) for name in FIELDS if name not in mine]
    told = _labels([pair for parts in mine.values() for pair in parts])
    about = _about(chosen, [pair for parts in mine.values() for pair in parts])
    named = about.select("k", "node", "gpu")
    found = wide.with_columns(absent).join(told, on=["k", "t"], how="left").join(named, on="k").sort("k", "t")
    return found.drop("k"), about.drop("k")


def _labels(series: Sequence[tuple[int, Series]]) -> pl.DataFrame:
    """(k, t, label): the job that a label on the values names, -1: several."""
    named = [(k, one) for k, one in series if one.job is not None]
    if not named:
        return pl.DataFrame(schema={"k": pl.UInt32, "t": pl.Float64, "label": pl.Int64})
    jobs = [(n, k, int(one.job or 0)) for n, (k, one) in enumerate(named)]
    table = pl.DataFrame(jobs, schema={"n": pl.UInt32, "k": pl.UInt32, "job": pl.Int64}, orient="row")
    rows = lay_out([(n, one) for n, (_, one) in enumerate(named)], "v").rename({"k": "n"}).join(table, on="n")
    least, most = pl.col("job").min(), pl.col("job").max()
    return rows.group_by("k", "t").agg(pl.when(least == most).then(most).otherwise(-1).alias("label"))


def _about(chosen: dict[tuple[str, str], _Chosen], series: Sequence[tuple[int, Series]]) -> pl.DataFrame:
    boards: dict[int, int] = {}
    models: dict[int, str] = {}
    for k, one in series:
        if one.board is not None:
            boards[k] = min(boards.get(k, one.board), one.board)
        models[k] = max(models.get(k, ""), one.model)
    rows = [(w.k, node, gpu, w.source, boards.get(w.k), models.get(w.k)) for (node, gpu), w in chosen.items()]
    schema = {"k": pl.UInt32, **SPACE, "source": pl.String, "gpu_index": pl.Int64, "model": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")
