"""Progress that repeats earlier progress, in words: a fact about the job, and no more."""

from collections.abc import Sequence

from slurm_guard.model import Account, Judgement, Redone
from slurm_guard.report import words
from slurm_guard.report.safe import clean_or_dash
from slurm_guard.report.view import Fact
from slurm_guard.report.words import Unit


def facts(judgement: Judgement, unit: Unit) -> tuple[Fact, ...]:
    """Lines of a run's card; none where its log repeats nothing and leaves nothing open."""
    redone = judgement.progress.redone
    if redone is None:
        return ()
    found = []
    if redone.redone_units > 0:
        found.append(_redone(judgement, redone, unit))
    if redone.n_begun_anew:
        passed = many(redone.perhaps_units, judgement)
        said = "another training, or the same from scratch: no log says which, and it counts as new"
        more = f"; {passed} of them where the count had been before" if redone.perhaps_units > 0 else ""
        found.append(Fact("Count begun anew", words.plural(redone.n_begun_anew, "time"), said + more))
    if redone.n_untold:
        said = "which training it goes on with, and how far that had come, is not known: it counts as new"
        found.append(Fact("Count begun above its first value", words.plural(redone.n_untold, "time"), said))
    return tuple(found)


def _redone(judgement: Judgement, redone: Redone, unit: Unit) -> Fact:
    progress = judgement.ledger_gpu_ms.get(Account.PROGRESS.value, 0)
    gross = redone.net_units + redone.redone_units
    value = f"{words.measure(redone.redone_units, '').strip()} of {many(gross, judgement)}"
    note = f"{unit.full(redone.gpu_ms)} of {unit.full(progress)} of progress"
    if redone.n_resumes:
        note += f", after {words.plural(redone.n_resumes, 'restart')}"
    if redone.earlier_units > 0:
        note += f"; an earlier run had made {many(redone.earlier_units, judgement)} of them"
    return Fact("Redone after a restart", value, note)


def many(units: float, judgement: Judgement) -> str:
    """An amount of progress with its unit in the plural: 1,500 steps."""
    return words.measure(units, plural_unit(judgement.progress.unit))


def plural_unit(unit: str | None) -> str:
    """The log's unit as it stands behind a number."""
    shown = clean_or_dash(unit, 20)
    return shown if shown.endswith("s") else f"{shown}s"


def beside_progress(judgement: Judgement, unit: Unit) -> str:
    """What stands behind the progress account's share; empty where nothing was redone."""
    redone = judgement.progress.redone
    return f", {unit.full(redone.gpu_ms)} of it redone" if redone is not None and redone.gpu_ms > 0 else ""


def of_night(judgements: Sequence[Judgement], unit: Unit) -> tuple[Fact, ...]:
    """One line over all runs; none where nothing was redone."""
    told = [j.progress.redone for j in judgements if j.progress.redone is not None]
    runs = [r for r in told if r.redone_units > 0]
    if not runs:
        return ()
    progress = sum(j.ledger_gpu_ms.get(Account.PROGRESS.value, 0) for j in judgements)
    share = words.percent(sum(r.gpu_ms for r in runs), progress)
    where = f"{words.plural(sum(r.n_resumes for r in runs), 'restart')} in {words.plural(len(runs), 'run')}"
    value = f"{unit.full(sum(r.gpu_ms for r in runs))} of {unit.full(progress)} of progress"
    return (Fact("Redone", value, f"{share}, after {where}; explained like all logged progress"),)
