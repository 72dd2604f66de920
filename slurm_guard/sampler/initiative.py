"""Who leads: does the far end ask through this process, or does this process ask the far end? Pure.

A worker that fetches its tasks outside and has a local server answer them hands on as many bytes as a
tunnel. What differs is who has the last word on the outer connection. In a tunnel a question comes in, goes
inwards at once, the answer goes out at once, and then there is rest until somebody outside asks again. What
asks outside itself, by request and response, is answered there: after its own last word, a round trip later
or more, the far end's comes, which goes nowhere. The kernel tells when data last went and came on each
connection; a look at rest shows the order.

An uplink that gets nearby and puts outside, a mirror that gets outside and puts nearby, and a tunnel that
polls by HTTP all look like what asks outside: without the order of a tunnel there is no certainty.
"""

from __future__ import annotations

from math import inf

from slurm_guard.light import TYPE_CHECKING
from slurm_guard.sampler.ownwords import Totals, is_framing

if TYPE_CHECKING:
    from slurm_guard.sampler.moved import Moved

# From a word's coming to its going on. Measured: 0 to 4 on a busy machine, and 36 to 52 where a program lets
# small segments wait (Nagle) for an acknowledgement that the other end delays by 40 (TCP_DELACK_MIN)
AT_ONCE_MS = 60
TICK_MS = 5  # a step of the kernel's clock at 250 Hz; the two ends are read within a millisecond. Measured
# A round trip, or the inner service's time to answer, from which on the order can be told by such a clock
ORDERED_MS = 10
# Nothing moved on either side for so long: whoever was going to answer at once has. Judgement: web services
# acknowledge in some ten to a few hundred milliseconds, so that one rest says little, a long one more.
REST_MS, LONG_REST_MS, VERY_LONG_REST_MS = 100, 1_000, 5_000
KEPT_MS = AT_ONCE_MS  # a word that went nowhere for so long is not handed on
# More than this must have been said on the outer side alone, or it was framing, a ping or a window: 6 to 52
# bytes each in WebSockets and ssh (measured); the head of an HTTP answer is 100 to 400. Judgement
SAID_B, SAID_EACH_B = 64, 12  # in all, and for each segment
WINDOWS_B = (
    1024  # of the other way for one byte more: ssh's windows are 36 for 96 KiB and less. Measured, twice
)
PING_B = 40  # HTTP/2's is 17, in TLS 39 (documented), a WebSocket's 6 to 10 (measured)
# ssh's keep-alive is 52 to 100, by its cipher (documented), paramiko's 64 (measured): a look in which nothing
# else moved says nothing. A request over HTTP is more
KEEP_ALIVE_B = 104
# Sending more than a first window (RFC 6928: ten segments) takes round trips, and more where some is lost.
# Measured: up to 5. Judgement
WINDOW_B, ROUNDS = 14_600, 8
# Rests that speak for the far end, a long one twice, after the first. In traces of tunnels they were nearly
# all, in those of 16 workers whose far end takes 0.2 to 5 s to acknowledge none of 370; before it was asked
# what this end had said for itself (ownwords.py) half of them and more were. Some more than one: an uplink's
# thanks fit now and then. Judgement
SURE_RESTS = 5
# as many times more often. Measured: a tunnel's far end has the last word now and then (ssh's windows,
# keep-alives), a worker's mostly. Judgement
MAJORITY = 8
ENOUGH_ASKED = 8  # that speak against it, where fewer speak for it: looks once a second end. Judgement


def is_led(outer: Moved, inner: list[Moved]) -> bool | None:
    """What a look at both shows. True: the last was a question from outside and its answer, so far.
    False: one end's last word went nowhere, or this process said something of its own outside.
    Null: neither."""
    sent = min((f.sent_ms for f in inner if f.sent_ms is not None), default=None)
    received = min((f.recv_ms for f in inner if f.recv_ms is not None), default=None)
    out, came = outer.sent_ms, outer.recv_ms
    if sent is None or received is None or out is None or came is None:
        return None
    at_once_ms = AT_ONCE_MS + (ROUNDS * (outer.rtt_ms or 0) if outer.out_b > WINDOW_B else 0)
    more_in = outer.in_b - sum(f.out_b for f in inner) >= _framing_b(outer.in_n, outer.out_b)
    more_out = outer.out_b - sum(f.in_b for f in inner) >= _framing_b(outer.out_n, outer.in_b)
    # ages: what is less is later
    is_answered_by_far = more_in and KEPT_MS <= came < min(sent - AT_ONCE_MS, received - TICK_MS)
    is_own = more_out and out < received - at_once_ms
    is_kept = KEPT_MS <= received < out - AT_ONCE_MS
    if is_answered_by_far or is_own or is_kept:
        return None if _is_unknown(inner) else False
    in_at_once = -TICK_MS <= came - sent <= AT_ONCE_MS
    is_answered = received <= sent + TICK_MS
    out_at_once = -TICK_MS <= received - out <= at_once_ms
    is_ordered = max(outer.rtt_ms or 0, sent - received) >= ORDERED_MS
    return True if in_at_once and is_answered and out_at_once and is_ordered else None


