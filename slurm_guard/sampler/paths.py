"""Which open files look like progress, and where Slurm puts a job's output. Pure."""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, NamedTuple
from slurm_guard.sampler.patterns import pattern

if TYPE_CHECKING:
    import re

_KNOWN = pattern(
    r"events\.out\.tfevents|\.wandb$|trainer_state\.json$|(?:^|[_.-])metrics\.(?:csv|jsonl?)$|"
    r"progress\.(?:csv|txt|jsonl?)$|measurements\.csv$|"
    r"^Train_Samples_(?:train_loss|lr)\.csv$|^(?:train(?:ing)?_)?log\.csv$|^(?:history|results)\.csv$|(?:^|\.)monitor\.csv$|"
    r"^trainer_log\.jsonl$|^logging\.jsonl$|^scalars\.json$|result\.json$|mlflow\.db$|latest_checkpointed_iteration|"
    r"^md\.log$|^log\.lammps$|^OSZICAR$|^rsl\.(?:out|error)\.\d+$|train[^/]*\.log$|nemo_log|slurm-\d+.*\.out$"
)
_SUFFIXES = (
    ".log",
    ".out",
    ".err",
    ".txt",
    ".csv",
    ".tsv",
    ".jsonl",
    ".json",
    ".wandb",
    ".db",
    ".sqlite",
    ".sqlite3",
)
_FIELD = pattern(r"%(\d{0,2})([%A-Za-z])")
_NOT_FILES = ("/dev/", "/proc/", "/sys/", "/memfd:", "/anon_hugepage")

KNOWN, SUFFIX, OTHER = 0, 1, 2  # ranks: which files stay when the cap is met


def rank(path: str) -> int:
    """How much a path looks like progress."""
    name = path.rsplit("/", 1)[-1]
    if _KNOWN.search(name):
        return KNOWN
    if "/mlruns/" in path and "/metrics/" in path:  # MLflow names the file as the metric is called
        return SUFFIX
    return SUFFIX if name.lower().endswith(_SUFFIXES) else OTHER


def is_file_link(link: str | None) -> bool:
    """Whether a descriptor's link text can be a regular file with a name."""
    return (
        link is not None
        and link.startswith("/")
        and not link.startswith(_NOT_FILES)
        and not link.endswith(" (deleted)")
    )


class FdInfo(NamedTuple):
    """From /proc/PID/fdinfo/N, which asks no file system. `ino` 0: an older kernel does not say."""

    writable: bool
    pos: int
    mnt_id: int
    ino: int


def parse_fdinfo(text: str) -> FdInfo | None:
    """The descriptor's facts; null: not a plain descriptor."""
    cells = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    try:
        writable = int(cells["flags"], 8) & 3 in (1, 2)  # O_WRONLY, O_RDWR
        return FdInfo(writable, int(cells["pos"]), int(cells.get("mnt_id", "0")), int(cells.get("ino", "0")))
    except (KeyError, ValueError):
        return None


class JobNames(NamedTuple):
    """What the node knows for Slurm's file name patterns."""

    job_id: int
    user: str | None
    node: str
    work_dir: str | None


def _value(field: str, names: JobNames) -> str | None:
    """A field's text; null: only the controller knows it (job name, array ids, …)."""
    if field == "%":
        return "%"
    if field == "j":
        return str(names.job_id)
    if field == "u":
        return names.user
    if field in ("N", "h"):
        return names.node.split(".")[0]
    return None


def expand(pattern: str | None, names: JobNames) -> str | None:
    """The absolute path of a pattern; null: something in it is not known here (then `matcher` may help)."""
    if not pattern or "\0" in pattern:
        return None
    texts = [_put(found, names) for found in _FIELD.finditer(pattern)]
    if any(text is None for text in texts):
        return None
    return _absolute(_FIELD.sub(lambda found: _put(found, names) or "", pattern), names.work_dir)


class Matcher(NamedTuple):
    """A pattern whose unknown fields stand for any text without a slash: the literals between them."""

    literals: list[str]

    def fits(self, path: str) -> bool:
        """Whether the path can come from the pattern; linear in its length, a regular expression is not."""
        first, *middle = self.literals
        if not middle:
            return path == first
        last = middle.pop()
        slashes = sum(literal.count("/") for literal in self.literals)
        if not path.startswith(first) or not path.endswith(last) or path.count("/") != slashes:
            return False
        place = len(first)
        for literal in middle:
            found = path.find(literal, place)
            if found < 0:
                return False
            place = found + len(literal)
        return len(path) - len(last) >= place


def matcher(pattern: str | None, names: JobNames) -> Matcher | None:
    """What recognises a pattern's file among open ones; null: no pattern, or no folder to begin at."""
    absolute = None if not pattern or "\0" in pattern else _absolute(pattern, names.work_dir)
    if absolute is None:
        return None
    literals = [""]
    place = 0
    for found in _FIELD.finditer(absolute):
        literals[-1] += absolute[place : found.start()]
        text = _put(found, names)
        if text is None:
            literals.append("")
        else:
            literals[-1] += text
        place = found.end()
    literals[-1] += absolute[place:]
    return Matcher(literals)


def _put(found: re.Match[str], names: JobNames) -> str | None:
    """A field's text with its width; null: unknown here."""
    text = _value(found[2], names)
    return text.rjust(int(found[1] or 0), "0") if text is not None and found[2] == "j" else text


def _absolute(path: str, work_dir: str | None) -> str | None:
    if path.startswith("/"):
        return path
    return f"{work_dir.rstrip('/')}/{path}" if work_dir is not None and work_dir.startswith("/") else None
