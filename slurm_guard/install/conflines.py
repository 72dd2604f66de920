"""Which lines of slurm.conf have to change, and how, for one Slurm version: from the lines that are there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slurm_guard.install.blocks import WAS, WAS_OPEN, Edit
from slurm_guard.install.calls import GLOB, folder_call, name_in, site_call
from slurm_guard.install.change import HOOKS, SITE_CALLS, TASK_PROLOG, Change, Places
from slurm_guard.slurm.conf import Line, SlurmConf, read_slurm_conf

LISTS = (24, 5)  # Prolog and Epilog are lists from here on; before, the last line alone holds
TIMEOUT_S = 30  # ours ends itself after 3 s: judgement
# Whatever implies Alloc, by the first version that has it so (Slurm's prolog_str2flags and what follows it).
_IMPLY = {
    "alloc": (0, 0),
    "contain": (0, 0),
    "x11": (0, 0),
    "nohold": (0, 0),
    "forcerequeueonfail": (23, 2),
    "runinjob": (24, 5),
    "deferbatch": (26, 5),
}


@dataclass(slots=True)
class Lines:
    """What is to be done: programs on the nodes, edits by file, and what only a person can do."""

    conf: SlurmConf
    version: tuple[int, int]
    places: Places
    texts: Mapping[str, bytes] = field(
        default_factory=dict
    )  # programs of the site's, as far as they can be read
    programs: list[Change] = field(default_factory=list)
    edits: list[tuple[Path, Edit]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # the same as lines to write by hand
    notes: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """A line at the end of slurm.conf."""
        self.edits.append((self.conf.path, Edit(0, 0, (line,))))
        self.words.append(line)

    def change(self, line: Line, words: str) -> None:
        """Another line in its place."""
        self.edits.append((line.path, Edit(line.number, line.n_lines, (words,))))
        self.words.append(f"{words}    # instead of {line.path}:{line.number}")

    def before(self, line: Line, words: str) -> None:
        """A line before it."""
        self.edits.append((line.path, Edit(line.number, 0, (words,))))
        self.words.append(f"{words}    # before {line.path}:{line.number}")


def plan_lines(lines: Lines, with_task_prolog: bool) -> Lines:
    """Fill in what has to change."""
    for key, hook in HOOKS.items():
        _plan_hook(lines, key, str(lines.places.libexec / hook))
    if with_task_prolog:
        _plan_task_prolog(lines, str(lines.places.libexec / TASK_PROLOG))
    _plan_flags(lines)
    _plan_timeout(lines)
    return lines


def _plan_hook(lines: Lines, key: str, ours: str) -> None:
    found = [line for line in lines.conf.lines_of(key) if line.value]
    if lines.version < LISTS:
        found = found[-1:]
    if _is_there(lines, key, [line.value for line in found], ours):
        return
    if not found:
        lines.add(f"{key}={ours}")
    elif lines.version >= LISTS:
        # First: a program that fails ends the list, and an older slurmd that reads this takes the last line.
        lines.before(found[0], f"{key}={ours}")
    elif GLOB & set(found[0].value):
        _plan_folder(lines, key, found[0], ours)
    elif found[0].value.startswith("/"):
        _plan_call(lines, key, found[0], ours)
    else:
        _leave(lines, key, found[0], ours, "Slurm looks a name without a folder up beside slurm.conf")


def _is_there(lines: Lines, key: str, values: list[str], ours: str) -> bool:
    """Whether it is called already; programs that this file names are then made where they are missing."""
    call = str(lines.places.libexec / SITE_CALLS[key])
    if call in values:
        _make_known_call(lines, key, ours)
        return True
    if ours in values:
        lines.notes.append(f"{key}= names slurm-guard already")
        return True
    name = Path(ours).name.encode()
    for value in values:
        text = lines.texts.get(value, b"")
        if GLOB & set(value) and folder_call(Path(ours)) in text:
            _make_folder_call(lines, key, value, ours)  # ours, of an earlier time: it goes on to be ours
        if name in text:
            lines.notes.append(f"the site's {key} ({value}) calls slurm-guard already")
            return True
    return False


def _make_known_call(lines: Lines, key: str, ours: str) -> None:
    """slurm.conf was changed already, perhaps from another machine: the marks tell what the site had."""
    line = next((line for line in reversed(was_lines(lines.conf)) if line.key.lower() == key.lower()), None)
    if line is None:
        call = lines.places.libexec / SITE_CALLS[key]
        lines.notes.append(f"{key}= names {call}; what it calls for the site is not told by slurm.conf")
        return
    _make_call(lines, key, line.value, ours)
    lines.notes.append(f"{key}= names slurm-guard already, which then becomes {line.value}")


def _make_call(lines: Lines, key: str, site: str, ours: str) -> Path:
    path = lines.places.libexec / SITE_CALLS[key]
    why = f"runs slurm-guard's hook, then becomes the site's {key}"
    lines.programs.append(Change(path, site_call(Path(ours), site, key), 0o755, why))
    return path


def _plan_call(lines: Lines, key: str, line: Line, ours: str) -> None:
    lines.change(line, f"{key}={_make_call(lines, key, line.value, ours)}")


def _plan_folder(lines: Lines, key: str, line: Line, ours: str) -> None:
    folder = _make_folder_call(lines, key, line.value, ours)
    if not folder:
        last = line.value.rpartition("/")[2] or line.value
        _leave(lines, key, line, ours, f"no name was found that {last} matches")
        return
    lines.notes.append(f"{key}={line.value} stays: one program is put into {folder}, on each node")


def _make_folder_call(lines: Lines, key: str, value: str, ours: str) -> str:
    """The folder into which it is put; "": there is no name for it that the value matches."""
    folder, name = value.rpartition("/")[0], name_in(value)
    if not folder.startswith("/") or GLOB & set(folder) or name is None:
        return ""
    why = f"slurmd runs what {key}={value} matches"
    lines.programs.append(Change(Path(folder, name), folder_call(Path(ours)), 0o755, why))
    return folder


def _plan_task_prolog(lines: Lines, ours: str) -> None:
    found = [line for line in lines.conf.lines_of("TaskProlog") if line.value][-1:]
    if _is_there(lines, "TaskProlog", [line.value for line in found], ours):
        return
    if not found:
        lines.add(f"TaskProlog={ours}")
        return
    value = found[0].value
    if value.startswith(("/", "./", "../")) or "/" not in value:  # what a shell finds where slurmstepd does
        _plan_call(lines, "TaskProlog", found[0], ours)
    else:
        _leave(
            lines, "TaskProlog", found[0], ours, "slurmstepd looks it up below each folder of the job's PATH"
        )


def _leave(lines: Lines, key: str, line: Line, ours: str, why: str) -> None:
    lines.notes.append(f"{line.path}:{line.number} {key}={line.value} is left as it is: {why}")
    lines.by_hand.append(f"{ours} || :    # call this from the site's {key} ({line.value})")


def _plan_flags(lines: Lines) -> None:
    found = lines.conf.lines_of("PrologFlags")
    if not found or not found[-1].value:
        lines.add("PrologFlags=Alloc")
        return
    flags = [word.strip() for word in found[-1].value.split(",") if word.strip()]
    if any(lines.version >= _IMPLY.get(flag.lower(), (999, 0)) for flag in flags):
        return
    lines.change(found[-1], f"PrologFlags={','.join([*flags, 'Alloc'])}")


def _plan_timeout(lines: Lines) -> None:
    """Only where nothing of the site's runs under it: a limit where there was none could end its prolog."""
    conf = lines.conf
    if conf.last("PrologEpilogTimeout") or (conf.last("PrologTimeout") and conf.last("EpilogTimeout")):
        return
    keys = ("Prolog", "Epilog", "PrologSlurmctld", "EpilogSlurmctld")
    ours = str(lines.places.libexec)
    was = [line for line in was_lines(conf) if line.key.lower() in [key.lower() for key in keys]]
    site = [value for key in keys for value in conf.values(key) if value and not value.startswith(ours)]
    if site or was:
        lines.notes.append(
            "PrologEpilogTimeout is not set, so Slurm waits for ever for the site's own programs; it is left"
            " so, because a limit could end one of them and drain the node (ours ends itself after 3 s)"
        )
        return
    lines.add(f"PrologEpilogTimeout={TIMEOUT_S}")


def was_lines(conf: SlurmConf) -> tuple[Line, ...]:
    """The settings that stand in our marks: what the site had."""
    text = b"".join(
        line.removeprefix(WAS).removeprefix(WAS_OPEN)
        for whole in conf.texts.values()
        for line in whole.splitlines(keepends=True)
        if line.startswith((WAS, WAS_OPEN))
    )
    return read_slurm_conf(conf.path, lambda _: text).lines if b"=" in text else ()
