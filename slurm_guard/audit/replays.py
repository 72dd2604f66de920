"""Which of a run's logged losses are, in order, those of another run: of tonight or of an earlier night."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

import polars as pl

from slurm_guard.audit.fingerprint import Fingerprint
from slurm_guard.audit.stats import median
from slurm_guard.audit.traces import GRAM, Heard, Laid, all_grams, lay, plan, prints_of
from slurm_guard.audit.track import Mark
from slurm_guard.audit.trainings import log_name
from slurm_guard.history import PastTrace
from slurm_guard.model import Run

LEAST_PRINTS = 2  # on one diagonal: of one alone 16 losses are all that is known
# Runs that one print is looked up in, each user's first ones first: a nightly test has hundreds. Judgement
MOST_ALIKE = 8
# Of the prints between first and last, how many must be there. Where losses of five digits are printed again
# with four, one in twenty rounds the other way, and 44 % of the grams are whole.
DENSE = 0.25
_SURE_S = 120.0  # two looks at a file, by which one of two logs must be later to be the copy. Judgement
_AT_ONCE = 20_000  # traces whose words are taken apart together: 60 MB
_AS_GOOD = 0.5  # of the most losses in common, from which another run is counted beside the first. Judgement

Spans = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Seen:
    """The run that a run's losses are known from. Null: not known."""

    run: str
    night_at: float | None  # start of the window that it was audited in; null: tonight's own
    uid: int | None
    is_same_user: bool
    is_same_program: bool | None  # by the command line without folders, seeds, ports and names
    is_same_model: bool  # of GPU, as far as is known
    is_later: bool  # surely: else nobody can tell which of both was first
    n: int  # of this run's losses
    of: int  # losses in that log
    log: str
    n_users: int  # other users that have them, too
    n_runs: int  # other runs that do


@dataclass(frozen=True, slots=True)
class Traces:
    """What the night's runs leave, and what of each (by its place) was seen in another."""

    rows: Mapping[int, tuple[PastTrace, ...]]
    seen: Mapping[int, Seen]
    failed: str = ""  # why there is none


def find_traces(
    runs: Sequence[Run],
    heard: list[Heard],
    window: tuple[float, float],
    known: tuple[Sequence[Fingerprint], Mapping[int, Spans]],
    past: pl.DataFrame | None,
) -> Traces:
    """Traces of tonight's runs, held against each other and against `past` (rows of history.PastTrace of
    nights before; null: none are known). `known`: what the runs are known by, and when they made again what
    an earlier run had made."""
    prints, again = known
    laid = lay(heard)
    mine = [
        _row(runs[one.i], one, prints[one.i], window, text)
        for one, text in zip(heard, prints_of(laid), strict=True)
    ]
    pairs = _Pairs(runs, heard, laid, mine, _shelf(mine, past, [run.id for run in runs]))
    seen: dict[int, Seen] = {}
    for q, found in pairs.all():
        i = heard[q].i
        one = _best(runs[i], heard[q], found, again.get(i, ()))
        if one is not None and (i not in seen or one.n > seen[i].n):
            seen[i] = one
    rows: dict[int, tuple[PastTrace, ...]] = {}
    for k, row in enumerate(mine):
        if row.prints:
            rows[heard[k].i] = (*rows.get(heard[k].i, ()), row)
    return Traces(rows, seen)


def _row(run: Run, one: Heard, print_: Fingerprint, window: tuple[float, float], text: str) -> PastTrace:
    return PastTrace(
        run.cluster, run.id, *window, run.uid, run.job_id, log_name(one.log), print_.gpu_model, run.n_gpus,
        print_.recipe, len(one.losses), text,
    )  # fmt: skip


_SHELF = {
    "cluster": pl.String, "run": pl.String, "from_at": pl.Float64, "until_at": pl.Float64, "uid": pl.Int64,
    "job_id": pl.Int64, "log": pl.String, "gpu_model": pl.String, "n_gpus": pl.Int64, "recipe": pl.String,
    "n": pl.Int64, "prints": pl.String,
}  # fmt: skip


