"""Whether an epilog's word is to be believed.

Slurm before 26.05 may run an epilog again after the job has begun anew on the node, and up to 22.05 nothing
in its environment tells the two runs apart. So an end mark counts once the job's slurmstepds are gone, which
they are when slurmd runs an epilog; while one lives with processes of the run, so does the run.
"""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.light import TYPE_CHECKING, Callable
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.processes import ProcessTable
from slurm_guard.sampler.runs import Run, RunBook
from slurm_guard.sampler.writer import Instant

# An epilog's clock is read some ms before or after a step's start: judgement.
_SLACK_S = 1.0


if TYPE_CHECKING:
    from typing import Literal

    # What to do with an end mark now. `wait`: a step may be dying.
    Belief = Literal["end", "wait", "doubt"]


def judge(
    mark: wire.EndMark, stepds: list[Process], n_members: int, waited_s: float, grace_s: float
) -> Belief:
    """Whether a run ended with this mark; `stepds` live now, `n_members` processes of the run do."""
    if not stepds:
        return "end"
    if any(stepd.started.after_s(mark.at, mark.boot_s) > _SLACK_S for stepd in stepds):
        return "doubt"  # slurmd starts no step after a run's epilog: this is the next run's
    if waited_s < grace_s:
        return "wait"
    # A slurmstepd that hangs below nothing is no sign of life; one with the job's processes is.
    return "doubt" if n_members else "end"


class Endings:
    """Runs with an end mark that nobody has judged yet."""

    def __init__(self, book: RunBook, table: ProcessTable, grace_s: float) -> None:
        self.book, self.table, self.grace_s = book, table, grace_s
        self._since_s: dict[str, float] = {}

    def settle(self, now: Instant, tell: Callable[..., None]) -> None:
        """Judge every mark that waits; `tell(name, run, **detail)` takes the events."""
        waiting = [run for run in self.book.runs.values() if run.mark is not None]
        if any(run.key not in self._since_s for run in waiting):
            self.table.look_for_stepds(now)  # one may have begun since the last look at the tables
        for run in waiting:
            self._settle_one(run, now, tell)
        self._since_s = {key: s for key, s in self._since_s.items() if key in self.book.runs}

    def _settle_one(self, run: Run, now: Instant, tell: Callable[..., None]) -> None:
        mark = run.mark
        if mark is None:
            return
        waited_s = now.mono_s - self._since_s.setdefault(run.key, now.mono_s)
        # Once a younger run of the job is there, the job's slurmstepds may be that one's.
        stepds = [p for p in self.table.stepds(run.facts) if self.table.lives(p)] if run.alive else []
        members = [p for p in self.table.of_run(run.key) if self.table.lives(p)]
        belief = judge(mark, stepds, len(members), waited_s, self.grace_s)
        if belief == "wait":
            return
        run.mark = None
        self._since_s.pop(run.key, None)
        if belief == "end":
            run.take_end(mark)
            how = edit_of(run.ticket, mark)
            if how is not None:
                tell("intent-edited", run.key, how=how, mark_at=mark.at)
        elif not run.doubted:
            run.doubted = True
            detail = {"mark_at": mark.at, "n_processes": len(members), "waited_s": round(waited_s, 1)}
            tell("end-doubted", run.key, slurmstepds=sorted(p.pid for p in stepds)[:16], **detail)


def edit_of(ticket: wire.Ticket, mark: wire.EndMark) -> str | None:
    """How comment and extra differ from the prolog's: changed, added, gone; null: they do not.

    `gone` may also be an epilog that was handed neither. A mark of an older release has no hash: its texts,
    which are clipped alike, are compared.
    """
    first = ticket.intent_sha256 if mark.intent_sha256 is not None else _texts(ticket.comment, ticket.extra)
    last = mark.intent_sha256 if mark.intent_sha256 is not None else _texts(mark.comment, mark.extra)
    if first == last:
        return None
    return "added" if first is None else "gone" if last is None else "changed"


def _texts(comment: str | None, extra: str | None) -> tuple[str | None, str | None] | None:
    return None if comment is None and extra is None else (comment, extra)
