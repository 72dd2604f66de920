"""Install, upgrade and uninstall from beginning to end: look first, then do, always able to go back."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slurm_guard import __version__
from slurm_guard.errors import GuardError
from slurm_guard.install import live
from slurm_guard.install.apply import apply_plan, finish, needed
from slurm_guard.install.change import Action, Change, Places, Plan, Problem
from slurm_guard.install.checks import find_problems
from slurm_guard.install.disk import Disk
from slurm_guard.install.facts import Asked, gather, named_on_disk
from slurm_guard.install.journal import APPLIED, APPLYING, UNDOING, Journal, Keeper
from slurm_guard.install.plan import make_plan
from slurm_guard.install.undo import Step, forget, undo, undo_steps

Say = Callable[[str], None]
DATA = ("spool", "progress", "lake", "reports", "own")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan beside the machine: what of it is open, and an earlier journal."""

    keeper: Keeper
    plan: Plan
    changes: tuple[Change, ...]
    journal: Journal | None
    asked: Asked


def prepare(asked: Asked) -> Prepared:
    """Look and plan; nothing is changed."""
    keeper = Keeper(Disk(asked.places), asked.places.journal)
    journal = keeper.load()
    if journal is not None and journal.status == UNDOING:
        raise GuardError(
            "install-half-undone",
            "an uninstall was begun here and has not ended",
            "finish it first: slurm-guard uninstall --apply",
        )
    with _readable():
        facts = gather(asked)
        plan = make_plan(facts)
        changes = tuple(needed(keeper.disk, plan.changes))
    notes = list(plan.notes)
    if journal is not None and journal.status == APPLYING:
        notes.insert(0, "an earlier installation stopped half-way: with --apply it is finished first")
    problems = find_problems(asked.places, facts.have, asked.role, changes, keeper.folder / "x")
    whole = Plan(
        plan.role, plan.changes, plan.actions, tuple(notes), (*plan.problems, *problems), plan.by_hand
    )
    return Prepared(keeper, whole, changes, journal, asked)


def prepare_upgrade(places: Places) -> Prepared:
    """The files of ours that are there, as this release has them; the site's files are not looked at."""
    keeper = Keeper(Disk(places), places.journal)
    journal = _must_have(keeper)
    if journal.status != APPLIED:
        raise GuardError(
            "install-half-done",
            "the installation stopped half-way",
            "finish it by `slurm-guard install`, or take it back by `slurm-guard uninstall`",
        )
    options = dict(journal.options)
    conf = Path(options["slurm_conf"]) if options.get("slurm_conf") else None
    asked = Asked(journal.role, places, conf, options.get("slurm_version") or None, edit_conf=False)
    facts = gather(asked)
    plan = make_plan(facts)
    mine, notes = [], []
    for change in needed(keeper.disk, plan.changes):
        entry = journal.entry(change.path)
        if change.edit or change.keep or entry is None:
            continue
        if entry.first.kind == "none" and keeper.disk.look(change.path) != entry.after:
            notes.append(f"{keeper.disk.at(change.path)} was changed by somebody since: it is left as it is")
            continue
        mine.append(change)
    problems = tuple(find_problems(places, facts.have, journal.role, mine, keeper.folder / "x"))
    whole = Plan(journal.role, tuple(mine), (), (*notes, *_renewal(places, facts.systemd)), problems)
    return Prepared(keeper, whole, tuple(mine), journal, asked)


def carry_out(ready: Prepared, say: Say) -> list[str]:
    """Do it. Gives what failed after the files were there; GuardErrors come before anything is changed."""
    refuse(ready.plan.problems)
    keeper = ready.keeper
    with held(keeper):
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
            journal = apply_plan(keeper, Plan(ready.plan.role, ready.changes), options)
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


def prepare_uninstall(places: Places) -> tuple[Keeper, Journal, list[Step]]:
    """What would be taken back."""
    keeper = Keeper(Disk(places), places.journal)
    journal = _must_have(keeper)
    return keeper, journal, undo_steps(keeper, journal)


