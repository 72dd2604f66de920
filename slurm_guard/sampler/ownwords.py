"""Did this process say something of its own between two rests, or was all of it handed on? Pure.

A worker whose far end takes long to acknowledge looks at rest as a tunnel does: in came a task, out went its
result, and nothing since. What it cannot hide is that it has asked for the task: between two rests more went
out than the service nearby gave it, and more came in (thanks for the result) than was handed to the service.
Of a tunnel only framing is more.
"""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, NamedTuple
from slurm_guard.networks import LOOPBACK

if TYPE_CHECKING:
    from slurm_guard.sampler.moved import Moved

# Framing of a message, and of a long one's parts. Measured: ssh 34 to 41, paramiko 50 to 65, padded 54, TLS
# 22 for each 8 KiB. A worker's request over HTTP is 100 and more, and the heads about its result add to that
FRAME_B, PART_B = 60, 256
SLACK_B = (
    16  # a little more now and then. Judgement; a keep-alive between the two is more, and costs the rest
)
# That an inner connection is opened, and closed. Measured: ssh 200 in, 150 out; asyncssh 200 and 300
OPENED_B = 256
WINDOWS_B = 1024  # of the other way for one byte more: ssh's windows (initiative.WINDOWS_B)
HANDSHAKE_B = 4096  # of an outer connection that began (relays.HANDSHAKE_B)
SEGMENT_B = 1448  # a full segment's on an Ethernet; what is not full ends a message
# Beyond this it is no framing and no request, but bytes of connections that nobody has counted yet: the
# bounds within which a look takes one side for the other (fitting.LEAST, MOST, PER_MESSAGE_B, PLAY_B)
LEAST, MOST, MOST_EACH_B, PLAY_B = 0.95, 1.06, 120, 64
# Times as much inwards as outwards: a mirror asks for more as its store says thanks, and such heads are
# as long as each other now and then. Judgement; mirrors: 130 to 1,400 (measured)
ONE_WAY = 50
BULK_B = 16_384  # so much outwards, or it is a shell's output. Uplinks, the other way round. Judgement
# One who asks the service nearby twice for each time that he is asked has something to say to it himself.
# Messages on the outer side, of those nearby, by which it is no more than that, after so many. Judgement
FEWER, ENOUGH_SAID = 0.6, 10
SAID = 0.5  # of a message: half of each segment that ends one is empty. Judgement
CLOSED_B = 16  # the ends of connections count as bytes, one each, where all was handed on. Judgement


class Side(NamedTuple):
    """One side of a pair since both were first seen. `in_n`, `out_n`: data segments; `in_said`, `out_said`:
    messages, as the segments tell; `n_fresh`: connections that began."""

    in_b: int = 0
    out_b: int = 0
    in_n: int = 0
    out_n: int = 0
    in_said: float = 0.0
    out_said: float = 0.0
    n_fresh: int = 0


class Totals(NamedTuple):
    """Both sides of a pair."""

    outer: Side = Side()
    inner: Side = Side()

    def add(self, outer: Moved, inner: list[Moved]) -> Totals:
        """With one more look."""
        moved = [f for f in inner if f.moved_b or f.n_fresh]
        return Totals(
            _more(self.outer, [outer]) if outer.moved_b or outer.n_fresh else self.outer,
            _more(self.inner, moved) if moved else self.inner,
        )


def is_framing(then: Totals, now: Totals) -> bool | None:
    """Whether what the outer side has had more than the inner one between two rests is framing. False: this
    end asked and was answered for itself, or had less than it handed on; null: it cannot be told (more of
    one way alone, next to nothing that went out, some of it not counted yet)."""
    outer, inner = _less(now.outer, then.outer), _less(now.inner, then.inner)
    n = max(outer.in_n + outer.out_n, inner.in_n + inner.out_n)
    begun_b = HANDSHAKE_B * outer.n_fresh
    most_b = MOST_EACH_B * n + PLAY_B + begun_b
    ways = (outer.in_b, inner.out_b), (outer.out_b, inner.in_b)
    if any(not LEAST * b - PLAY_B <= a <= MOST * b + most_b for a, b in ways):
        return None
    if inner.out_b > ONE_WAY * inner.in_b or inner.in_b > max(BULK_B, ONE_WAY * inner.out_b):
        return None
    more_in, more_out = (a - b for a, b in ways)
    if min(more_in, more_out) < -CLOSED_B:
        return False
    begun_b += SLACK_B + OPENED_B * inner.n_fresh
    asks = more_out > _frames_b(inner.in_said, inner.in_b, outer.in_b) + begun_b
    is_thanked = more_in > _frames_b(inner.out_said, inner.out_b, outer.out_b) + begun_b
    # short thanks: they are a message all the same, and so is the request
    said = outer.in_said - inner.out_said, outer.out_said - inner.in_said
    is_heard = min(said) >= SAID and inner.n_fresh == 0
    if asks and (is_thanked or is_heard):
        return False
    return None if asks or is_thanked or _talks_nearby(now) else True


def _talks_nearby(all_of: Totals) -> bool:
    """Whether much more was said to and by the service nearby than to and by the far end, so far: taking a
    task and storing its result are two questions nearby and one outside. A tunnel makes no more of them."""
    outer, inner = all_of
    ways = (
        (outer.in_n, outer.in_said, inner.out_said),
        (outer.out_n, outer.out_said, inner.in_said),
    )
    # of a message with many segments half of the last one is empty; larger segments cannot be told apart
    return all(nearby >= ENOUGH_SAID and 0 < min(n, 2 * said) <= FEWER * nearby for n, said, nearby in ways)


def _frames_b(n: float, handed_b: int, other_b: int) -> float:
    return FRAME_B * n + handed_b / PART_B + other_b / WINDOWS_B


def _more(side: Side, flows: list[Moved]) -> Side:
    return Side(
        side.in_b + sum(f.in_b for f in flows),
        side.out_b + sum(f.out_b for f in flows),
        side.in_n + sum(f.in_n for f in flows),
        side.out_n + sum(f.out_n for f in flows),
        side.in_said + sum(_said(f.near, f.in_n, f.in_b) for f in flows),
        side.out_said + sum(_said(f.near, f.out_n, f.out_b) for f in flows),
        side.n_fresh + sum(f.n_fresh for f in flows),
    )


def _said(near: int, n: int, moved_b: int) -> float:
    """Messages: within a node a segment has up to 64 KiB, elsewhere all but the last of each are full."""
    return n if near == LOOPBACK else n - moved_b / SEGMENT_B


def _less(now: Side, then: Side) -> Side:
    return Side._make(a - b for a, b in zip(now, then, strict=True))
