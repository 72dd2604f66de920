"""What an installation would do, as data: nothing here touches the machine."""

from dataclasses import dataclass, field
from pathlib import Path

ROLES = ("node", "head", "all")


@dataclass(frozen=True, slots=True)
class Change:
    """One file as it is to be. `content` null: a folder. `edit`: a file of the site's with lines of ours.

    `keep`: an existing file stays as it is (a configuration that somebody may have written).
    """

    path: Path
    content: bytes | None
    mode: int
    why: str
    edit: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """A program to run when the files are there, and what takes it back ("": nothing does)."""

    argv: tuple[str, ...]
    why: str
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing is changed."""

    sentence: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything, in the order in which it is done. `by_hand`: lines that the admin has to add himself.

    `warnings`: what was wrong before and is left as it is.
    """

    role: str
    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    by_hand: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """A plan while it is made."""

    changes: list[Change] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def done(self, role: str) -> Plan:
        """The plan, with edits of the site's files last: until then nothing names what is not there."""
        changes = sorted(self.changes, key=lambda change: change.edit)
        parts = (tuple(changes), tuple(self.actions), tuple(self.notes), tuple(self.problems))
        return Plan(role, *parts, tuple(self.by_hand), tuple(self.warnings))


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are put. `prefix` null: the system's places. `root`: an image; paths are as seen in it."""

    prefix: Path | None = None
    root: Path | None = None

    def at(self, path: str) -> Path:
        """A system's path, or the same one below the prefix."""
        return Path(path) if self.prefix is None else self.prefix / path.removeprefix("/usr").lstrip("/")

    @property
    def libexec(self) -> Path:
        """Hooks, and the programs that call a site's own after them."""
        return self.at("/usr/libexec/slurm-guard")

    @property
    def etc(self) -> Path:
        """guard.toml and the hooks' settings."""
        return self.at("/etc/slurm-guard")

    @property
    def state(self) -> Path:
        """What is kept: spool, lake, reports, and the journal of the installation."""
        return self.at("/var/lib/slurm-guard")

    @property
    def run(self) -> Path:
        """Tickets and pid files."""
        return self.at("/run/slurm-guard")

    @property
    def journal(self) -> Path:
        """Where the installation keeps what it changed."""
        return self.state / "install"

    @property
    def is_system(self) -> bool:
        """Whether the usual places hold."""
        return self.prefix is None

    @property
    def is_live(self) -> bool:
        """Whether this machine's own services and accounts are meant."""
        return self.prefix is None and self.root is None

    def disk(self, path: Path) -> Path:
        """Where that path lies here."""
        return path if self.root is None else self.root / path.relative_to("/")


HOOKS = {"Prolog": "prolog/slurm-guard-prolog", "Epilog": "epilog/slurm-guard-epilog"}
TASK_PROLOG = "prolog/slurm-guard-task-prolog"
SITE_CALLS = {"Prolog": "site/prolog", "Epilog": "site/epilog", "TaskProlog": "site/task-prolog"}