def _shelf(mine: list[PastTrace], past: pl.DataFrame | None, ids: list[str]) -> pl.DataFrame:
    """Every trace to hold against: `r` its place, `k` tonight's log or null."""
    told = [(*(getattr(row, name) for name in _SHELF), k) for k, row in enumerate(mine) if row.prints]
    frame = pl.DataFrame(told, schema={**_SHELF, "k": pl.Int64}, orient="row")
    if past is not None:
        before = past.filter(~pl.col("run").is_in(ids)).select(*_SHELF, pl.lit(None, pl.Int64).alias("k"))
        frame = pl.concat([before, frame])
    return frame.with_row_index("r")


@dataclass(frozen=True, slots=True)
class _Match:
    """Parts of a log, [from, until) in its losses, that lie in order in one known trace."""

    known: PastTrace
    is_tonight: bool
    is_same_program: bool | None
    is_same_model: bool
    is_later: bool
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Pairs:
    runs: Sequence[Run]
    heard: list[Heard]
    laid: Laid
    mine: list[PastTrace]
    shelf: pl.DataFrame

    def all(self) -> list[tuple[int, list[_Match]]]:
        """(log, its matches) of every log that has any, in order."""
        if not self.heard or self.shelf.is_empty():
            return []
        prints = _prints(self.shelf)
        table = pl.concat([self._hits(batch, prints) for batch in all_grams(self.laid)])
        table = table.sort("q", "r", "stride", "diagonal")
        found: dict[int, list[_Match]] = {}
        for (q, r), rows in groupby(table.iter_rows(named=True), key=lambda row: (row["q"], row["r"])):
            match = self._match(q, self.shelf.row(r, named=True), list(rows))
            if match is not None:
                found.setdefault(q, []).append(match)
        return sorted(found.items())

    def _hits(self, batch: pl.DataFrame, prints: pl.DataFrame) -> pl.DataFrame:
        """(`q` log, `r` trace, `stride`, `diagonal`) with places and prints in common, if enough."""
        near = prints.join(batch.select("h").unique(), on="h", how="semi").join(_owners(self.shelf), on="r")
        order = ("from_at", "run", "r", "o")
        near = (
            near.join(_plans(near["n"]), on=["n", "o"])
            .drop("n")
            .sort("h", *order)
            .with_columns(pl.int_range(pl.len()).over("h", "uid").alias("nth"))
            .sort("h", "nth", *order)
            .filter(pl.int_range(pl.len()).over("h") < MOST_ALIKE)
        )
        jobs = [self.runs[one.i].job_id for one in self.heard]
        asks = pl.DataFrame(
            {"q": range(len(jobs)), "my_job": jobs}, schema={"q": pl.UInt32, "my_job": pl.Int64}
        )
        return (
            batch.join(near, on="h")
            .join(asks, on="q")
            .filter(pl.col("job_id") != pl.col("my_job"))
            .with_columns(
                (pl.col("place").cast(pl.Int64) * pl.col("stride") - pl.col("first")).alias("diagonal")
            )
            .group_by("q", "r", "stride", "diagonal")
            .agg(pl.col("place").sort_by("o", "place"), pl.col("o").sort_by("o", "place"))
            .filter(pl.col("o").list.n_unique() >= LEAST_PRINTS)
        )

    def _match(self, q: int, found: dict[str, Any], rows: list[dict[str, Any]]) -> _Match | None:
        known = PastTrace(**{part.name: found[part.name] for part in fields(PastTrace)})
        later_s = _SURE_S + 1.0 if found["k"] is None else self._later_s(q, found["k"], rows)
        if later_s < 0:
            return None
        words = known.prints.split(" ")
        parts = []
        for row in rows:
            between = [w for w in words[row["o"][0] : row["o"][-1] + 1] if w != "-"]
            if len(set(row["o"])) >= DENSE * len(between):
                parts.append((row["place"][0], row["place"][-1] + GRAM))
        if not parts:
            return None
        mine = self.mine[q]
        is_same = None if known.recipe is None or mine.recipe is None else known.recipe == mine.recipe
        models = {known.gpu_model, mine.gpu_model} - {""}
        return _Match(
            known, found["k"] is not None, is_same, len(models) < 2, later_s > _SURE_S, tuple(sorted(parts))
        )

    def _later_s(self, q: int, k: int, rows: list[dict[str, Any]]) -> float:
        """By how much what both of tonight's logs have came later in this one; negative: earlier. By when it
        was not on disk yet, which no job can claim; where that is the same, the run that began later is."""
        places = plan(len(self.heard[k].losses))
        mine, others = self.heard[q].marks, self.heard[k].marks
        apart = [
            _came_at(mine[place + GRAM - 1]) - _came_at(others[places[o][1] + (GRAM - 1) * places[o][0]])
            for row in rows
            for place, o in zip(row["place"], row["o"], strict=True)
        ]
        one, other = (self.runs[self.heard[x].i] for x in (q, k))
        began_later = (one.start_at, one.id) > (other.start_at, other.id)
        return median(apart) or (0.0 if began_later else -1.0)


