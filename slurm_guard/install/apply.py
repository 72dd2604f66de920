"""Carry out a plan: all bytes are kept and staged first, then each file is put in its place by one rename."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.install.adopt import keep_adopted
from slurm_guard.install.blocks import DamagedBlock, take_out
from slurm_guard.install.change import Change, Plan
from slurm_guard.install.disk import ABSENT, Disk, State, digest
from slurm_guard.install.journal import APPLIED, APPLYING, Entry, Journal, Keeper
from slurm_guard.install.undo import put_back


def needed(disk: Disk, changes: Iterable[Change]) -> list[Change]:
    """Those that are not as they are to be already."""
    return [change for change in changes if not _is_done(disk, change)]


def apply_plan(keeper: Keeper, plan: Plan, options: dict[str, str], adopted: Sequence[Entry] = ()) -> Journal:
    """The files of the plan. On a failure everything is put back, and the failure raised.

    `adopted`: files that are as they are to be, of an installation whose journal is gone.
    """
    old = keeper.load()
    changes = needed(keeper.disk, plan.changes)
    try:
        first = old or Journal(APPLIED, plan.role, tuple(adopted))
        journal = _keep_all(keeper, first, plan.role, changes, options)
        keep_adopted(keeper, adopted)
    except Exception:
        if old is None:  # nothing was changed yet, and nothing stays
            keeper.forget()
        raise
    return finish(keeper, journal)


def _keep_all(
    keeper: Keeper, old: Journal, role: str, changes: Sequence[Change], options: dict[str, str]
) -> Journal:
    """The journal on the disk, with all bytes; no file of the site's was touched."""
    folders = _missing_folders(keeper, changes)
    for path, mode in folders:
        if path in (keeper.folder / "blobs").parents or path == keeper.folder / "blobs":
            keeper.disk.make_folder(path, mode)
    entries = _entries(keeper, old, folders, changes)
    for entry, change in zip(entries[len(entries) - len(changes) :], changes, strict=True):
        if entry.was.kind == "file":
            content = keeper.disk.read(entry.path)
            if change.edit and not _is_of(content, change.content):
                raise _changed(keeper.disk, entry)
            keeper.keep(content)
        if change.content is not None:
            keeper.keep(change.content)
    names = {entry.path for entry in entries}
    rest = tuple(entry for entry in old.entries if entry.path not in names)
    kept = {**dict(old.options), **options}
    role = role if old.role == role else "all"
    journal = Journal(APPLYING, role, (*rest, *entries), old.undo, tuple(kept.items()))
    keeper.save(journal)
    return journal


def finish(keeper: Keeper, journal: Journal) -> Journal:
    """What the journal says is to be there; steps that were done already are left."""
    todo = [entry for entry in journal.entries if _is_open(keeper.disk, entry)]
    try:
        _stage(keeper, todo)
        for entry in todo:
            if entry.after.kind == "file":
                keeper.disk.swap(entry.path)
    except Exception:
        put_back(keeper, journal, [entry.path for entry in todo])
        raise
    done = journal.put(
        status=APPLIED,
        entries=tuple(Entry(e.path, e.first, e.after, e.after, e.edit) for e in journal.entries),
    )
    keeper.save(done)
    return done


def _stage(keeper: Keeper, todo: Sequence[Entry]) -> None:
    for entry in todo:
        if entry.after.kind == "folder":
            if keeper.disk.look(entry.path).kind == "none":
                keeper.disk.make_folder(entry.path, entry.after.mode)
        else:
            keeper.disk.stage(entry.path, keeper.content(entry.after.sha256), entry.after)


def _is_open(disk: Disk, entry: Entry) -> bool:
    now = disk.look(entry.path)
    if entry.after in (entry.was, now):  # of an earlier time, or done
        return False
    if entry.after.kind == "folder":
        if now.kind not in ("none", "folder"):
            raise _changed(disk, entry)
        return now.kind == "none"
    if now != entry.was:
        raise _changed(disk, entry)
    return True


def _changed(disk: Disk, entry: Entry) -> GuardError:
    return GuardError(
        "install-changed",
        f"{disk.at(entry.path)} was changed by somebody else since the installation began",
        "`slurm-guard uninstall` takes back what was done and leaves its other lines; then install again",
    )


def _is_done(disk: Disk, change: Change) -> bool:
    now = disk.look(change.path)
    if change.keep and now.kind != "none":
        return True
    if change.content is None:
        return now.kind == "folder"
    if now.kind != "file" or now.mode != _mode(change, now):
        return False
    return disk.read(change.path) == change.content


def _mode(change: Change, now: State) -> int:
    return now.mode if change.edit and now.kind == "file" else change.mode


def _entries(
    keeper: Keeper, old: Journal, folders: Sequence[tuple[Path, int]], changes: Sequence[Change]
) -> list[Entry]:
    found = []
    for path, mode in folders:
        first = _first(old, path, ABSENT)
        found.append(Entry(path, first, ABSENT, State("folder", "", mode, os.geteuid(), os.getegid())))
    for change in changes:
        was = keeper.disk.look(change.path)
        found.append(Entry(change.path, _first(old, change.path, was), was, _after(change, was), change.edit))
    return found


def _first(old: Journal, path: Path, now: State) -> State:
    """What was there before us; where somebody wrote a file of the site's anew since, what he wrote."""
    entry = old.entry(path)
    if entry is None or (entry.first.kind == "file" and now != entry.after):
        return now
    return entry.first


def _after(change: Change, was: State) -> State:
    owner = (was.uid, was.gid) if was.kind == "file" else (os.geteuid(), os.getegid())
    if change.content is None:
        return State("folder", "", change.mode, *owner)
    return State("file", digest(change.content), _mode(change, was), *owner)


def _is_of(now: bytes, planned: bytes | None) -> bool:
    """Whether the plan was made from what is there: somebody may have written it in between."""
    try:
        return planned is not None and take_out(now) == take_out(planned)
    except DamagedBlock:
        return False


def _missing_folders(keeper: Keeper, changes: Sequence[Change]) -> list[tuple[Path, int]]:
    """Folders to be made, upper ones first; the journal's own are private."""
    wanted = [keeper.folder / "blobs", *(change.path.parent for change in changes)]
    found: dict[Path, int] = {}
    for folder in wanted:
        for path in [*reversed(folder.parents), folder]:
            if keeper.disk.look(path).kind == "none":
                found[path] = 0o700 if keeper.folder in (path, *path.parents) else 0o755
    return list(found.items())
