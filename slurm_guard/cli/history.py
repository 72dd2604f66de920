"""The history store as `audit` uses it: what earlier audits learnt, and what this one leaves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_guard.audit.facts import Grounds, Snapshot, Traces
    from slurm_guard.config import Config
    from slurm_guard.history import PastCost, PastGround, PastTrace
    from slurm_guard.model import Audit, Skip

MOST_TRACES = 100_000  # rows of a kilobyte. Judgement: 90 nights of 1,100 logs, 20 of 5,000


def history_folder(history: Path | None, lake: Path | None, settings: "Config") -> Path:
    """The store's folder: the one named, else the configured one, else `history` in the lake that is read."""
    if history is not None:
        return history
    told = settings.lake.history
    return Path(told) if told else (lake or Path(settings.lake.path)) / "history"


def load_history(
    folder: Path | None, cluster: str, before_at: float, settings: "Config"
) -> "tuple[Snapshot | None, Grounds | None, Traces | None, tuple[Skip, ...]]":
    """Rows of the nights that ended before an instant (costs, what trainings had passed, and what losses are
    known by), and a Skip for each file that cannot be read; null where nothing is to be remembered."""
    from slurm_guard.audit.facts import Grounds, Snapshot, Traces
    from slurm_guard.lake.history import Reach, read_before

    reach = Reach(settings.lake.history_days, settings.lake.history_rows)
    if folder is None or reach.days <= 0:
        return None, None, None, ()
    costs, skips = read_before(folder, "costs", cluster, before_at, reach)
    grounds, more = read_before(folder, "grounds", cluster, before_at, reach)
    short = Reach(reach.days, min(reach.rows, MOST_TRACES))
    traces, most = read_before(folder, "traces", cluster, before_at, short)
    return (
        Snapshot(costs.frame, costs.sha256, costs.n_nights),
        Grounds(grounds.frame, grounds.sha256, grounds.n_nights),
        Traces(traces.frame, traces.sha256, traces.n_nights),
        (*skips, *more, *most),
    )


def leave_history(
    folder: Path,
    done: "Audit",
    rows: "tuple[Sequence[PastCost], Sequence[PastGround], Sequence[PastTrace]]",
    settings: "Config",
) -> None:
    """Put this audit's rows into the store, in place of those of the same window. Where they cannot be
    written, one line says so on stderr: the document stands, and later audits lack a night."""
    import typer

    from slurm_guard.lake.history import Reach, write_night

    reach = Reach(settings.lake.history_days, settings.lake.history_rows)
    if reach.days <= 0:
        return
    try:
        for table, those in zip(("costs", "grounds", "traces"), rows, strict=True):
            most = min(reach.rows, MOST_TRACES) if table == "traces" else reach.rows
            night = (done.cluster, done.from_at, done.until_at)
            write_night(folder, table, night, those, Reach(reach.days, most))
    except OSError as error:
        typer.echo(
            f"{folder} cannot be written ({error.strerror}): later audits will not know this night; "
            "see [lake] history, or say --no-remember",
            err=True,
        )
