"""How large the model of a run's log is, as checkpoints' headers or the log's own words have it: a claim."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

HEADER = "header"
ALIKE = 1.1  # sizes that differ by no more are one model's. Judgement: embeddings counted or not
NEAR = 2.0  # … and of headers and a log's words, which may leave out more. Judgement
# Parameters; what lies beyond is a slip of the pen. Judgement: no model of tokens is smaller, and the largest
# that was trained is a fiftieth.
LEAST, MOST = 10**5, 10**14
# A total may be mostly experts of which each token passes a few: the sparsest models in wide use have a 20th
# to a 31st of their parameters at work (documented: DeepSeek-V3 37 of 671 billion, Kimi K2 32 of 1,000).
# Judgement.
SPARSEST = 32

Named = Mapping[int, tuple[tuple[str, "Size"], ...]]


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model. `dense`: those that every token passes; null: not told. `source`: header or
    said."""

    params: int
    dense: int | None
    source: str

    @property
    def least(self) -> float:
        """Parameters that a token passes, at least."""
        return self.params / SPARSEST if self.dense is None else float(self.dense)


def sizes_of(logs: pl.DataFrame, keys: pl.DataFrame) -> Named:
    """Per run the sizes that its logs came with, each with the log's name as in a track's sources."""
    rows = (
        logs.filter(pl.col("params").is_between(LEAST, MOST) & pl.col("params_from").is_not_null())
        .join(keys.select("run", "i"), on="run")
        .select("i", "source", "path", "file", "params", "dense", "params_from")
        .sort("i", "path", "file", "params", "dense", nulls_last=True)
    )
    found: dict[int, list[tuple[str, Size]]] = {}
    for i, source, path, file, params, dense, told in rows.iter_rows():
        size = Size(params, dense if dense is not None and 0 < dense <= params else None, told)
        found.setdefault(i, []).append((f"{source or 'log'}:{path or file}", size))
    return {i: tuple(part) for i, part in found.items()}


def size_of(named: Iterable[tuple[str, Size]], sources: Iterable[str]) -> Size | None:
    """The size of the model that these sources of progress are of, by the headers of the run's checkpoints
    before the log's own words. Null where nothing tells it, where they tell of several, or where both
    contradict each other.
    """
    known, every = tuple(sources), tuple(named)
    headers = [size for _, size in every if size.source == HEADER]
    said = [
        size
        for name, size in every
        if size.source != HEADER and any(k == name or k.startswith(f"{name} (") for k in known)
    ]
    best = headers or said
    if not known or not _are_one(best, ALIKE) or not _are_one([*headers, *said], NEAR):
        return None
    return min(best, key=lambda s: (s.params, s.least))


def _are_one(sizes: list[Size], times: float) -> bool:
    """Whether there is a size, and the largest is within so many times the smallest."""
    counts = [size.params for size in sizes]
    return bool(counts) and max(counts) <= times * min(counts)
