"""What somebody else did to lines and programs of ours since: it is kept or refused, and always said."""

from collections.abc import Sequence

from slurm_guard.errors import GuardError
from slurm_guard.install.blocks import DamagedBlock, foreign_lines, take_out
from slurm_guard.install.change import SITE_CALLS, Change, Places, Problem
from slurm_guard.install.disk import Disk
from slurm_guard.install.files import settings_paths
from slurm_guard.install.journal import Entry, Journal, Keeper
from slurm_guard.slurm.conf import SlurmConf

MOVE = "move it behind the block's last line, or delete it; then the same command again"


def say_foreign(keeper: Keeper, entry: Entry, text: bytes) -> str:
    """A sentence for lines between our marks that we did not write; "": there are none."""
    try:
        ours = keeper.content(entry.after.sha256)
    except GuardError:  # what we wrote is not known any more
        return ""
    found = foreign_lines(text, ours)
    if not found:
        return ""
    where = keeper.disk.at(entry.path)
    lines = ", ".join(f"{where}:{number} {line.decode('utf-8', 'replace')!a}" for number, line in found)
    verb = "stands" if len(found) == 1 else "stand"
    return f"{lines} {verb} between slurm-guard's marks, and slurm-guard did not write it"


def find_mark_problems(keeper: Keeper, journal: Journal | None, changes: Sequence[Change]) -> list[Problem]:
    """Files of the site's in which our marks are not as we left them: nothing is written over them."""
    found = []
    for change in changes:
        now = keeper.disk.look(change.path)
        if not change.edit or change.content is None or now.kind != "file":
            continue
        entry = journal.entry(change.path) if journal is not None else None
        text, where = keeper.disk.read(change.path), keeper.disk.at(change.path)
        said = say_foreign(keeper, entry, text) if entry is not None else ""
        if said:
            found.append(Problem(said, MOVE))
            continue
        try:
            take_out(text)
        except DamagedBlock as error:
            found.append(
                Problem(f"{where}: {error}", "mend slurm-guard's marks, or take its lines out by hand")
            )
            continue
        try:
            take_out(change.content)
        except DamagedBlock:
            found.append(
                Problem(f"{where}: a line that has to be changed stands between slurm-guard's marks", MOVE)
            )
    return found


def keep_changed(
    keeper: Keeper, journal: Journal | None, conf: SlurmConf | None, places: Places, changes: Sequence[Change]
) -> tuple[list[Change], list[str]]:
    """Without programs that call a site's own and that somebody changed; a sentence for all that were.

    Such a program invites to be changed. Where slurm.conf does not name it yet, what slurm.conf names counts.
    """
    calls = {places.libexec / name: key for key, name in SITE_CALLS.items()}
    settings = settings_paths(places)
    kept, said = [], []
    for change in changes:
        if change.edit or change.keep or change.path in settings or not _is_changed(keeper, journal, change):
            kept.append(change)
            continue
        where, key = keeper.disk.at(change.path), calls.get(change.path, "")
        if conf is not None and str(change.path) in conf.values(key):
            last = keeper.disk.read(change.path).decode("utf-8", "replace").rstrip().rpartition("\n")[2]
            said.append(f"{where} was changed by somebody: it is left as it is (it ends with {last!a})")
        else:
            said.append(f"{where} was changed by somebody: it is replaced")
            kept.append(change)
    return kept, said


def _is_changed(keeper: Keeper, journal: Journal | None, change: Change) -> bool:
    disk: Disk = keeper.disk
    now = disk.look(change.path)
    entry = journal.entry(change.path) if journal is not None else None
    if now.kind != "file":
        return False
    return entry is None or (entry.first.kind == "none" and now.sha256 != entry.after.sha256)
