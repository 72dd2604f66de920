"""How large the model of a run's log is, as checkpoints' headers or the log's own words have it: a claim."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

HEADER = "header"
ALIKE = 1.1  # sizes that differ by no more are one model's. Judgement: embeddings counted or not
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
    """The size of the model that these sources of progress are of: the headers' word before the log's; null
    where nothing tells it, or where they tell of several."""
    known = tuple(sources)
    mine = [s for name, s in named if any(k == name or k.startswith(f"{name} (") for k in known)]
    best = [s for s in mine if s.source == HEADER] or mine
    if not best or max(s.params for s in best) > ALIKE * min(s.params for s in best):
        return None
    return min(best, key=lambda s: (s.params, s.least))
