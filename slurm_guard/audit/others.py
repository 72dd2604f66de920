"""Windows that another monitor's readings were made into: whose, and what they cannot show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.model import Family, Finding
from slurm_guard.readings import IMPORTED, READ_BY, UNSEEN

SOURCES = ("dcgm-exporter", "jobstats")


@dataclass(frozen=True, slots=True)
class Others:
    """`by_run`: words on the source, of runs with such windows. `nodes`: those that have any. `is_alone`:
    nothing else came that night."""

    by_run: Mapping[int, str] = field(default_factory=dict)
    nodes: frozenset[str] = frozenset()
    is_alone: bool = False


def note(source: str) -> str:
    """What a run's readings cannot show."""
    return (
        f"Its GPUs were read by another monitor ({source}), not by slurm-guard's sampler: utilisation, power "
        f"and memory of whole GPUs. It cannot show {UNSEEN}. Its GPU work alone is held against nobody."
    )


def remark(source: str) -> str:
    """Of a node. Empty: it has no such windows."""
    return READ_BY + source if source else ""


def spared(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Without what speaks of work, or of work against logs, by such readings: a whole board's, now and then.
    None of these checks was ever tried on them. What a node itself told of connections stays."""
    return tuple(f for f in findings if f.family not in (Family.B, Family.C) or f.weight <= 0)


def summary(said: str) -> str:
    """What jobstats left in AdminComment: beside the audit's own numbers, never among them."""
    return (
        f"jobstats' summary of the whole job (AdminComment) says {said}. It is a mean: busy GPUs and useful "
        "work look alike in it, and nothing here is reckoned from it."
    )


def is_key() -> pl.Expr:
    """Whether a run key was made for such windows."""
    return pl.col("run").cast(pl.String).str.contains(f"/{IMPORTED}/", literal=True).fill_null(value=False)


def _is_window() -> pl.Expr:
    return (pl.col("map") == IMPORTED).fill_null(value=False)


def without(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The frames with what hooks and samplers wrote alone."""
    events = frames["events"].filter((pl.col("name") != IMPORTED).fill_null(value=True))
    return {**frames, "windows": frames["windows"].filter(~_is_window()), "events": events}


def told(
    frames: Mapping[str, pl.DataFrame], keys: pl.DataFrame, good: pl.DataFrame, *, is_alone: bool
) -> Others:
    """`is_alone`: whether nothing of hooks or samplers came."""
    words = by_node(frames, good)
    rows = good.filter(_is_window()).select("run", "node").unique().join(keys.select("run", "i"), on="run")
    by_run: dict[int, str] = {}
    for i, node in rows.sort("i", "node").select("i", "node").iter_rows():
        by_run.setdefault(i, words[node])
    return Others(by_run, frozenset(words), is_alone and bool(words))


def by_node(frames: Mapping[str, pl.DataFrame], good: pl.DataFrame) -> dict[str, str]:
    """Of each node with such windows: whose readings, and how far apart. From the last hour that says so."""
    found = dict.fromkeys(good.filter(_is_window())["node"].unique().to_list(), "Prometheus")
    rows = frames["events"].filter((pl.col("name") == IMPORTED) & pl.col("node").is_in(sorted(found)))
    for node, detail in rows.sort("at", "detail").select("node", "detail").iter_rows():
        found[node] = _words(detail) or found[node]
    return found


def _words(detail: str | None) -> str:
    """Empty: the detail is none of ours."""
    try:
        said = json.loads(detail or "")
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    source, every_s = said.get("source"), said.get("interval_s")
    if source not in SOURCES or not isinstance(every_s, (int, float)) or not 0 < every_s < 3600:
        return ""
    return f"Prometheus, {source}, a reading every {every_s:g} s"
