"""Random numbers as a function of a key: the same whatever the order, the chunk or the number of threads.

Polars' hash is stable within one release of Polars and not promised beyond, so a night is repeated with the
release that made it (docs/scale.md).
"""

import hashlib
import math

import polars as pl

_TOP = float(2**53)


class Seed:
    """Streams of one word: each name is a stream of its own."""

    def __init__(self, word: str) -> None:
        self._word = word

    def number(self, stream: str) -> int:
        """63 bits of the word and the stream's name."""
        digest = hashlib.sha256(f"{self._word}\0{stream}".encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def uniform(self, key: pl.Expr, stream: str) -> pl.Expr:
        """[0, 1) by a key of 64 bits."""
        return (self.bits(key, stream) // 2048).cast(pl.Float64) / _TOP

    def normal(self, key: pl.Expr, stream: str) -> pl.Expr:
        """Standard normal by a key."""
        return normal_of(self.uniform(key, stream))

    def bits(self, key: pl.Expr, stream: str) -> pl.Expr:
        """64 bits by a key."""
        return key.cast(pl.UInt64).hash(self.number(stream))

    def digits(self, key: pl.Expr, stream: str, n: int) -> pl.Expr:
        """`n` decimal digits (a multiple of 16) as text, where a real night has hexadecimal ones."""
        parts = [
            (self.bits(key, f"{stream}{k}") % 10**16).cast(pl.String).str.zfill(16) for k in range(n // 16)
        ]
        return pl.concat_str(parts)


def normal_of(u: pl.Expr) -> pl.Expr:
    """The normal quantile (Abramowitz and Stegun 26.2.23, error below 4.5e-4), |z| at most about 6."""
    p = pl.min_horizontal(u, 1.0 - u).clip(1e-9, 0.5)
    t = (-2.0 * p.log()).sqrt()
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    z = t - above / below
    return pl.when(u < 0.5).then(-z).otherwise(z)


def evenly(u: pl.Expr, span: tuple[float, float]) -> pl.Expr:
    """A uniform number laid on a span."""
    return span[0] + u * (span[1] - span[0])


def by_size(u: pl.Expr, span: tuple[float, float]) -> pl.Expr:
    """A uniform number laid on a span evenly in its logarithm."""
    return (math.log(span[0]) + u * math.log(span[1] / span[0])).exp()


def phi(z: float) -> float:
    """The normal distribution."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def pick(u: pl.Expr, choices: tuple[tuple[str, float], ...]) -> pl.Expr:
    """One of several words by their shares."""
    found = pl.lit(choices[-1][0])
    high = 1.0
    for word, share in reversed(choices):
        high_here = high
        high -= share
        found = pl.when((u >= high) & (u < high_here)).then(pl.lit(word)).otherwise(found)
    return found
