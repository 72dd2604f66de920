"""Uninstall from beginning to end: slurm.conf first, and the hooks only when nothing names them any more."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import join

from slurm_guard.errors import GuardError
from slurm_guard.install import live
from slurm_guard.install.change import Action, Places
from slurm_guard.install.checks import find_marked
from slurm_guard.install.disk import Disk
from slurm_guard.install.journal import Journal, Keeper
from slurm_guard.install.lock import held
from slurm_guard.install.marks import MOVE
from slurm_guard.install.named import named_on_disk
from slurm_guard.install.session import must_have, refuse
from slurm_guard.install.undo import Step, forget, undo, undo_steps

Say = Callable[[str], None]
DATA = ("spool", "progress", "lake", "reports", "own")
STAY = "the hooks stay for now, as a node drains when a program that Slurm names is gone"


@dataclass(frozen=True, slots=True)
class Removal:
    """How to uninstall. `now`: without Slurm's word that it has forgotten us; slurm.conf is read even so."""

    reconfigure: bool = False
    now: bool = False
    purge: bool = False


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an uninstall would do. `waiting`: why it would do no more than that; "": it would end.

    `purged`: folders that would go with all that is in them.
    """

    steps: tuple[Step, ...]
    waiting: str
    purged: tuple[Path, ...] = ()


def prepare_uninstall(places: Places, *, purge: bool = False) -> Outlook:
    """What would be taken back; nothing is changed. Slurm is not asked."""
    keeper = Keeper(Disk(places), places.journal)
    journal = _must_have(keeper, places, purge=purge)
    steps = _steps(keeper, journal, places, purge=purge)
    edits = [step for step in steps if step.entry.edit]
    marked = find_marked(keeper.disk, _touched(steps))
    refused = "; ".join((*filter(None, [_refused(edits)]), *(f"{p.sentence}: {p.hint}" for p in marked)))
    if refused:
        return Outlook((), refused)
    after = {step.entry.path: step.content for step in edits if step.content is not None}
    paths = [step.entry.path for step in edits]
    on_disk = named_on_disk(places, paths, after, with_sent=False)
    if not on_disk:
        return Outlook(tuple(steps), "", tuple(_purged(places)) if purge else ())
    return Outlook(tuple(edits), f"{on_disk}: {STAY}")


def take_back(places: Places, how: Removal, say: Say) -> list[str]:
    """slurm.conf first; the hooks only when Slurm names them no more. What stays, a sentence each."""
    if os.geteuid() != 0 and places.is_live:
        raise GuardError("install-problems", "only root can uninstall here")
    keeper = Keeper(Disk(places), places.journal)
    with held(keeper):
        if keeper.is_begun():
            keeper.forget()
            keeper.disk.remove_folder(places.state)
            say("an installation had ended before it changed anything: what it kept is removed")
            return []
        left = _take_back(keeper, places, how, say)
        for folder in (places.libexec, places.etc, places.run, places.state):
            keeper.disk.remove_folder(folder)
    return left


def _must_have(keeper: Keeper, places: Places, *, purge: bool) -> Journal:
    """After an uninstall without --purge nothing tells any more that what stayed was ours to remove."""
    try:
        return must_have(keeper)
    except GuardError as error:
        if error.slug != "install-none" or not purge or not (stayed := _purged(places)):
            raise
        hint = f"after an uninstall without --purge it is taken away by hand: rm -r {join(map(str, stayed))}"
        raise GuardError(error.slug, error.sentence, hint) from None


def _take_back(keeper: Keeper, places: Places, how: Removal, say: Say) -> list[str]:
    journal = _must_have(keeper, places, purge=how.purge)
    steps = _steps(keeper, journal, places, purge=how.purge)
    if refused := _refused(steps):
        raise GuardError("uninstall-changed", f"nothing was changed: {refused}", MOVE)
    refuse(find_marked(keeper.disk, _touched(steps)))
    left: list[str] = []
    first = [step for step in steps if step.entry.edit]
    for part in (first, [step for step in steps if not step.entry.edit]):
        if part is not first:
            _make_sure(places, how, first, left, say)
            left += _end_services(places, journal, say)
        done = undo(keeper, journal, part)
        left += done.left
        for line in done.said:
            say(line)
    if how.purge:
        left += _purge(places, say)
    forget(keeper, journal)
    return left


def _steps(keeper: Keeper, journal: Journal, places: Places, *, purge: bool) -> list[Step]:
    """Without those in a folder that is purged: nothing of it is put back, and nothing stays."""
    steps = undo_steps(keeper, journal)
    if not purge:
        return steps
    going = _doomed(places)
    return [step for step in steps if step.entry.edit or not any(map(step.entry.path.is_relative_to, going))]


def _touched(steps: Sequence[Step]) -> list[Path]:
    """Files that are written or removed."""
    return [step.entry.path for step in steps if step.what in ("restore", "take-out", "remove")]


def _refused(steps: Sequence[Step]) -> str:
    """Words of somebody's between our marks: taken out with them they would be lost."""
    return "; ".join(step.sentence for step in steps if step.what == "refuse")


