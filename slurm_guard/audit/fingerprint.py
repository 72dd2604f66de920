"""What makes two runs comparable: program and settings, boards, world size, and what their logs count."""

import hashlib
import re
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.audit.holds import GpuUser
from slurm_guard.audit.track import Track
from slurm_guard.distinct import parted
from slurm_guard.model import Run

# Options whose value differs between runs of one training and does not change what a step costs. Judgement,
# from the launch lines of the frameworks that docs/progress.md reads.
_VOLATILE = re.compile(
    r"(random_?)?seed|(master|main|rdzv)_(port|addr|id|endpoint|backend|conf|process_port|process_ip)"
    r"|(node|local|machine|global)?_?rank|hostfile|host|port"
    r"|(run|exp|experiment|job|trial|session|wandb\w*|comet\w*|mlflow\w*)_?(name|id|tag|dir|group|notes?)"
    r"|(wandb|tensorboard|clearml|neptune)\w*|tags?|notes?"
    r"|(output|out|save|log|logs|logging|result|results|ckpt|checkpoint|work|exp|cache|tmp)"
    r"_?(dir|path|folder|file|root)|output|out|save|resume\w*|load|load_checkpoint|restore\w*",
    re.IGNORECASE,
)
# Days, instants, random names and job numbers inside the rest.
_STAMP = re.compile(
    r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d([T_ -]?[0-2]\d[-_.:]?[0-5]\d([-_.:]?[0-5]\d)?)?"
    r"|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b"
)
_CUT = "[cut]"  # what a node leaves out of a text that is too long (docs/formats.md)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Runs whose fingerprints are equal are held equal. `settings` null: nothing tells its command line.
    `recipe`: the same without folders, as another user's home has the same program elsewhere."""

    settings: str | None
    code: str | None
    gpu_model: str
    n_gpus: int
    n_nodes: int
    source: str
    unit: str
    recipe: str | None = field(default=None, compare=False)


def fingerprint(run: Run, users: tuple[GpuUser, ...], track: Track, gpu_model: str) -> Fingerprint:
    """The fingerprint of a run from the process that logs, its boards and its log."""
    writer = _writer(users)
    text = settings_text(writer, run.job_id) if writer is not None else None
    code = None if writer is None or text is None else f"{writer.exe} {_program(writer.cmdline or '')}"
    return Fingerprint(
        _digest(text),
        _digest(code),
        gpu_model,
        run.n_gpus,
        len(run.nodes),
        "+".join(sorted({name.partition(":")[0] for name in track.sources})),
        track.unit or "",
        None if text is None else _digest("\0".join(map(_without_folders, text.split("\0")))),
    )


def _without_folders(word: str) -> str:
    """A word of a command line with the last part of its path: `--config=/home/ann/a` as `--config=a`."""
    name, sign, value = word.partition("=")
    return f"{name}={value.rpartition('/')[2]}" if sign else name.rpartition("/")[2]


def models(cells: pl.DataFrame) -> dict[int, str]:
    """The GPU models of each run, by its place in the list of runs. `cells`: or rows (i, model)."""
    rows = cells.group_by("i").agg(pl.col("model").unique().sort().alias("models"))
    return {i: "+".join(found) for i, found in rows.select("i", "models").iter_rows()}


def memories(uses: pl.DataFrame) -> pl.DataFrame:
    """Most memory that each run's own processes held at once on one of its GPUs, MiB (i, mem_mib); runs of
    which NVML told none are left out. `uses` is of owners.uses."""
    mine = uses.filter((pl.col("own") == pl.col("i")) & pl.col("mem_mib").is_not_null())
    where = ["i", "node", "gpu", "start_at"]
    lone, several = parted(mine.select(*where, "mem_mib"), where)
    held = pl.concat([lone, several.group_by(where).agg(pl.col("mem_mib").sum())])
    return held.group_by("i").agg(pl.col("mem_mib").max())


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _writer(users: tuple[GpuUser, ...]) -> GpuUser | None:
    """One of the processes that make the logged progress; where none is linked, one of those that all run the
    same program."""
    linked = [u for u in users if u.cls == "linked" and u.cmdline is not None]
    if not linked:
        linked = [u for u in users if u.cls != "stray" and u.cmdline is not None]
        if len({_program(u.cmdline or "") for u in linked}) != 1:
            return None
    return min(linked, key=lambda u: (u.start_at or 0.0, u.node, u.pid)) if linked else None


def settings_text(user: GpuUser, job_id: int) -> str | None:
    """Executable and command line without what differs between runs of one training; null: not known
    whole."""
    if user.cmdline is None or user.exe is None or _CUT in user.cmdline or _CUT in user.exe:
        return None
    words: list[str] = [user.exe]
    drop = False  # the value of the option before
    for word in user.cmdline.split():
        if drop and not word.startswith("-"):
            drop = False
            continue
        name, sign, _ = word.partition("=")
        drop = False
        if (word.startswith("-") or sign) and _VOLATILE.fullmatch(_bare(name)):
            words.append(name)
            drop = not sign
            continue
        words.append(_STAMP.sub("@", re.sub(rf"(?<!\d){job_id}(?!\d)", "@", word)))
    return "\0".join(words)


def _bare(name: str) -> str:
    """An option's own name: `--trainer.output-dir` and `trainer.output_dir` are `output_dir`."""
    return name.lstrip("-+").rpartition(".")[2].replace("-", "_")


def _program(cmdline: str) -> str:
    """The script or module of a command line: its first word that is neither interpreter nor option."""
    words = cmdline.split()[1:]
    for k, word in enumerate(words):
        if word == "-m" and k + 1 < len(words):
            return words[k + 1]
        if not word.startswith("-"):
            return word
    return cmdline.split()[0] if cmdline.split() else ""
