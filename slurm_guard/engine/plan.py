"""A night cut into parts that can be measured one without the other.

A part is a row of neighbouring nodes with the runs whose first node is there. Of a run that reaches further
its other nodes are read, too, with whatever else was on them; the document's words on a node come from the
one part that holds it. Runs with a file in common go together, wherever they are.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slurm_guard.model import Run

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Part:
    """Places of runs in the night's list, in order: `own` are measured, `near` are all that have a node among
    those that are read. `nodes`: the document's words on these come from here; `reach`: these are read."""

    own: tuple[int, ...]
    near: tuple[int, ...]
    nodes: frozenset[str]
    reach: frozenset[str]


def cut(
    runs: Sequence[Run], nodes: Iterable[str], ties: Iterable[tuple[str, str]], part_gpu_h: float
) -> list[Part]:
    """Parts of about `part_gpu_h` GPU-hours, or of the nodes of the runs that make so many; a run, and runs
    that are tied, are never cut. `nodes`: of which the lake has rows; `ties`: ids of runs that go
    together."""
    groups = _groups(runs, ties)
    first: dict[str, list[list[int]]] = {}
    for group in groups:
        where = min((runs[i].nodes[0] for i in group if runs[i].nodes), key=_natural, default="")
        first.setdefault(where, []).append(group)
    every = sorted({*nodes, *first, *(node for run in runs for node in run.nodes)}, key=_natural)
    on_node: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        for node in run.nodes:
            on_node.setdefault(node, []).append(i)
    parts: list[Part] = []
    mine: list[int] = []
    held: list[str] = []
    size = 0.0
    core: set[str] | None = None
    for node in every:
        if core is not None and node not in core:
            parts.append(_part(runs, mine, held, on_node))
            mine, held, size, core = [], [], 0.0, None
        held.append(node)
        for group in first.get(node, []):
            mine += group
            size += sum(_gpu_h(runs[i]) for i in group)
        if size >= part_gpu_h and core is None:
            # What these runs reach is read with them whatever comes next: else it would be read again.
            core = {name for i in mine for name in runs[i].nodes}
    if held:
        parts.append(_part(runs, mine, held, on_node))
    return parts


def slices_of(nodes: Iterable[str], runs: Iterable[Run], slice_gpu_h: float) -> tuple[frozenset[str], ...]:
    """These nodes in groups of neighbours on which the runs have about `slice_gpu_h` GPU-hours, as many as
    need be; one where that is all of them, or there is none."""
    hours = dict.fromkeys(nodes, 0.0)
    for run in runs:
        for node in run.nodes:
            if node in hours:
                hours[node] += _gpu_h(run) / len(run.nodes)
    found: list[list[str]] = [[]]
    size = 0.0
    for node in sorted(hours, key=_natural):
        if found[-1] and size + hours[node] > slice_gpu_h:
            found.append([])
            size = 0.0
        found[-1].append(node)
        size += hours[node]
    return tuple(frozenset(some) for some in found)


def _part(runs: Sequence[Run], mine: list[int], held: list[str], on_node: dict[str, list[int]]) -> Part:
    reach = {*held, *(node for i in mine for node in runs[i].nodes)} - {""}
    near = {*mine, *(i for node in reach for i in on_node.get(node, ()))}
    return Part(tuple(sorted(mine)), tuple(sorted(near)), frozenset(held) - {""}, frozenset(reach))


def _gpu_h(run: Run) -> float:
    return run.n_gpus * max(0.0, run.until_at - run.from_at) / 3600.0


def _natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Names in the order of their numbers: n9 before n10."""
    return tuple(
        (1, int(word), "") if word.isdecimal() and word.isascii() else (0, 0, word)
        for word in _NUMBER.split(name)
    )


def _groups(runs: Sequence[Run], ties: Iterable[tuple[str, str]]) -> list[list[int]]:
    """Places of runs that go together, in order."""
    places = {run.id: i for i, run in enumerate(runs)}
    above = list(range(len(runs)))

    def top(i: int) -> int:
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        return i

    for a, b in ties:
        if a in places and b in places:
            x, y = sorted((top(places[a]), top(places[b])))
            above[y] = x
    found: dict[int, list[int]] = {}
    for i in range(len(runs)):
        found.setdefault(top(i), []).append(i)
    return list(found.values())
