"""The history store as `audit` uses it: what earlier audits learnt, and what this one leaves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slurm_guard.audit.facts import Snapshot
    from slurm_guard.config import Config
    from slurm_guard.history import PastCost
    from slurm_guard.model import Audit, Skip


def history_folder(history: Path | None, lake: Path | None, settings: "Config") -> Path:
    """The store's folder: the one named, else the configured one, else `history` in the lake that is read."""
    if history is not None:
        return history
    told = settings.lake.history
    return Path(told) if told else (lake or Path(settings.lake.path)) / "history"


def load_history(
    folder: Path | None, cluster: str, before_at: float, settings: "Config"
) -> "tuple[Snapshot | None, tuple[Skip, ...]]":
    """Rows of the nights that ended before an instant, and a Skip for each file that cannot be read; null
    where no runs are to be compared."""
    from slurm_guard.audit.facts import Snapshot
    from slurm_guard.lake.history import Reach, read_before

    reach = Reach(settings.lake.history_days, settings.lake.history_rows)
    if folder is None or reach.days <= 0:
        return None, ()
    found, skips = read_before(folder, "costs", cluster, before_at, reach)
    return Snapshot(found.frame, found.sha256, found.n_nights), skips


def leave_history(folder: Path, done: "Audit", costs: "Sequence[PastCost]", settings: "Config") -> None:
    """Put this audit's rows into the store, in place of those of the same window. Where they cannot be
    written, one line says so on stderr: the document stands, and later audits lack a night."""
    import typer

    from slurm_guard.lake.history import Reach, write_night

    reach = Reach(settings.lake.history_days, settings.lake.history_rows)
    if reach.days <= 0:
        return
    try:
        write_night(folder, "costs", (done.cluster, done.from_at, done.until_at), costs, reach)
    except OSError as error:
        typer.echo(
            f"{folder} cannot be written ({error.strerror}): later audits will not know this night; "
            "see [lake] history, or say --no-remember",
            err=True,
        )
