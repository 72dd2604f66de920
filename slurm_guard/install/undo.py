"""Take an installation back, byte for byte; of files that somebody changed since, only our lines."""

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

from slurm_guard.install.blocks import DamagedBlock, has_block, take_out
from slurm_guard.install.disk import State, digest
from slurm_guard.install.files import CONFIGURATION, SETTINGS, holds_site_settings
from slurm_guard.install.journal import APPLIED, UNDOING, Entry, Journal, Keeper
from slurm_guard.install.marks import say_foreign


@dataclass(slots=True)
class Undone:
    """`said`: a line for each path; `left`: what stays and has to be looked at."""

    said: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """What undoing one entry comes to. `content` null: the path is removed (`what` says so) or stays."""

    entry: Entry
    what: str  # restore, take-out, remove, folder, keep, leave, refuse, nothing
    content: bytes | None = None
    sentence: str = ""


def undo_steps(keeper: Keeper, journal: Journal) -> list[Step]:
    """In the order in which they are done: the site's files first, so that nothing names what is gone."""
    edits = [entry for entry in journal.entries if entry.edit]
    others = [entry for entry in journal.entries if not entry.edit]
    return [_step(keeper, entry) for entry in [*edits, *reversed(others)]]


def undo(keeper: Keeper, journal: Journal, steps: Sequence[Step]) -> Undone:
    """Carry the steps out. A second run does what is missing."""
    keeper.save(journal.put(status=UNDOING))
    done = Undone()
    for step in steps:
        _carry_out(keeper, step, done)
    return done


def forget(keeper: Keeper, journal: Journal) -> None:
    """The journal and the folders that were made for it, when all is undone."""
    keeper.forget()
    for entry in reversed(journal.entries):
        if entry.after.kind == "folder" and entry.first.kind == "none":
            keeper.disk.remove_folder(entry.path)


def put_back(keeper: Keeper, journal: Journal, paths: Sequence[Path]) -> None:
    """After a failure in the middle: as it was before this time."""
    entries = [entry for entry in reversed(journal.entries) if entry.path in paths]
    for entry in entries:
        keeper.disk.unstage(entry.path)
    for entry in entries:
        now = keeper.disk.look(entry.path)
        if now == entry.was:
            continue
        if entry.was.kind == "none" and now.kind == "file":
            keeper.disk.remove(entry.path)
        elif entry.was.kind == "none" and now.kind == "folder":
            keeper.disk.remove_folder(entry.path)
        elif entry.was.kind == "file":
            keeper.disk.write(entry.path, keeper.content(entry.was.sha256), entry.was)
    back = journal.put(
        status=APPLIED,
        entries=tuple(
            dataclasses.replace(e, after=e.was) if e.path in paths else e
            for e in journal.entries
            if e.was.kind != "none" or e.path not in paths
        ),
    )
    if all(entry.first == entry.after for entry in back.entries if entry.after.kind != "folder"):
        forget(keeper, journal)
        return
    with contextlib.suppress(OSError):  # a full disk: then the old journal stays, which tells the same
        keeper.save(back)


def _step(keeper: Keeper, entry: Entry) -> Step:
    now = keeper.disk.look(entry.path)
    where = keeper.disk.at(entry.path)
    if entry.after.kind == "folder":
        return Step(entry, "folder" if entry.first.kind == "none" else "nothing")
    if now == entry.first:
        return Step(entry, "nothing")
    if entry.edit and now.kind == "file":
        return _step_of_edit(keeper, entry, now)
    if now.kind == "none":
        return Step(entry, "leave" if entry.first.kind == "file" else "nothing", None, f"{where} is gone")
    mine = entry.path.name == SETTINGS and entry.first.kind == "none" and now.kind == "file"
    if mine and holds_site_settings(entry.path, keeper.disk.read(entry.path)):
        return Step(entry, "keep", None, f"{where} holds lines of the site's: it stays")
    changed = now not in (entry.after, entry.was)
    if changed and entry.path.name == CONFIGURATION and entry.first.kind == "none":
        more = f"this uninstall with --purge takes it too; afterwards `rm {quote(where)}` does"
        return Step(entry, "keep", None, f"{where} holds the site's settings: it stays ({more})")
    if changed:
        return Step(entry, "leave", None, f"{where} was changed by somebody since: it stays")
    if entry.first.kind == "none":
        return Step(entry, "remove", None, f"{where} is removed")
    return Step(entry, "restore", keeper.content(entry.first.sha256), f"{where} is as before")


def _step_of_edit(keeper: Keeper, entry: Entry, now: State) -> Step:
    where = keeper.disk.at(entry.path)
    text = keeper.disk.read(entry.path)
    try:
        content = take_out(text)
    except DamagedBlock as error:
        if now == entry.after:
            return Step(entry, "restore", keeper.content(entry.first.sha256), f"{where} is as before")
        return Step(entry, "leave", None, f"{where}: {error}; take slurm-guard's lines out by hand")
    if foreign := say_foreign(keeper, entry, text):
        return Step(entry, "refuse", None, foreign)
    split = keeper.disk.n_names(entry.path) > 1
    more = "; its other names (hard links) keep slurm-guard's lines" if split else ""
    if digest(content) == entry.first.sha256:
        return Step(entry, "restore", content, f"{where} is as before, byte for byte{more}")
    if not has_block(text):
        return Step(entry, "nothing", None, f"{where} holds no line of ours any more")
    return Step(
        entry,
        "take-out",
        content,
        f"{where} was changed by somebody since: only our lines are taken out{more}",
    )


def _carry_out(keeper: Keeper, step: Step, done: Undone) -> None:
    entry = step.entry
    keeper.disk.unstage(entry.path)
    if step.what == "leave":
        done.left.append(step.sentence)
        return
    if step.what == "remove":
        keeper.disk.remove(entry.path)
    elif step.what == "folder" and not _is_of_journal(keeper, entry.path):
        if keeper.disk.look(entry.path).kind == "folder" and not keeper.disk.remove_folder(entry.path):
            done.said.append(f"{keeper.disk.at(entry.path)} is not empty: it stays")
            return
    elif step.content is not None:
        now = keeper.disk.look(entry.path)
        state = entry.first if step.what == "restore" else now
        keeper.disk.write(entry.path, step.content, state)
    if step.sentence:
        done.said.append(step.sentence)


def _is_of_journal(keeper: Keeper, path: Path) -> bool:
    return path in (keeper.folder / "blobs", keeper.folder, *keeper.folder.parents)
