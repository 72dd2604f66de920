"""An installation whose journal was lost: what it left is taken into a new one, and can be taken off."""

from collections.abc import Sequence
from pathlib import Path

from slurm_guard.install.blocks import DamagedBlock, has_block, take_out
from slurm_guard.install.change import Change
from slurm_guard.install.disk import ABSENT, State, digest
from slurm_guard.install.facts import Facts
from slurm_guard.install.journal import Entry, Keeper

SIGN = b"`slurm-guard install`"  # stands in what only an installation writes


def adopt(keeper: Keeper, facts: Facts, changes: Sequence[Change]) -> list[Entry]:
    """Entries for files that are as an installation leaves them; none where nothing says that there was one.

    Hooks alone say nothing: somebody may have put them there by hand.
    """
    mine = [change for change in changes if not change.edit and _is_as_written(keeper, change)]
    texts = facts.conf.texts if facts.conf is not None else {}
    marked = [path for path, text in texts.items() if has_block(text)]
    if not marked and not any(SIGN in (change.content or b"") for change in mine):
        return []
    libexec = facts.places.libexec
    paths = [change.path for change in mine]
    folders = {one: None for path in paths for one in reversed(path.parents) if one.is_relative_to(libexec)}
    found = [_entry(keeper, path, ABSENT) for path in (*folders, *paths)]
    for path in [] if facts.hands_off else marked:
        try:
            was = take_out(texts[path])
        except DamagedBlock:
            continue
        real = facts.real.get(path, path)
        now = keeper.disk.look(real)
        first = State("file", digest(was), now.mode, now.uid, now.gid)
        found.append(_entry(keeper, real, first, edit=True))
    return found


def keep_adopted(keeper: Keeper, entries: Sequence[Entry]) -> None:
    """The bytes of the site's files, with our lines and without."""
    for entry in entries:
        if entry.edit:
            text = keeper.disk.read(entry.path)
            keeper.keep(text)
            keeper.keep(take_out(text))


def _is_as_written(keeper: Keeper, change: Change) -> bool:
    now = keeper.disk.look(change.path)
    return now.kind == "file" and change.content is not None and now.sha256 == digest(change.content)


def _entry(keeper: Keeper, path: Path, first: State, *, edit: bool = False) -> Entry:
    now = keeper.disk.look(path)
    return Entry(path, first, now, now, edit)
