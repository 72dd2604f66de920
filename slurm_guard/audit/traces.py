"""What a run's logged losses are known by again: hashes of stretches, the same wherever they are printed.

A *gram* is 16 losses that follow each other (or every second one), each to four digits. A *trace* is up to
64 grams at even places of one log; a run is held whole, with all its grams, against the traces of others. The
hash has no key, and needs none: who wants somebody to look like a copy prints his log, who wants to escape
changes a digit, and nobody learns a loss from its hash that he does not know already.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from slurm_guard.audit.gather import Series
from slurm_guard.audit.stats import median
from slurm_guard.audit.track import Mark
from slurm_guard.model import Run

GRAM = 16  # losses. With 3.9 bits each (see NOISE) one agrees by chance once in 2**62
# (every n-th record, prints at most): 64 together. Judgement: printed again in full, or every other record
PLAN = ((1, 44), (2, 20))
LEAST = 64  # losses, below which a log has no trace. Judgement
MOST_LOGS = 4  # of a run, the longest ones: a log, its event file and its table tell the same. Judgement
_DIGITS = 4  # Measured: real logs have 4 and more; "%.4f" keeps as many from 0.1 on
# What a gram must hold to say whose it is. Independent noise of s last digits has log2(4.1 s) bits a loss,
# its second differences are 1.65 s in the middle; a formula's and an average's do not change sign. Judgement.
_NOISE, _TURNS, _DISTINCT = 6.0, 4, 12
_BATCH = 2_000_000  # losses whose grams are laid out at once: 100 MB
_LUMP = 10.0  # times the usual records of a look: those were copied there. Judgement

_U = pl.UInt64
_MIX, _STEP = 0x9E3779B97F4A7C15, 0xD1342543DE82EF95  # odd: no information is lost. Knuth; Steele and Vigna
_WORD = "-"  # of a gram that says nothing


@dataclass(frozen=True, slots=True)
class Heard:
    """Losses of one log that reached the disk during its run, in the file's order. `i`: the run's place."""

    i: int
    log: str
    losses: tuple[float, ...]
    marks: tuple[Mark, ...]


def hear(series: Mapping[int, Series], runs: list[Run], slack_s: float) -> list[Heard]:
    """The logs with losses of each run, at most MOST_LOGS, by run; several readings of one count once."""
    found: list[Heard] = []
    for i in sorted(series):
        mine: dict[tuple[float, ...], Heard] = {}
        for name, marks in sorted(series[i], key=lambda part: part[0]):
            kept = _came(marks, runs[i].start_at - slack_s)
            if len(kept) >= LEAST:
                losses = tuple(m.loss for m in kept if m.loss is not None)
                mine.setdefault(losses, Heard(i, name, losses, tuple(kept)))
        found += sorted(mine.values(), key=lambda one: (-len(one.losses), one.log))[:MOST_LOGS]
    return found


def _came(marks: list[Mark], start_at: float) -> list[Mark]:
    """Marks of training with a loss that came while the run ran: none that stood there before it, and none
    that were put there at once, as a folder copied to go on from is."""
    told = [
        m
        for m in marks
        if m.phase == "train"
        and m.loss is not None
        and (m.loss == 0.0 or 1e-100 < abs(m.loss) < 1e100)
        and "bulk" not in m.flags
        and (m.low_at is not None or (m.claimed_at is not None and m.claimed_at >= start_at))
    ]
    looks = Counter(m.low_at for m in told if m.low_at is not None)
    if len(looks) < 3:
        return told
    most = max(GRAM, _LUMP * median([float(n) for n in looks.values()]))
    return [m for m in told if m.low_at is None or looks[m.low_at] <= most]


def plan(n: int) -> list[tuple[int, int]]:
    """(every how many records, first place) of each print of a trace of `n` losses, in order."""
    found = []
    for stride, most in PLAN:
        last = n - 1 - stride * (GRAM - 1)  # the last place where a gram fits
        many = min(most, last + 1)
        for j in range(many):
            place = last * j // max(1, many - 1)
            found.append((stride, max(j % stride, place - (place - j) % stride)))  # each parity in turn
    return found


def tokens(losses: pl.Series) -> pl.Series:
    """Each loss to four significant digits, as a number of 64 bits; its scale and sign are in it."""
    size = pl.col("x").abs()
    power = pl.when(size > 0).then(size.log10().floor()).otherwise(0.0)
    digits = (size * pl.lit(10.0).pow(_DIGITS - 1 - power) + 0.5).floor()
    over = digits >= 10**_DIGITS  # 9.9996 is 10.00
    digits = pl.when(over).then(digits / 10).otherwise(digits)
    power = pl.when(over).then(power + 1).otherwise(power)
    signed = pl.when(pl.col("x") < 0).then(-digits).otherwise(digits)
    code = (power + 1000) * 4 * 10**_DIGITS + signed + 2 * 10**_DIGITS
    frame = pl.DataFrame({"x": losses}, schema={"x": pl.Float64})
    return frame.select(_mixed(code.cast(pl.Int64).cast(_U)).alias("token"))["token"]


def _mixed(value: pl.Expr) -> pl.Expr:
    """Every bit of a number spread over all of them; arithmetic of 64 bits wraps."""
    for _ in range(2):
        value = value * pl.lit(_MIX, _U)
        value = value ^ (value // pl.lit(1 << 32, _U))
    return value


def grams(token: pl.Series) -> pl.Series:
    """The hash of the gram that begins at each place; the last GRAM - 1 are null."""
    frame, size, factor = pl.DataFrame({"h": token}), 1, _STEP
    while size < GRAM:
        frame = frame.select(pl.col("h") * pl.lit(factor, _U) + pl.col("h").shift(-size))
        size, factor = 2 * size, factor * factor % (1 << 64)
    return frame.select(_mixed(pl.col("h")))["h"]


@dataclass(frozen=True, slots=True)
class Laid:
    """Logs laid end to end: `begins` has where each begins, and the whole length."""

    losses: pl.Series
    token: pl.Series
    begins: tuple[int, ...]


def lay(heard: list[Heard]) -> Laid:
    """The losses of these logs as columns."""
    losses = pl.Series([x for one in heard for x in one.losses], dtype=pl.Float64)
    begins = itertools.accumulate((len(one.losses) for one in heard), initial=0)
    parts = [tokens(losses.slice(at, _BATCH)) for at in range(0, max(1, len(losses)), _BATCH)]
    return Laid(losses, pl.concat(parts), tuple(begins))


def prints_of(laid: Laid) -> list[str]:
    """The trace of each log: its prints as words of 16 digits, `-` for one that says nothing; empty where
    none does."""
    places: list[tuple[int, int]] = []
    ends = [0]
    for at, end in itertools.pairwise(laid.begins):
        places += [(stride, at + place) for stride, place in plan(end - at)]
        ends.append(len(places))
    words = _words(laid, places)
    each = [words[begin:end] for begin, end in itertools.pairwise(ends)]
    return [" ".join(mine) if any(word != _WORD for word in mine) else "" for mine in each]


def _words(laid: Laid, places: list[tuple[int, int]]) -> list[str]:
    frame = pl.DataFrame(places, schema={"stride": pl.Int64, "place": pl.Int64}, orient="row")
    each = [frame["place"] + k * frame["stride"] for k in range(GRAM)]
    columns = {f"t{k}": laid.token.gather(at) for k, at in enumerate(each)}
    columns |= {f"x{k}": laid.losses.gather(at) for k, at in enumerate(each)}
    h = pl.col("t0")
    for k in range(1, GRAM):
        h = h * pl.lit(_STEP, _U) + pl.col(f"t{k}")
    told = pl.DataFrame(columns).select(_mixed(h).alias("h"), _says().alias("says"))
    return [f"{h:016x}" if says else _WORD for h, says in told.iter_rows()]


def _says() -> pl.Expr:
    """Whether a gram is of noise: large enough beside its digits, up and down, and of many values."""
    x = [pl.col(f"x{k}") for k in range(GRAM)]
    bends = [a - 2 * b + c for a, b, c in zip(x, x[1:], x[2:], strict=False)]
    digit = pl.lit(10.0).pow(pl.max_horizontal(v.abs() for v in x).clip(1e-100).log10().floor() + 1 - _DIGITS)
    large = pl.sum_horizontal((bend.abs() >= _NOISE * digit).cast(pl.Int64) for bend in bends)
    turns = pl.sum_horizontal((a * b < 0).cast(pl.Int64) for a, b in itertools.pairwise(bends))
    unlike = pl.concat_list(f"t{k}" for k in range(GRAM)).list.n_unique()
    return (2 * large >= len(bends)) & (turns >= _TURNS) & (unlike >= _DISTINCT)


def all_grams(laid: Laid) -> Iterable[pl.DataFrame]:
    """(`q` the log's place in the list, `place`, `h`) of every gram, in batches of whole logs."""
    first = 0
    while first < len(laid.begins) - 1:
        begin = laid.begins[first]
        last = first + 1
        while last < len(laid.begins) - 1 and laid.begins[last + 1] - begin <= _BATCH:
            last += 1
        sizes = [b - a for a, b in itertools.pairwise(laid.begins[first : last + 1])]
        logs = pl.DataFrame({"q": range(first, last), "n": sizes}, schema={"q": pl.UInt32, "n": pl.UInt32})
        places = pl.int_ranges(0, "n", dtype=pl.UInt32).alias("place")
        yield (
            logs.with_columns(places)
            .explode("place")
            .with_columns(grams(laid.token.slice(begin, laid.begins[last] - begin)).alias("h"))
            .filter(pl.col("place") + GRAM <= pl.col("n"))
            .drop("n")
        )
        first = last
