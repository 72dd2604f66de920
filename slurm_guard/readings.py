"""Another monitor's readings of GPUs, as whoever fetches them hands them to the lake."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

# What stands in the lake where such readings were taken: `map` of their windows, the boot in their run keys,
# and the name of the event by which a node's hour says whose they are.
IMPORTED = "imported"
READ_BY = "read by "  # how the remark of such a node begins, and what stands behind it up to a semicolon
UNSEEN = (
    "which processes worked, whose they were and whether a second program did, connections, whether a log "
    "grew when it says so, and work between two readings"
)


class Series(NamedTuple):
    """Readings of one GPU by one exporter. `job`: by a label of the series, null: it has none."""

    node: str
    gpu: str
    target: str
    job: str | None
    board: int | None  # its number on the node
    model: str
    at: "array[float]"
    value: "array[float]"


@dataclass(slots=True)
class Hour:
    """Everything that was told of [from_at, from_at + 3600), and for the interval that ends in it of the time
    before. `values` by (source, field): shares 0..1, mW, mJ, MiB; `holders` by source: jobs, 0: none.
    """

    from_at: float
    values: dict[tuple[str, str], list[Series]] = field(default_factory=dict)
    holders: dict[str, list[Series]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)  # what could not be used, by a few words
    split_nodes: set[str] = field(default_factory=set)  # with MIG: their boards are not whole GPUs
    warnings: list[str] = field(default_factory=list)  # the server's own words
