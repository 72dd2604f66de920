"""What became of each letter, on disk before and after each step: running twice sends once.

Layout: `<outbox>/<audit digest>/<reader>.eml` and `<reader>.json` (the state), private to the sending user.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from slurm_guard.clock import Clock
from slurm_guard.errors import GuardError
from slurm_guard.report.mail import Letter
from slurm_guard.report.smtp import Fate, Transport

_SENDING = "sending"  # written before the content goes out; found at the start of a run it means: unclear


@dataclass(frozen=True, slots=True)
class State:
    """One reader's state file. `at`: when it was written, UTC epoch seconds."""

    to: str
    message_id: str
    status: str
    at: float
    detail: str
    n_tries: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known after a run. `now`: whether this run tried."""

    to: str
    fate: Fate
    detail: str
    now: bool
    state_path: Path


class Outbox:
    """The folder of one audit's letters. Only one process at a time sends from it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock

    def write_letter(self, letter: Letter) -> Path:
        """The .eml, replaced when it exists: same audit and reader give the same letter but for its date."""
        _make(self.folder)
        path = self.folder / f"{reader_key(letter.envelope.to)}.eml"
        _write(path, letter.content)
        return path

    def deliver(self, letters: Sequence[Letter], transport: Transport) -> list[Delivery]:
        """Send what is certainly unsent, one reader after the other. Raises GuardError mail-busy."""
        with self._locked():
            return [self._deliver(letter, transport) for letter in letters]

    def _deliver(self, letter: Letter, transport: Transport) -> Delivery:
        path = self.folder / f"{reader_key(letter.envelope.to)}.json"
        known = _read_state(path)
        if known is not None and known.status != Fate.DEFERRED.value:
            return _as_before(known, path)
        n_tries = 1 + (known.n_tries if known is not None else 0)

        def note(status: str, detail: str) -> None:
            state = State(
                letter.envelope.to, letter.message_id, status, self._clock.now_at(), detail, n_tries
            )
            _write(path, (json.dumps(asdict(state), indent=2) + "\n").encode())

        outcome = transport.send(letter, lambda: note(_SENDING, "the content is going out"))
        note(outcome.fate.value, outcome.detail)
        return Delivery(letter.envelope.to, outcome.fate, outcome.detail, True, path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        _make(self.folder)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise GuardError(
                    "mail-busy", f"another process is sending from {self.folder}", "wait until it has ended"
                ) from None
            yield


def reader_key(address: str) -> str:
    """A file name for an address: readable, and unique by its digest."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", address)[:40].strip(".-")
    return f"{plain}-{hashlib.sha256(address.encode()).hexdigest()[:12]}"


def _as_before(known: State, path: Path) -> Delivery:
    """What an earlier run left; a run that died while the content went out leaves it unclear."""
    if known.status in (Fate.SENT.value, Fate.REFUSED.value):
        return Delivery(known.to, Fate(known.status), known.detail, False, path)
    said = "an earlier run ended while the letter went out, and nobody knows whether it arrived"
    detail = said if known.status == _SENDING else known.detail
    return Delivery(known.to, Fate.UNCLEAR, detail, False, path)


def _read_state(path: Path) -> State | None:
    """Null: never tried. A state that cannot be read counts as unclear, because it may say `sent`."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return State(**data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        return State(path.stem, "", Fate.UNCLEAR.value, 0.0, f"the state file cannot be read: {error}", 0)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