@dataclass(frozen=True, slots=True)
class Removal:
    """How to uninstall. `now`: without Slurm's word that it has forgotten us."""

    reconfigure: bool = False
    now: bool = False
    purge: bool = False


def take_back(places: Places, how: Removal, say: Say) -> list[str]:
    """slurm.conf first; the hooks only when Slurm names them no more. What stays, a sentence each."""
    if os.geteuid() != 0 and places.is_live:
        raise GuardError("install-problems", "only root can uninstall here")
    begun = Keeper(Disk(places), places.journal)
    if begun.is_begun():
        with held(begun):
            begun.forget()
        begun.disk.remove_folder(places.state)
        say("an installation had ended before it changed anything: what it kept is removed")
        return []
    keeper, journal, steps = prepare_uninstall(places)
    with held(keeper):
        left: list[str] = []
        first = [step for step in steps if step.entry.edit]
        for part in (first, [step for step in steps if not step.entry.edit]):
            if part is not first:
                _make_sure(places, how, bool(first), say)
                left += _end_services(places, journal, say)
            done = undo(keeper, journal, part)
            left += done.left
            for line in done.said:
                say(line)
        if how.purge:
            left += _purge(places, journal, say)
        forget(keeper, journal)
    for folder in (places.libexec, places.etc, places.run, places.state):
        keeper.disk.remove_folder(folder)
    return left


def refuse(problems: Sequence[Problem]) -> None:
    """All of them in one GuardError; nothing was changed."""
    if not problems:
        return
    words = "; ".join(problem.sentence for problem in problems)
    hints = list(dict.fromkeys(problem.hint for problem in problems if problem.hint))
    raise GuardError("install-problems", f"nothing was changed: {words}", "; ".join(hints))


@contextlib.contextmanager
def held(keeper: Keeper) -> Iterator[None]:
    """One at a time: a lock on the journal's folder, or on the nearest one above it."""
    folder = keeper.disk.at(keeper.folder)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise GuardError(
            "install-busy", f"another process holds {folder}", "wait until it has ended"
        ) from None
    finally:
        os.close(descriptor)


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


def _must_have(keeper: Keeper) -> Journal:
    journal = keeper.load()
    if journal is None:
        raise GuardError(
            "install-none",
            f"nothing was installed by `slurm-guard install`: there is no {keeper.disk.at(keeper.folder)}",
            "what was put there by hand is taken away by hand (prolog/README.md)",
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


def _make_sure(places: Places, how: Removal, edited: bool, say: Say) -> None:
    """Hooks may go only when nothing names them: a `Prolog=` without a program drains the node."""
    if places.root is not None or how.now:
        return
    if how.reconfigure and edited:
        live.reconfigure()
        say("scontrol reconfigure: done")
        if live.wait_until_forgotten(places):
            return
    named = live.running_lines(places)
    on_disk = named_on_disk(places)
    if named == [] and not on_disk:
        return
    if named is None and not edited and not on_disk:
        return
    says = f"Slurm still runs with {named[0]}" if named else "Slurm does not say what it runs"
    says = on_disk or says
    raise GuardError(
        "uninstall-waiting",
        f"{says}: the hooks stay for now, as a node drains when a program that Slurm names is gone",
        "take the lines out of slurm.conf where it is kept, `scontrol reconfigure`, then the same command"
        " again (--reconfigure does the latter here; --now does not ask)",
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


def _purge(places: Places, journal: Journal, say: Say) -> list[str]:
    """What was seen and learnt, and a configuration that somebody wrote; accounts under --purge alone."""
    left = []
    for path in (*(places.state / name for name in DATA), places.etc, places.run):
        where = Path(places.disk(path))
        if where.is_dir() and not where.is_symlink():
            try:
                shutil.rmtree(where)
                say(f"{where} is removed with all that was in it")
            except OSError as error:
                left.append(f"{where} could not be removed: {error}")
    return left
