"""The site's words and earlier nights for tests, with everything plain that a test does not name."""

from dataclasses import replace

from slurm_guard.model import Run, Verdict
from slurm_guard.siteword import Asked, Cell, Disposition, Exemption, PastNight, Speaker, Subject

BY = Speaker("r.okoye", 0, 1007)
DAY = 86_400.0


def subject(run: Run) -> Subject:
    """The run as words keep it."""
    return Subject(run.id, run.cluster, run.job, run.user, run.uid, run.account, run.name, run.start_at)


def exemption(run: Run, *checks: str, **changes: object) -> Exemption:
    """Of this run alone, hard facts not meant, for ten days."""
    plain = Exemption(
        1, run.start_at + DAY, BY, subject(run), "run", checks, (), run.start_at + 10 * DAY, "agreed"
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def disposition(run: Run, word: str, *checks: str, **changes: object) -> Disposition:
    """Of an ALERT."""
    plain = Disposition(1, run.start_at + DAY, BY, subject(run), word, Verdict.ALERT, checks, "")
    return replace(plain, **changes)  # type: ignore[arg-type]


def asked(run: str, user: str = "eve", **changes: object) -> Asked:
    """A soft ALERT of an earlier night."""
    plain = Asked(
        run,
        user,
        "train",
        "h100",
        1,
        Verdict.ALERT,
        False,
        -1.0,
        ("extra-context", "work-residual"),
        (),
        False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def past(k: int, *rows: Asked, n: int = 100, user: str = "bob", gpu: str = "h100") -> PastNight:
    """The k-th night, with n calm runs of a user beside those that were called."""
    cells = (Cell(gpu, 1, user, Verdict.CLEAR, -7.0, n),) if n else ()
    return PastNight("c", k * DAY, (k + 1) * DAY, cells, rows)
