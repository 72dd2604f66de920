"""Phases that a log names after its last record of progress, and how long they may be.

Between two records of progress the later one ends a phase; after the last one only the log's own words do. So
what is named there is bounded: by the time that the run trained, and where the log does not tell the end, by
the longest phase that it named before.
"""

from dataclasses import dataclass

from slurm_guard.audit.track import Mark

# `unread`: the log goes on with a counter that no reader understands, which is no silence.
PHASES = frozenset({"eval", "checkpoint", "unread"})
# Evaluations were seen to take up to 86 % of an honest run's time: six times the training. Documented
# (rulings 13).
MOST = 6.0
HANDOVER_S = 120.0  # from the last progress to the word that the training has ended. Judgement.
LIKE = 1.35  # of the longest phase that the log named before: one that it does not end. Judgement (ALIKE).


@dataclass(frozen=True, slots=True)
class Named:
    """[from_at, until_at) that the log names; `over`: beyond what its phases may take."""

    from_at: float
    until_at: float
    over: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: of one phase between two records, of one without an end, of all together."""

    one_s: float
    open_s: float
    all_s: float


def limits(trained_s: float, longest_s: float, silence_s: float) -> Limits:
    """How long named phases may be in a run that trained for `trained_s`; `longest_s`: the longest before;
    `silence_s`: from how long on a log is silent.
    """
    return Limits(max(trained_s, silence_s), LIKE * longest_s, max(MOST * trained_s, silence_s))


def after(marks: tuple[Mark, ...], last_at: float, until_at: float, most: Limits) -> list[Named]:
    """What the log names from its last progress on, in order and without holes; empty: nothing.

    A stretch between two records is named where either of both names a phase: some logs tell of an evaluation
    when it begins, others when it has ended. That the training has ended tells of no phase and ends none; a
    final evaluation that the log names behind it counts where the word came soon after the last progress.
    """
    found: list[Named] = []
    reach, opened, left_s = last_at, False, most.all_s
    for mark in sorted((m for m in marks if m.at >= last_at), key=lambda m: m.at):
        names, at = mark.phase in PHASES, min(mark.at, until_at)
        if mark.phase == "end":
            if opened:
                found += _stretch(reach, min(at, reach + most.open_s), left_s)
                reach, opened = min(at, reach + most.open_s), False
            if at - reach > HANDOVER_S:
                break
            continue
        if mark.phase == "init":
            break
        if names or opened:
            found += _stretch(reach, at, min(most.one_s, left_s))
            left_s = max(0.0, left_s - (at - reach))
            reach = at
        opened = names
    if opened:
        found += _stretch(reach, min(until_at, reach + most.open_s), left_s)
    return found


def _stretch(a: float, b: float, most_s: float) -> list[Named]:
    """The stretch, cut where it becomes longer than it may be."""
    edge = min(b, a + most_s)
    parts = [Named(a, edge), Named(edge, b, over=True)]
    return [part for part in parts if part.until_at > part.from_at]
