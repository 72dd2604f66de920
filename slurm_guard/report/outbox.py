"""Sends what waits in the letterbox: each letter once, the important ones first, no faster than is allowed.

A letter's state says `sending` before a server hears of it, a flag is set just before the step after which it
may have been taken, and its fate is written after that. A process that dies before the flag has sent nothing,
and the next run tries again; one that dies after it leaves the letter unclear, and so does a machine that
stops while it is being sent: it is said, and never sent again by itself.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slurm_guard.clock import Clock
from slurm_guard.report.letter import CHAT, COORDINATOR, DIGEST, OWNER
from slurm_guard.report.letterbox import (
    DAY_S,
    PENDING,
    Kept,
    Letterbox,
    Status,
    load_letter,
    may_have_gone,
)
from slurm_guard.report.transport import Transport

_ORDER = (DIGEST, CHAT, COORDINATOR, OWNER)
_LIMITED = (COORDINATOR, OWNER)
_NIGHT_S = 20 * 3600  # nightly runs are a day apart, and not to the minute. Judgement
_LONGEST_S = 7 * DAY_S  # judgement: nobody needs a digest of last week's beside this week's
_MOST_TROUBLES = 2  # in a row; each may take a time-out, and a thousand letters would take a night
_MAIL = "mail"  # chats and letters go different ways
_DIED = "an earlier run ended while it was handed over, and nobody knows whether it arrived"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go out. `quiet`: today only what holds an ALERT, or a digest of one, does."""

    per_minute: int = 60
    per_night: int = 500
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of a letter after a run. `now`: whether this run tried. `trouble`: slug of what was in
    the way of all letters; empty: nothing."""

    kept: Kept
    now: bool
    trouble: str = ""


class Outbox:
    """One run over a letterbox, whose lock the caller holds."""

    def __init__(self, box: Letterbox, clock: Clock, limits: Limits) -> None:
        self._box, self._clock, self._limits = box, clock, limits
        self._sent_s: deque[float] = deque()
        self._troubles: dict[str, list[str]] = {_MAIL: [], CHAT: []}  # in a row, by way

    def deliver(self, carriers: Mapping[str, Transport]) -> list[Delivery]:
        """Try everything that waits and may go. `carriers`: by kind of letter; others' letters wait."""
        found = self._box.recent()
        kept = [self._settle(each) for each in found]
        waiting = _latest(kept)
        late = [k for k in kept if k.state.status in PENDING and k not in waiting]
        done = [
            Delivery(k, False)
            for k, was in zip(kept, found, strict=True)
            if k is not was and k not in waiting
        ]
        done += [Delivery(self._box.note(k, Status.SUPERSEDED, "audited again"), False) for k in late]
        n_left = self._limits.per_night - self._n_lately(kept)
        for each in sorted(waiting, key=lambda k: (_rank(k), k.state.day, k.state.queued_at, k.path)):
            if self._clock.now_at() - each.state.queued_at > _LONGEST_S:
                done.append(Delivery(self._box.note(each, Status.EXPIRED, "waited for a week"), False))
                continue
            why, trouble = self._obstacle(each, carriers, n_left)
            if why:
                done.append(Delivery(self._wait(each, why), False, trouble))
                continue
            n_left -= each.state.kind in _LIMITED
            done.append(self._try(each, carriers[each.state.kind]))
        return done

    def _wait(self, kept: Kept, why: str) -> Kept:
        """Why it still waits; what is on disk already is not written again for thousands of letters."""
        return kept if kept.state.detail == why else self._box.note(kept, kept.state.status, why)

    def _settle(self, kept: Kept) -> Kept:
        """What an earlier run left in the middle."""
        if kept.state.status is not Status.SENDING:
            return kept
        if may_have_gone(kept):
            return self._box.note(kept, Status.UNCLEAR, _DIED)
        return self._box.note(kept, Status.DEFERRED, "an earlier run ended before it was handed over")

    def _n_lately(self, kept: Sequence[Kept]) -> int:
        since_at = self._clock.now_at() - _NIGHT_S
        gone = (Status.SENT, Status.UNCLEAR)
        return sum(
            k.state.kind in _LIMITED and k.state.status in gone and k.state.at > since_at for k in kept
        )

    def _obstacle(self, kept: Kept, carriers: Mapping[str, Transport], n_left: int) -> tuple[str, str]:
        """Why it has to wait, and the slug of that where it is a fault; empty: it need not."""
        kind = kept.state.kind
        if kind not in carriers:
            return "nothing is configured that carries it", ""
        if self._limits.quiet and not kept.state.alert:
            return "a quiet day", ""
        if kind in _LIMITED and n_left <= 0:
            return (
                f"more than mail.per_night ({self._limits.per_night}) letters; it goes with the next run",
                "",
            )
        troubles = self._troubles[_way(kept)]
        stuck = len(troubles) >= _MOST_TROUBLES
        return ("not tried: those before it failed the same way", troubles[-1]) if stuck else ("", "")

    def _try(self, kept: Kept, carrier: Transport) -> Delivery:
        try:
            letter = load_letter(kept)
        except OSError as error:
            said = f"its file is gone: {error.strerror}"
            return Delivery(self._box.note(kept, Status.EXPIRED, said), False)
        self._pace()
        begun = self._box.begin(kept)
        outcome = carrier.send(letter, lambda: self._box.hand_over(begun))
        after = self._box.note(begun, Status(outcome.fate.value), outcome.detail)
        troubles = self._troubles[_way(kept)]
        troubles[:] = [*troubles, outcome.trouble] if outcome.trouble else []
        return Delivery(after, True, outcome.trouble)

    def _pace(self) -> None:
        """No more than `per_minute` in any minute."""
        while len(self._sent_s) >= self._limits.per_minute:
            wait_s = 60.0 - (self._clock.mono_s() - self._sent_s[0])
            self._clock.sleep(wait_s)
            self._sent_s.popleft()
        self._sent_s.append(self._clock.mono_s())


def _latest(kept: Sequence[Kept]) -> list[Kept]:
    """Of the letters that wait, those whose night's reader has none that was queued later."""
    last = {k.series: k.path for k in kept}
    return [k for k in kept if k.state.status in PENDING and last[k.series] == k.path]


def _rank(kept: Kept) -> int:
    return _ORDER.index(kept.state.kind) if kept.state.kind in _ORDER else len(_ORDER)


def _way(kept: Kept) -> str:
    return CHAT if kept.state.kind == CHAT else _MAIL