def _came_at(mark: Mark) -> float:
    return mark.at if mark.low_at is None else mark.low_at


def _prints(shelf: pl.DataFrame) -> pl.DataFrame:
    """(`r` trace, `o` which of its prints, `h`) of all that say something."""
    words = pl.col("words")
    return pl.concat(
        shelf.slice(at, _AT_ONCE)
        .select("r", pl.col("prints").str.split(" ").alias("words"))
        .with_columns(pl.int_ranges(0, words.list.len(), dtype=pl.UInt32).alias("o"))
        .explode("words", "o")
        .filter(words.str.len_bytes() == 16)
        .select("r", "o", words.str.to_integer(base=16, dtype=pl.UInt64, strict=False).alias("h"))
        .drop_nulls("h")
        for at in range(0, shelf.height, _AT_ONCE)
    )


def _owners(shelf: pl.DataFrame) -> pl.DataFrame:
    """Whose each trace is, for the choice among many."""
    return shelf.select("r", "n", "uid", "from_at", "run", "job_id")


def _plans(sizes: pl.Series) -> pl.DataFrame:
    """(`n`, `o`, `stride`, `first` place) of each print of traces of these many losses."""
    return pl.DataFrame(
        [(n, o, *one) for n in sizes.unique().sort() for o, one in enumerate(plan(n))],
        schema={"n": pl.Int64, "o": pl.UInt32, "stride": pl.Int64, "first": pl.Int64},
        orient="row",
    )


def _best(run: Run, one: Heard, matches: list[_Match], again: Spans) -> Seen | None:
    """The run that most of a log's losses are known from, the first of those alike; null: of none."""
    redone = [any(a < mark.at <= b for a, b in again) for mark in one.marks] if again else []
    counted = []
    for match in matches:
        places = {k for begin, end in match.parts for k in range(begin, end)}
        if not match.is_tonight:  # what came before that night's end may have been there first
            places = {k for k in places if one.marks[k].at >= match.known.until_at}
        if redone and run.uid == match.known.uid:  # what its owner's earlier run had made is told as redone
            places = {k for k in places if not redone[k]}
        counted.append((len(places), match))
    most = max(n for n, _ in counted)
    if most == 0:
        return None
    alike = [(n, match) for n, match in counted if n >= _AS_GOOD * most]
    n, match = min(alike, key=lambda c: (c[1].known.from_at, -c[0], c[1].known.run))
    row = match.known
    users = {m.known.uid for _, m in alike} - {run.uid, None}
    return Seen(
        row.run, None if match.is_tonight else row.from_at, row.uid,
        run.uid is not None and row.uid == run.uid, match.is_same_program, match.is_same_model,
        match.is_later, n,
        len(one.losses), one.log, len(users), len({m.known.run for _, m in alike}),
    )  # fmt: skip
