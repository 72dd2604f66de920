"""Install and upgrade from beginning to end: look first, then do, always able to go back."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from slurm_guard import __version__
from slurm_guard.errors import GuardError
from slurm_guard.install import live
from slurm_guard.install.adopt import adopt
from slurm_guard.install.apply import apply_plan, finish, needed
from slurm_guard.install.change import Action, Change, Places, Plan, Problem
from slurm_guard.install.checks import find_lacking, find_problems, refuse_prefix
from slurm_guard.install.disk import Disk
from slurm_guard.install.facts import Asked, gather
from slurm_guard.install.files import settings_paths
from slurm_guard.install.journal import APPLIED, APPLYING, UNDOING, Entry, Journal, Keeper
from slurm_guard.install.lock import held
from slurm_guard.install.marks import find_mark_problems, keep_changed
from slurm_guard.install.plan import make_plan

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan beside the machine: what of it is open, and an earlier journal."""

    keeper: Keeper
    plan: Plan
    changes: tuple[Change, ...]
    journal: Journal | None
    asked: Asked
    adopted: tuple[Entry, ...] = ()


def prepare(asked: Asked) -> Prepared:
    """Look and plan; nothing is changed."""
    refuse_prefix(asked.places.prefix)
    keeper = Keeper(Disk(asked.places), asked.places.journal)
    journal = keeper.load()
    _refuse_half_undone(journal)
    with _readable():
        facts = gather(asked)
        plan = make_plan(facts)
        open_ = needed(keeper.disk, plan.changes)
        kept, said = keep_changed(keeper, journal, facts.conf, asked.places, open_)
        changes = tuple(kept)
        adopted = tuple(adopt(keeper, facts, plan.changes)) if journal is None else ()
    notes = [*plan.notes, *said]
    if adopted:
        notes.append(
            "an installation's journal is gone, its files are here: they are taken into a new one, so that"
            " uninstall finds them"
        )
    if journal is not None and journal.status == APPLYING:
        notes.insert(0, "an earlier installation stopped half-way: with --apply it is finished first")
    problems = find_lacking(asked.places, facts.have, asked.role)
    problems += find_problems(asked.places, facts.have, asked.role, changes, keeper.folder / "x")
    if journal is None or journal.status == APPLIED:
        problems += find_mark_problems(keeper, journal, changes)
    whole = replace(plan, notes=tuple(notes), problems=(*plan.problems, *problems))
    return Prepared(keeper, whole, changes, journal, asked, adopted)


def prepare_upgrade(places: Places) -> Prepared:
    """The files of ours that are there, as this release has them; the site's files are not looked at."""
    keeper = Keeper(Disk(places), places.journal)
    journal = must_have(keeper)
    _refuse_half_undone(journal)
    if journal.status != APPLIED:
        raise GuardError(
            "install-half-done",
            "the installation stopped half-way",
            "finish it by `slurm-guard install`, or take it back by `slurm-guard uninstall`",
        )
    options = dict(journal.options)
    conf = Path(options["slurm_conf"]) if options.get("slurm_conf") else None
    asked = Asked(journal.role, places, conf, options.get("slurm_version") or None, False, must_read=False)
    facts = gather(asked)
    plan = make_plan(facts)
    mine, notes = [], []
    for change in needed(keeper.disk, plan.changes):
        entry = journal.entry(change.path)
        if change.edit or change.keep or entry is None:
            continue
        merged = change.path in settings_paths(places)  # a site's lines are in it already
        if not merged and entry.first.kind == "none" and keeper.disk.look(change.path) != entry.after:
            notes.append(f"{keeper.disk.at(change.path)} was changed by somebody since: it is left as it is")
            continue
        mine.append(change)
    problems = tuple(find_problems(places, facts.have, journal.role, mine, keeper.folder / "x"))
    whole = Plan(journal.role, tuple(mine), (), (*notes, *_renewal(places, facts.systemd)), problems)
    return Prepared(keeper, whole, tuple(mine), journal, asked)


def _refuse_half_undone(journal: Journal | None) -> None:
    if journal is not None and journal.status == UNDOING:
        raise GuardError(
            "install-half-undone",
            "an uninstall was begun here and has not ended",
            "finish it first: slurm-guard uninstall --apply",
        )


def carry_out(ready: Prepared, say: Say) -> list[str]:
    """Do it. Gives what failed after the files were there; GuardErrors come before anything is changed."""
    refuse(ready.plan.problems)
    keeper = ready.keeper
    with held(keeper):
        if keeper.load() != ready.journal:  # the plan is of a time before that one
            raise GuardError(
                "install-busy",
                "nothing was changed: another install, upgrade or uninstall has ended since this one looked",
                "the same command again looks anew",
            )
        if ready.journal is not None and ready.journal.status == APPLYING:
            say("finishing the installation that had stopped half-way")
            finish(keeper, ready.journal)
            ready = prepare(ready.asked)
            refuse(ready.plan.problems)
        old = keeper.load()
        if ready.changes or old is None or old.release != __version__:
            asked = ready.asked
            told = {"slurm_conf": str(asked.slurm_conf or ""), "slurm_version": asked.slurm_version or ""}
            options = {name: value for name, value in told.items() if value}
            journal = apply_plan(keeper, Plan(ready.plan.role, ready.changes), options, ready.adopted)
            for change in ready.changes:
                say(f"done: {keeper.disk.at(change.path)}")
        else:
            journal = old
            say("all files were as they are to be")
        failed = live.run_actions(ready.plan.actions)
        backs = [action.undo for action in ready.plan.actions if action.undo]
        new = [back for back in backs if back not in journal.undo]
        if new:
            keeper.save(journal.put(undo=(*journal.undo, *new)))
        return failed


def renew_sampler(places: Places) -> list[str]:
    """After an upgrade under systemd: the new sampler goes on where the old one ended."""
    if not (places.is_live and os.path.isdir("/run/systemd/system")):
        return []
    words = ("systemctl", "try-restart", "slurm-guardd.service")
    return live.run_actions([Action(("systemctl", "daemon-reload"), "units"), Action(words, "the sampler")])


def refuse(problems: Sequence[Problem]) -> None:
    """All of them in one GuardError; nothing was changed."""
    if not problems:
        return
    words = "; ".join(problem.sentence for problem in problems)
    hints = list(dict.fromkeys(problem.hint for problem in problems if problem.hint))
    raise GuardError("install-problems", f"nothing was changed: {words}", "; ".join(hints))


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise GuardError(
            "install-problems",
            f"{error.filename} cannot be read",
            "look as root: nothing is changed without --apply",
        ) from None


def must_have(keeper: Keeper) -> Journal:
    """The journal, or a GuardError: nothing was installed."""
    journal = keeper.load()
    if journal is None:
        raise GuardError(
            "install-none",
            f"nothing was installed by `slurm-guard install`: there is no {keeper.disk.at(keeper.folder)}",
            "where its marks stand in slurm.conf all the same, `slurm-guard install --apply` writes it anew;"
            " what was put there by hand is taken away by hand",
        )
    return journal


def _renewal(places: Places, systemd: bool) -> list[str]:
    if places.is_live and systemd:
        return ["slurm-guardd.service is restarted; running jobs go on, what was sealed is kept"]
    return [
        f"the sampler of {node} goes on with the release that it began with; `kill {pid}` ends it, and"
        " the next job's prolog starts the new one"
        for node, pid in live.samplers(places).items()
    ]