def _framing_b(n: int, other_b: int) -> int:
    """What `n` segments may have in framing, beside so much the other way."""
    return max(SAID_B, SAID_EACH_B * n) + other_b // WINDOWS_B


def _is_unknown(inner: list[Moved]) -> bool:
    """Whether some of what moved has ended: when it last did is not told."""
    return any(f.moved_b and f.sent_ms is None and f.recv_ms is None for f in inner)


class Rests:
    """What the rests after looks that fit have shown."""

    __slots__ = ("_may_be", "_n_busy", "_n_said", "_then", "is_led", "n_asked", "n_led")

    def __init__(self) -> None:
        self.n_led = self.n_asked = 0
        self.is_led = False  # the far end leads, beyond doubt; what was said once stays said
        self._n_said = 2  # how often this rest has said something; two is all
        self._may_be = False  # it may be a led one that was too short yet
        self._n_busy = 0
        self._then: Totals | None = None  # at the last rest that looked led

    @property
    def is_asking(self) -> bool:
        """This end asks, as far as there is any point in looking more closely."""
        return not self.is_led and self.n_asked >= ENOUGH_ASKED and self.n_led < self.n_asked

    def begin(self) -> None:
        """Bytes were handed on: what follows is another rest."""
        self._n_busy += 1
        self._n_said = 0
        self._may_be = False

    def ping(self, outer: Moved, inner: list[Moved]) -> None:
        """A look in which little moved, on the outer side alone. If that was a ping, the far end had nothing
        else to say."""
        is_ping = max(outer.in_b, outer.out_b) <= PING_B
        if is_ping and self._may_be and self._n_said == 0:
            self._count(led=True)
        if max(outer.in_b, outer.out_b) > KEEP_ALIVE_B and is_led(outer, inner) is False:
            self._count(led=False)
        self._n_said = 2

    def miss(self, outer: Moved, inner: list[Moved]) -> None:
        """A look in which what moved was not handed on: it may speak against the far end, not for it."""
        self._n_busy += 1
        self._n_said = 2
        if is_led(outer, inner) is False:
            self._count(led=False)

    def look(self, outer: Moved, inner: list[Moved], totals: Totals) -> None:
        """One look, in which bytes may have moved before. `totals`: what both sides have had since they were
        first seen."""
        if self._n_said >= 2:
            return
        led = is_led(outer, inner)
        rest_ms = min(_age_ms(end) for end in (outer, *inner))
        if led and rest_ms < REST_MS:
            self._may_be = True
            return
        if led is None or (self._n_said and not (led and rest_ms >= VERY_LONG_REST_MS)):
            return
        self._n_said += 1
        if led:
            # what it was before the first one nobody knows: that is where it begins
            led = None if self._then is None else is_framing(self._then, totals)
            self._then = totals
            if not led:
                self._n_said = 2  # the same rest says nothing for it later
            if led is None:
                return
        self._count(led=led, n=2 if rest_ms >= LONG_REST_MS else 1)

    def _count(self, *, led: bool, n: int = 1) -> None:
        self.n_led += n if led else 0
        # how a connection begins (keys, certificates, logging in) is the outer side's alone
        self.n_asked += not led and self._n_busy > 1
        self.is_led = self.is_led or self.n_led >= max(SURE_RESTS, MAJORITY * self.n_asked)


def _age_ms(end: Moved) -> float:
    """Since data last went or came; of one that has ended it is not told."""
    return min((ms for ms in (end.sent_ms, end.recv_ms) if ms is not None), default=inf)
