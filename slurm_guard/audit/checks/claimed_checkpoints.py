"""Checkpoints that a log names and that nobody wrote; and, as notes, what storage shows beside a log."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import sized
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.reads import Reads
from slurm_guard.audit.savedfiles import Files
from slurm_guard.audit.writes import AGREES, Saves
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    # Below what makes a second kind of evidence: whoever writes without a GPU is not counted. Judgement.
    weight: float = 0.75
    least_s: float = 1800.0  # from the first save that is named to the last. Judgement


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding when the log names saves, everybody on the GPUs was seen, and nobody wrote one."""
    saves, files = case.stored.saves, case.stored.files
    if saves is None or saves.n_written or not saves.known or files is not None:
        return []
    if not _all_heard(case) or saves.long_s < params.least_s:
        return []
    sentence = (
        f"The log says {saves.n} times that a checkpoint was saved; from each of these times to the next the "
        f"run's processes on its GPUs wrote at most {sized(saves.most_b)}, the log itself among it, and no "
        "checkpoint was found in its folder."
    )
    evidence = Evidence(
        "most that was written from one named checkpoint to the next",
        saves.most_b / 1024,
        "KiB",
        "lake tables points (phase checkpoint), shares (written_b, stored_b), logs (source checkpoint)",
        see.both(
            see.rows(case.run, "points", "at,step", (("phase", "checkpoint"),)),
            see.rows(case.run, "shares", "start_at,node,pid,written_b,stored_b"),
        ),
        "the checkpoints themselves; or who writes them without being on a GPU of the run",
    )
    return [finding(CHECK, case, Rating(Severity.LOW, 0.6, params.weight), sentence, evidence)]


def _all_heard(case: Case) -> bool:
    hearing = case.hearing
    return not (hearing.imported or hearing.silent_nodes or hearing.deaf_nodes or hearing.switched_off)


def notes(case: Case) -> tuple[str, ...]:
    """What storage shows for the run, and what was not looked at: any program can write files, so it weighs
    nothing, and can be shown."""
    stored = case.stored
    said = [_on_disk(stored.files), _written(stored.saves, stored.files), _read(stored.reads)]
    return tuple(text for text in said if text)


def _on_disk(files: Files | None) -> str:
    if files is None or not _agree(files):
        return ""
    size = "" if files.size_b is None else f" (the last one {sized(files.size_b)})"
    when = "had come to the steps in their names" if files.by_steps else "names a save"
    return (
        f"{files.n_in_step} of {files.n_told} checkpoints{size} came to disk when the log {when}; what is in "
        "them was not looked at."
    )


def _agree(files: Files | None) -> bool:
    return files is not None and files.n_told >= 2 and files.n_in_step >= AGREES * files.n_told


def _written(saves: Saves | None, files: Files | None) -> str:
    if saves is None or not saves.in_step or _agree(files):
        return ""
    return (
        f"At {saves.n_written} of the {saves.n} times at which the log says that it saved a checkpoint the "
        f"run's processes wrote (usually {sized(saves.usual_b)}), and little at others; what it was has not "
        "been looked at."
    )


def _read(reads: Reads | None) -> str:
    if reads is None:
        return ""
    whole, each = sized(reads.read_b), sized(int(sum(reads.rates) / len(reads.rates)))
    unit = reads.unit.removesuffix("s")
    how = (
        "as much for each in all of the training" if reads.even else "more in some parts of it than in others"
    )
    return (
        f"Its processes on the GPUs read {whole} during the training, {each} a {unit}, {how}; what came "
        "through mapped files or by other processes is not counted."
    )


CHECK = Check(
    "claimed-checkpoints",
    "Checkpoints that nobody wrote",
    Family.E,
    detects="A log that says three times or more, over half an hour and longer, that a checkpoint was "
    "saved, of a run whose processes on its GPUs wrote less than 256 KiB beyond the log from each of these "
    "times to the next, by write(2) or to storage in any way, and in whose folder the walk found no "
    "checkpoint.",
    does_not_detect="Files that are written to look like checkpoints: their content is never read. Saves "
    "that the log does not name. It is silent where somebody may have written whose bytes nobody counts: "
    "another process of the run beside those on its GPUs that is neither a known launcher nor a shell, a "
    "node that was not heard, a list of processes that was cut, one that was on the GPU for part of its "
    "life, 256 KiB and more over a connection.",
    false_alarms="What is written past the processes' own counters: GPUDirect Storage, mappings, io_uring "
    "or libaio into a file system in memory; checkpoints sent over a connection; models of a few hundred "
    "KiB; a log that says so of something else. Context: it makes a run a NOTE at most, and is no second "
    "kind of evidence.",
    remedy="Say where the checkpoints are.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the log names no checkpoint"),
        Example("saved-checkpoints", "at each time that the log names something was written"),
        Example("saved-by-helper", "a process without a GPU was there, and may have written them"),
        Example("saved-unheard", "what the process wrote is not known"),
        Example("saved-on-disk", "nothing was counted, and the files are there"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(Example("claimed-saves", "17 checkpoints in the log, and some KiB written in all"),),
    attack=("T1565.001",),
)
