"""What was recorded, told on: every event to the journal in the same minute, and counts for other tools."""

from __future__ import annotations

import os

from slurm_guard import wire
from slurm_guard.light import Any, Protocol
from slurm_guard.sampler import datagram, journald
from slurm_guard.sampler.writer import Instant

HARD = frozenset({"leftover", "foreign-process", "bridge"})
NATIVE = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"
MOST_A_MINUTE = 30  # lines of one kind: judgement; a node has tens of GPUs and runs, a flood has thousands
_MINUTE_S = 60.0


class Tally:
    """Counts since the sampler began, and the last word about each run and GPU."""

    def __init__(self) -> None:
        self.n_windows = self.n_dropped = self.gap_ms = 0
        self.events: dict[str, int] = {}
        self.window_end_at: dict[str, float] = {}  # run -> end of its last window
        self.maps: dict[str, str] = {}  # GPU -> how sure its last window was of its run
        self.last_error: dict[str, Any] | None = None

    def count(self, record: Any, kept: bool) -> None:
        """One record, kept in the spool or not."""
        self.n_dropped += not kept
        if isinstance(record, wire.Window):
            self.n_windows += kept
            self.gap_ms += record.gap_ms
            if record.run is not None:
                self.window_end_at[record.run] = record.end_at
            if record.map is not None:
                self.maps[record.gpu] = record.map
        elif isinstance(record, wire.Event):
            self.events[record.name] = self.events.get(record.name, 0) + 1
            if record.name == "sampler-error":
                self.last_error = {"at": record.at, **record.detail}

    def forget(self, living: set[str]) -> None:
        """Runs that are no longer followed."""
        self.window_end_at = {run: at for run, at in self.window_end_at.items() if run in living}


class Journal:
    """journald's own socket where it exists, else /dev/log. Never waits: absent or full, the line is lost
    there and stands in the segment. `path`: another datagram socket that takes syslog lines.
    """

    def __init__(self, node: str = "", path: str | None = None) -> None:
        self.node = node
        self.native = path is None and os.path.exists(NATIVE)
        self.path = (NATIVE if self.native else SYSLOG) if path is None else path
        self.tally = Tally()
        self.n_lost = 0  # lines that no socket took
        self._since_s: float | None = None
        self._told: dict[str, int] = {}
        self._held: dict[str, int] = {}

    def note(self, record: Any, kept: bool, now: Instant) -> None:
        """A record on its way to the spool: counted, and told when it is an event."""
        self.tally.count(record, kept)
        if isinstance(record, wire.Event):
            self.tell(record, now)

    def tell(self, event: wire.Event, now: Instant) -> None:
        """One line; when this minute has had enough of its kind, a count for `events-suppressed`."""
        self.tick(now)
        n_told = self._told.get(event.name, 0)
        if n_told >= MOST_A_MINUTE:
            self._held[event.name] = self._held.get(event.name, 0) + 1
            return
        self._told[event.name] = n_told + 1
        self._send(event)

    def _send(self, event: wire.Event) -> None:
        try:
            body = (
                journald.datagram(os.getpid(), self.node, event)
                if self.native
                else journald.syslog_line(os.getpid(), event)
            )
            datagram.send(body, self.path)
        except (OSError, ValueError, TypeError, RecursionError):  # a value that is no JSON costs its line
            self.n_lost += 1

    def tick(self, now: Instant) -> None:
        """A minute has passed: say what was held back."""
        if self._since_s is None or not 0 <= now.mono_s - self._since_s < _MINUTE_S:
            self._flush(now)
            self._since_s = now.mono_s

    def _flush(self, now: Instant) -> None:
        for name, n in sorted(self._held.items()):
            self._send(wire.Event(now.at, None, "events-suppressed", {"of": name, "n": n}, now.mono_s))
        self._told, self._held = {}, {}

    def close(self, now: Instant) -> None:
        """What was held back is told before the last word."""
        self._flush(now)


class HasJournal(Protocol):
    """The streams."""

    journal: Journal


class JournalPart:
    """The journal at the loop's pace."""

    def __init__(self, streams: HasJournal) -> None:
        self.streams = streams

    def tick(self, now: Instant) -> None:
        """Say once a minute what was held back."""
        self.streams.journal.tick(now)

    def tell(self) -> dict[str, Any]:
        """Where lines go, and how many nobody took."""
        journal = self.streams.journal
        return {"socket": journal.path, "native": journal.native, "n_lost": journal.n_lost}

    def close(self, now: Instant) -> None:
        """Before the last word."""
        self.streams.journal.close(now)
