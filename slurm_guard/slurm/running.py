"""What slurmctld really runs with: `scontrol show config`, asked once and in bounded time."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slurm_guard.errors import GuardError
from slurm_guard.slurm.group import run_group

Version = tuple[int, int]  # 24.11 is (24, 11): Slurm's third number changes no configuration
_MOST_BYTES = 1 << 20  # of an answer that is read; 22.05 gives 8 kB. Judgement
_MOST_VALUE = 4096  # characters kept of one value
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_]{0,63})(\[\d{1,4}\])?\s*=\s?(.*)")
_VERSION = re.compile(r"(\d{2})\.(\d{2})(?:[.\-]|$)")
_NOTHING = frozenset({"(null)", "n/a", "none"})
_NO_LIMIT = 65_534  # Slurm's NO_VAL16, as it prints a time that was never set


@dataclass(frozen=True, slots=True)
class Running:
    """The configuration that slurmctld has in memory. Keys are in lower case; a list is in its own order."""

    release: str  # SLURM_VERSION as it is printed; empty: not told
    values: Mapping[str, tuple[str, ...]]

    @property
    def version(self) -> Version | None:
        """Null: not told, or not in Slurm's way."""
        return parse_version(self.release)

    @property
    def stale(self) -> bool | None:
        """Whether the file here differs from what slurmctld read; null: not told."""
        told = self.first("HASH_VAL").lower()
        return None if not told else not told.startswith("match")

    def all(self, key: str) -> tuple[str, ...]:
        """Every value of the key, as `Prolog[0]`, `Prolog[1]` give them; empty: unset."""
        return self.values.get(key.lower(), ())

    def first(self, key: str) -> str:
        """The value; empty: unset."""
        return next(iter(self.all(key)), "")

    def words(self, key: str) -> tuple[str, ...]:
        """The words of a list with commas, in lower case; empty: unset."""
        return tuple(word.strip().lower() for word in self.first(key).split(",") if word.strip())

    def seconds(self, key: str) -> int | None:
        """A time in seconds; null: unset, and then Slurm waits for ever."""
        number = re.match(r"\d+", self.first(key))
        return None if number is None or int(number[0]) >= _NO_LIMIT else int(number[0])


def parse_version(text: str) -> Version | None:
    """`22.05.8`, `slurm 24.11.5` or `25.05.0-0rc1`; null: none of Slurm's."""
    found = _VERSION.search(text.strip().rpartition(" ")[2])
    return None if found is None else (int(found[1]), int(found[2]))


def scontrol_beside(sacct: str) -> str:
    """The `scontrol` of the same installation as the configured sacct."""
    return str(Path(sacct).with_name("scontrol"))


def load_running(scontrol: str = "scontrol", timeout_s: float = 10.0) -> Running:
    """Raises GuardError slurmctld-unknown."""
    command = [scontrol, "show", "config"]
    try:
        done = run_group(command, {**os.environ, "LC_ALL": "C"}, timeout_s)
    except subprocess.TimeoutExpired:
        raise _unknown(f"{scontrol} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise _unknown(f"{scontrol}: {error.strerror}") from None
    if done.returncode != 0:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
        raise _unknown(f"{scontrol} ended with {done.returncode}: {last[:300]!a}")
    running = parse_running(done.stdout[:_MOST_BYTES].decode("utf-8", "replace"))
    if not running.values:
        raise _unknown(f"{scontrol} printed no configuration")
    return running


def parse_running(text: str) -> Running:
    """Lines `Key = value`. Of a key that comes twice the first holds, for the second is cgroup.conf's."""
    values: dict[str, tuple[str, ...]] = {}
    lists: set[str] = set()
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        key, listed, value = found[1].lower(), found[2], _value(found[3])
        if listed and (key in lists or key not in values):
            lists.add(key)
            values[key] = values.get(key, ()) + ((value,) if value else ())
        elif key not in values:
            values[key] = (value,) if value else ()
    return Running(next(iter(values.get("slurm_version", ())), "")[:40], values)


def _value(text: str) -> str:
    shown = text.strip()[:_MOST_VALUE]
    return "" if shown.lower() in _NOTHING else shown


def _unknown(sentence: str) -> GuardError:
    return GuardError(
        "slurmctld-unknown", sentence, "run `scontrol show config` by hand, and look at slurmctld"
    )
