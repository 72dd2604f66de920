"""GPU work of a run's processes outside its allocation: in none of its sums, and said beside them."""

from collections.abc import Mapping, Sequence

from slurm_guard.model import Outside, Run
from slurm_guard.report import words
from slurm_guard.report.words import Unit

Beyond = Mapping[str, Sequence[Outside]]  # by the id of the run


def by_run(outside: Sequence[Outside]) -> Beyond:
    """What is known to come from a run."""
    found: dict[str, list[Outside]] = {}
    for each in outside:
        if each.run is not None and each.gpu_ms > 0:
            found.setdefault(each.run, []).append(each)
    return found


def amount(run: Run, beyond: Beyond, unit: Unit) -> str:
    """`1.00 GPU-h after its end`; empty where there is none."""
    own = beyond.get(run.id, ())
    return f"{unit.full(sum(o.gpu_ms for o in own))} {_where(run, own)}" if own else ""


def sentence(run: Run, beyond: Beyond, unit: Unit) -> str:
    """The same beside the run's own bounds, with how many processes."""
    own = beyond.get(run.id, ())
    if not own:
        return ""
    n = len({(o.node, o.pid) for o in own})
    who = "a process of it" if n == 1 else f"{words.plural(n, 'process', 'processes')} of it"
    return f"Beside that, {who} worked {amount(run, beyond, unit)}, which is in none of its sums."


def _where(run: Run, own: Sequence[Outside]) -> str:
    after = run.end_at is not None and all(o.start_at >= run.end_at for o in own)
    return "after its end" if after else "outside its allocation"
