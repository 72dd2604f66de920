"""The outbox's folder: each letter and what became of it, on disk before and after each step.

Layout: `<outbox>/<night>/<reader>.<letter>.eml` and `.json` (the state), private to the sending user.
`<night>` is the date and a mark of the audited window; an `.eml` without a state is a dry run's, never sent.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from enum import Enum
from pathlib import Path

from slurm_guard.clock import Clock
from slurm_guard.errors import GuardError
from slurm_guard.report.letter import Envelope, Letter

DAY_S = 86_400
_RECENT_S = 14 * DAY_S  # judgement: nights that are still looked through for what has to be sent


class Status(str, Enum):
    """Where a letter stands; those of `transport.Fate` after a try."""

    WAITING = "waiting"  # composed, and not tried yet
    SENDING = "sending"  # a run has begun with it; what one that died leaves is told by `handed_over`
    SENT = "sent"
    REFUSED = "refused"
    DEFERRED = "deferred"  # tried, certainly not sent, tried again by the next run
    UNCLEAR = "unclear"  # perhaps sent; never tried again by itself
    HELD = "held"  # a quiet day's: counted in the next digest instead
    SUPERSEDED = "superseded"  # never sent, and a later audit of the same night took its place
    EXPIRED = "expired"  # could not be sent for a week


PENDING = (Status.WAITING, Status.DEFERRED)
NEVER_SENT = (Status.SUPERSEDED, Status.EXPIRED)


@dataclass(frozen=True, slots=True)
class State:
    """One letter's state file. `at`: when it was written, `queued_at`: when the letter was; epoch seconds.
    `note`: what the next digest says of it if it is held back; `boot`: since which start of which machine it
    is being sent."""

    to: str
    sender: str
    kind: str
    message_id: str
    subject: str
    day: str
    alert: bool
    note: str
    status: Status
    at: float
    queued_at: float
    detail: str = ""
    n_tries: int = 0
    boot: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A state and its file."""

    state: State
    path: Path

    @property
    def letter_path(self) -> Path:
        return self.path.with_suffix(".eml")

    @property
    def name(self) -> str:
        """What `slurm-guard mail --again` takes."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def series(self) -> tuple[str, str, str]:
        """Letters of which the later takes the place of the earlier."""
        return self.path.parent.name, self.state.kind, self.state.to


class Letterbox:
    """The folder. Only one process at a time changes states in it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Raises GuardError mail-busy, outbox-unwritable."""
        _make(self.folder)
        try:
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise _unwritable(self.folder, error) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GuardError(
                    "mail-busy", f"another process is sending from {self.folder}", "wait until it has ended"
                ) from None
            yield

    def path_of(self, night: str, reader: tuple[str, str], message_id: str) -> Path:
        """The state file of a letter. `reader`: kind and address."""
        own = hashlib.sha256(message_id.encode()).hexdigest()[:12]
        return self.folder / night / f"{reader_key(*reader)}.{own}.json"

    def find(self, night: str, reader: tuple[str, str], message_id: str) -> Kept | None:
        """Null: never queued."""
        return read_state(self.path_of(night, reader, message_id))

    def of_reader(self, night: str, reader: tuple[str, str]) -> list[Kept]:
        """All letters of a night for one reader, the oldest first."""
        found = (read_state(p) for p in sorted((self.folder / night).glob(f"{reader_key(*reader)}.*.json")))
        return sorted((k for k in found if k is not None), key=_age)

    def recent(self) -> list[Kept]:
        """Every letter of the nights that were touched lately, the oldest first. Raises GuardError
        outbox-unreadable."""
        since_at = self._clock.now_at() - _RECENT_S
        try:
            nights = [p for p in sorted(_inside(self.folder)) if p.is_dir() and p.stat().st_mtime >= since_at]
            states = [path for night in nights for path in sorted(_inside(night)) if _is_state(path)]
            found = [read_state(path) for path in states]
        except PermissionError as error:
            raise GuardError(
                "outbox-unreadable", f"{error.filename} cannot be read: {error.strerror}",
                "run it as the user that sends the mail",
            ) from None  # fmt: skip
        return sorted((k for k in found if k is not None), key=_age)

    def write_letter(self, night: str, letter: Letter) -> Path:
        """The .eml; that of a letter that was queued is what was or will be sent, and stays."""
        reader = (letter.kind, letter.envelope.to)
        path = self.path_of(night, reader, letter.message_id).with_suffix(".eml")
        _make(path.parent)
        known = self.find(night, reader, letter.message_id)
        if known is None or known.state.status in NEVER_SENT:
            _write(path, letter.content)
        return path

    def call_again(self, kept: Kept) -> Kept:
        """It waits as if it were new: its time to go out begins again."""
        anew = replace(kept.state, queued_at=self._clock.now_at())
        return self.note(Kept(anew, kept.path), Status.WAITING, "asked for again")

    def queue(self, night: str, letter: Letter, about: State) -> Kept:
        """Letter first, state second: what has a state has a letter. `about`: its fields of the night."""
        path = self.write_letter(night, letter).with_suffix(".json")
        now_at = self._clock.now_at()
        return self.note(Kept(replace(about, queued_at=now_at), path), about.status, about.detail)

    def note(self, kept: Kept, status: Status, detail: str, n_tries: int | None = None) -> Kept:
        """The new state, on disk when this returns."""
        tries = kept.state.n_tries if n_tries is None else n_tries
        state = replace(kept.state, status=status, detail=detail, at=self._clock.now_at(), n_tries=tries)
        _write(kept.path, (json.dumps(asdict(state), indent=2) + "\n").encode())
        return Kept(state, kept.path)

    def begin(self, kept: Kept) -> Kept:
        """Before anything is said to a server: on disk, with this machine's boot."""
        with contextlib.suppress(OSError):
            _flag(kept).unlink(missing_ok=True)
        begun = Kept(replace(kept.state, boot=_boot_id()), kept.path)
        return self.note(begun, Status.SENDING, "is being sent", kept.state.n_tries + 1)

    def hand_over(self, kept: Kept) -> None:
        """The last thing before it may be taken: one call to the system, so that hardly anything can end us
        between the two. Not pushed to the disk: it tells of processes that were killed, and of a machine that
        stopped the boot id does."""
        try:
            os.close(os.open(_flag(kept), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise _unwritable(_flag(kept), error) from None


def may_have_gone(kept: Kept) -> bool:
    """Whether the run that died with this letter may have handed it over."""
    return kept.state.boot in ("", "?") or kept.state.boot != _boot_id() or _flag(kept).exists()


def _flag(kept: Kept) -> Path:
    return kept.path.with_suffix(".handed-over")


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return "?"


def load_letter(kept: Kept) -> Letter:
    """The letter as it was queued. Raises OSError."""
    state = kept.state
    envelope = Envelope(state.sender, state.to)
    return Letter(envelope, state.subject, state.message_id, kept.letter_path.read_bytes(), state.kind)


def reader_key(kind: str, address: str) -> str:
    """A file name for a reader: readable, and unique by its digest."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", address)[:40].strip("-")
    return f"{plain}-{kind}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def _age(kept: Kept) -> tuple[float, str]:
    return kept.state.queued_at, kept.path.name


def read_state(path: Path) -> Kept | None:
    """Null: no such letter. A state that cannot be read counts as unclear, because it may say `sent`; what a
    later release added to it is left out."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {part.name: data[part.name] for part in fields(State) if part.name in data}
        return Kept(State(**{**known, "status": Status(data["status"])}), path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        said = f"the state file cannot be read: {error}"
        unknown = State(path.stem, "", "", "", "", "", False, "", Status.UNCLEAR, 0.0, 0.0, said)
        return Kept(unknown, path)


def _make(folder: Path) -> None:
    try:
        for each in (folder.parent, folder):  # a mode is that of the last folder made
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unwritable(folder, error) from None


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, private, and on disk before this returns. Raises GuardError outbox-unwritable."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_whole(path, part, content)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> GuardError:
    return GuardError(
        "outbox-unwritable",
        f"{path} cannot be written: {error.strerror}",
        "name another folder with --outbox, or make room",
    )


def _write_whole(path: Path, part: Path, content: bytes) -> None:
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _inside(folder: Path) -> list[Path]:
    """What is in it; nothing where it is not there. Raises PermissionError, where `glob` finds nothing."""
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_state(path: Path) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".")