def _make_sure(places: Places, how: Removal, edits: Sequence[Step], left: Sequence[str], say: Say) -> None:
    """Hooks may go only when nothing names them: a `Prolog=` without a program drains the node.

    `--now` leaves Slurm unasked, never the file: after its next start Slurm runs with what that says.
    """
    paths = [step.entry.path for step in edits]
    on_disk = named_on_disk(places, paths, {}, with_sent=False)
    if on_disk:
        raise _waiting(on_disk, "", left, say)
    if places.root is not None or how.now:
        return
    if how.reconfigure and edits:
        live.reconfigure()
        say("scontrol reconfigure: done")
        if live.wait_until_forgotten(places):
            return
    named = live.running_lines(places)
    on_disk = named_on_disk(places, paths, {}, with_sent=True)
    if not on_disk and (named == [] or (named is None and not edits)):
        return
    says = f"Slurm still runs with {named[0]}" if named else "Slurm does not say what it runs"
    raise _waiting(on_disk or says, " (--reconfigure does the latter here; --now does not ask)", left, say)


def _waiting(why: str, more: str, left: Sequence[str], say: Say) -> GuardError:
    for sentence in left:
        say(sentence)
    return GuardError(
        "uninstall-waiting",
        f"{why}: {STAY}",
        "take the lines out of slurm.conf where it is kept, `scontrol reconfigure`, then the same command"
        f" again{more}",
    )


def _end_services(places: Places, journal: Journal, say: Say) -> list[str]:
    failed: list[str] = []
    if places.is_live:
        last = [words for words in journal.undo if "daemon-reload" in words]
        first = [words for words in journal.undo if words not in last]
        failed += live.run_actions([Action(words, "end it") for words in first])
    if places.root is None:
        for node in live.samplers(places):
            say(f"the sampler of {node} is ended")
        failed += live.stop_samplers(places)
    return failed


def _purge(places: Places, say: Say) -> list[str]:
    """What was seen and learnt, and a configuration that somebody wrote; accounts under --purge alone."""
    left = []
    for where in _purged(places):
        if where.is_symlink():
            left.append(f"{where} is a link: it stays, and so does what it leads to")
            continue
        try:
            shutil.rmtree(where)
            say(f"{where} is removed with all that was in it")
        except OSError as error:
            left.append(f"{where} could not be removed: {error}")
    return left


def _doomed(places: Places) -> list[Path]:
    return [*(places.state / name for name in DATA), places.etc, places.run]


def _purged(places: Places) -> list[Path]:
    """Those that are there, where they lie here."""
    return [where for path in _doomed(places) if (where := places.disk(path)).is_dir()]
