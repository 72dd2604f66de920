"""The object store that the lake is sent to, or fetched from."""

from collections.abc import Iterator

from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import HEAD, Check, Said, ok, problem, seen, warning

_DAY_S = 86_400.0
_LATE_S = 1.5 * _DAY_S  # judgement, as of a night that is missing (head.py)


def _store(facts: Facts) -> Iterator[Said]:
    state = seen(facts.store)
    if not state.url:
        return
    if not state.has_library:
        yield problem(
            f"lake.store names {state.url}, and boto3 is not installed", "pip install 'slurm-guard[s3]'"
        )
        return
    is_copy = state.kind == "copy"
    done = f"was {'fetched from' if is_copy else 'sent to'} {state.url}"
    if state.last_at is None:
        yield warning(f"the lake never {done} as a whole", "slurm-guard lake sync")
        return
    days = (facts.now_at - state.last_at) / _DAY_S
    if facts.now_at - state.last_at > _LATE_S:
        yield warning(f"the lake {done} as a whole {days:.0f} days ago", "slurm-guard lake sync")
    else:
        yield ok(f"the lake {done} {max(0.0, 24 * days):.0f} hours ago")


CHECKS = (
    Check(
        "store",
        "`lake.store`, where it is set: boto3 is installed, and when the store last had what the lake has",
        "Audits on other machines miss what was not sent; a call of `collect` that cannot send goes on.",
        "`slurm-guard lake sync`, which says what is wrong",
        HEAD,
        "no store is named",
        _store,
        "run it as root or as the user that audits",
    ),
)
