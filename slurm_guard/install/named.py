"""Which line of slurm.conf, as it lies on the disk, names programs of ours: such a program must not go."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.install.change import Places
from slurm_guard.install.facts import SENT, find_conf
from slurm_guard.slurm.conf import Line, read_slurm_conf, read_text


def named_on_disk(
    places: Places, edited: Sequence[Path], after: Mapping[Path, bytes], *, with_sent: bool
) -> str:
    """The first line, and what it names; "": none does, or there is no slurm.conf.

    `edited`: files in which an installation wrote, wherever they lie. `after`: what some will hold, for a dry
    run. `with_sent`: also the copy that a configless slurmd keeps of what it was sent.
    """

    def read(path: Path) -> bytes:
        real = path if places.root is not None else Path(os.path.realpath(path))
        if real in after:
            return after[real]
        try:
            return read_text(places.disk(path))
        except FileNotFoundError:  # an Include that leads nowhere; the other lines are read all the same
            return b""

    main = find_conf(places)
    if main is not None and (with_sent or str(main) not in SENT):
        try:
            said = _first(places, read_slurm_conf(main, read).lines)
        except (GuardError, OSError) as error:
            return f"{main} cannot be read ({error}), so it may name the hooks"
        if said:
            return said
    for path in edited:
        try:
            if said := _first(places, _lines_of(path, read(path))):
                return said
        except (GuardError, OSError) as error:
            return f"{path} cannot be read ({error}), so it may name the hooks"
    return ""


def _lines_of(path: Path, text: bytes) -> Sequence[Line]:
    """One file's own lines; what it includes is left out."""
    return read_slurm_conf(path, lambda one: text if one == path else b"").lines


def _first(places: Places, lines: Sequence[Line]) -> str:
    mine = [line for line in lines if line.value.startswith(f"{places.libexec}/")]
    return f"{mine[0].path}:{mine[0].number} names {mine[0].value}" if mine else ""
