"""How often the audit takes two unrelated series for related ones, and how often it sees that one follows.

Pace of a log and work of a GPU, drawn block by block: unrelated (each of a kind of its own, of one kind, or
struck by the same one or two pauses), and related (work follows the pace with noise; or a pause lies in
neighbouring blocks of the two). Beside it what a correlation alone would say (r > 0.7). Nothing of the world
is taken from the audit.
"""

import argparse
import random
from collections.abc import Callable, Iterator
from math import exp, log, sqrt
from typing import Any

from slurm_guard.audit.pace import go_together

Series = list[float]
Maker = Callable[[random.Random, int], Series]
BLOCKS = (8, 16, 40, 150)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--n", type=int, default=2000, help="pairs of series for each row")
    parser.add_argument("--seed", type=int, default=1)


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each kind of pair and number of blocks."""
    return [
        _row(name, draw, n_blocks, options)
        for n_blocks in BLOCKS
        for name, draw in (*UNRELATED.items(), *RELATED.items())
    ]


def _row(name: str, draw: "Pair", n_blocks: int, options: argparse.Namespace) -> dict[str, Any]:
    rng = random.Random(f"{options.seed}/{name}/{n_blocks}")
    said = alone = 0
    for _ in range(options.n):
        pace, work = ([exp(v) for v in series] for series in draw(rng, n_blocks))
        said += go_together(pace, work)
        alone += _r(pace, work) > 0.7
    low, high = wilson(said, options.n)
    return {
        "what": name,
        "blocks": n_blocks,
        "n": options.n,
        "agrees_pct": 100 * said / options.n,
        "agrees_lo_pct": 100 * low,
        "agrees_hi_pct": 100 * high,
        "r_alone_pct": 100 * alone / options.n,
    }


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share; (0, 1) for none."""
    if n == 0:
        return 0.0, 1.0
    p, c = hits / n, z * z / n
    half = z * sqrt(p * (1 - p) / n + c / (4 * n))
    return max(0.0, (p + c / 2 - half) / (1 + c)), min(1.0, (p + c / 2 + half) / (1 + c))


def _r(a: Series, b: Series) -> float:
    n = len(a)
    ma, mb = sum(a) / n, sum(b) / n
    top = sum((x - ma) * (y - mb) for x, y in zip(a, b, strict=True))
    below = sqrt(sum((x - ma) ** 2 for x in a) * sum((y - mb) ** 2 for y in b))
    return top / below if below > 0 else 0.0


def _even(rng: random.Random, n: int) -> Series:
    del rng
    return [0.0] * n


def _noise(rng: random.Random, n: int) -> Series:
    return [rng.gauss(0, 1) for _ in range(n)]


def _wander(rng: random.Random, n: int) -> Series:
    return list(_walk(rng, n, 1.0))


def _return(rng: random.Random, n: int) -> Series:
    return list(_walk(rng, n, 0.8))


def _walk(rng: random.Random, n: int, keep: float) -> Iterator[float]:
    at = 0.0
    for _ in range(n):
        at = keep * at + rng.gauss(0, 1)
        yield at


def _step(rng: random.Random, n: int) -> Series:
    begin, way = rng.randrange(2, n - 2), rng.choice((-1.0, 1.0))
    return [way if k >= begin else 0.0 for k in range(n)]


def _on_off(rng: random.Random, n: int) -> Series:
    half = rng.randrange(2, max(3, n // 3))
    begin = rng.randrange(2 * half)
    return [float((k + begin) // half % 2) for k in range(n)]


def _trend(rng: random.Random, n: int) -> Series:
    way = rng.choice((-1.0, 1.0))
    return [way * k / n for k in range(n)]


def _bursts(rng: random.Random, n: int) -> Series:
    return [float(rng.random() < 0.1) for _ in range(n)]


KINDS: dict[str, Maker] = {
    "noise": _noise,
    "wander": _wander,
    "wander and return": _return,
    "one step": _step,
    "on and off": _on_off,
    "trend": _trend,
    "bursts": _bursts,
}
Pair = Callable[[random.Random, int], tuple[Series, Series]]


def _scaled(rng: random.Random, values: Series) -> Series:
    """To a relative standard deviation of 3 to 35 %, about 0."""
    mean = sum(values) / len(values)
    spread = sqrt(sum((v - mean) ** 2 for v in values) / len(values)) or 1.0
    size = _wide(rng, 0.03, 0.35)
    return [(v - mean) / spread * size for v in values]


def _wide(rng: random.Random, low: float, high: float) -> float:
    return exp(rng.uniform(log(low), log(high)))


def _noisy(rng: random.Random, values: Series, low: float, high: float) -> Series:
    noise = _wide(rng, low, high)
    return [v + rng.gauss(0, noise) for v in values]


def _one(rng: random.Random, n: int, make: Maker) -> Series:
    return _noisy(rng, _scaled(rng, make(rng, n)), 0.002, 0.05)


def _same_kind(make: Maker) -> Pair:
    return lambda rng, n: (_one(rng, n, make), _one(rng, n, make))


def _any_two(n_pauses: int) -> Pair:
    """Two kinds at random; `n_pauses` blocks in which both stand still for a part of the time."""

    def draw(rng: random.Random, n: int) -> tuple[Series, Series]:
        pace, work = (_one(rng, n, rng.choice((*KINDS.values(), _even))) for _ in range(2))
        for _ in range(n_pauses):
            k, depth = rng.randrange(n), rng.uniform(0.1, 1.5)
            pace[k] -= depth
            work[k] -= depth * rng.uniform(0.8, 1.2)
        return pace, work

    return draw


def _followed(make: Maker, *, misplaced: bool) -> Pair:
    """Work that follows; `misplaced`: in an eighth of the blocks a pause that the log shows there or one
    block later."""

    def draw(rng: random.Random, n: int) -> tuple[Series, Series]:
        pace = _one(rng, n, make)
        elastic = rng.uniform(0.8, 1.3)
        work = _noisy(rng, [elastic * v for v in pace], 0.005, 0.07)
        for k in range(n - 1):
            if misplaced and rng.random() < 0.125:
                work[k] -= 0.15
                pace[k + rng.randrange(2)] -= 0.12
        return pace, work

    return draw


UNRELATED: dict[str, Pair] = {
    **{f"unrelated, both {name}": _same_kind(make) for name, make in KINDS.items()},
    "unrelated, any two": _any_two(0),
    "unrelated, one pause shared": _any_two(1),
    "unrelated, two pauses shared": _any_two(2),
}
RELATED: dict[str, Pair] = {
    **{f"follows, {name}": _followed(make, misplaced=False) for name, make in KINDS.items()},
    **{f"follows, {name}, pauses misplaced": _followed(make, misplaced=True) for name, make in KINDS.items()},
}
