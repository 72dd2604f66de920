"""Who a user is, by the system's user database, asked through `getent`: a dead directory may let it hang."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from slurm_guard.report.safe import clean

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # nothing that getent takes for a number or an option
_BATCH = 200  # names a call; a hundred thousand bytes of arguments are allowed
_MOST_BYTES = 4096  # of one line


@dataclass(frozen=True, slots=True)
class Person:
    """A user. `full_name`: as the database has it, made harmless; empty: none."""

    name: str
    uid: int
    full_name: str


@dataclass(frozen=True, slots=True)
class People:
    """What the database said. `silent`: why it said nothing, for all names that are not in `known`; empty: it
    answered, and who is not in `known` is unknown to this machine."""

    known: dict[str, Person]
    silent: str = ""


def look_up(names: Iterable[str], program: str = "getent", timeout_s: float = 10.0) -> People:
    """Ask for all names at once, in at most `timeout_s` altogether a batch. Never raises."""
    wanted = sorted({name for name in names if _NAME.fullmatch(name)})
    known: dict[str, Person] = {}
    for i in range(0, len(wanted), _BATCH):
        batch = wanted[i : i + _BATCH]
        try:
            done = subprocess.run(
                [program, "passwd", "--", *batch], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, timeout=timeout_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return People(known, f"the user database did not answer within {timeout_s:g} s")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            return People(known, f"{program} cannot be started: {clean(why, 80)}")
        if done.returncode not in (0, 2):  # getent(1): 2: some were not found
            return People(known, f"{program} ended with {done.returncode}")
        known.update(_persons(done.stdout, set(batch)))
    return People(known)


def _persons(out: bytes, asked: set[str]) -> dict[str, Person]:
    found: dict[str, Person] = {}
    for line in out.split(b"\n"):
        parts = line[:_MOST_BYTES].decode("utf-8", "replace").split(":")
        if len(parts) >= 5 and parts[0] in asked and parts[2].isascii() and parts[2].isdigit():
            full_name = clean(" ".join(parts[4].partition(",")[0].split()), 60)
            found.setdefault(parts[0], Person(parts[0], int(parts[2]), full_name))
    return found


def address_of(user: str, domain: str) -> str:
    """`user@domain`. Empty: no address can be made of the name, as of one with a realm (`ann@ad`): in another
    realm there may be another Ann."""
    return f"{user}@{domain}" if domain and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", user) else ""
