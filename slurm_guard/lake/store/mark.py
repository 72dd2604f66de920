"""Who sends a lake to a store and whether it is whole there; and what this machine's folder is of it.

`store.json` in the store says which lake it is, who writes it, and whether a round is going on: readers look
at it before and after. `<lake>/store/role.json` says whether this folder is the lake (`source`) or what was
fetched of one (`copy`). A copy is never collected into nor sent, and a source is never overwritten by what a
store has, so that no mistake in a configuration costs a row.
"""

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.steps import formats_in
from slurm_guard.lake.store.bucket import Bucket, Damaged
from slurm_guard.lake.store.names import FOLDER
from slurm_guard.lake.write import CLOSED, make_folder, write_whole

NAME = "store.json"
SOURCE, COPY = "source", "copy"
WRITING, WHOLE = "writing", "whole"
_FORMAT = 1
_ID = re.compile("[0-9a-f]{32}")
_WRITER = re.compile("[0-9a-f]{16}")
_HOST = re.compile("[A-Za-z0-9._-]{1,255}")
_MOST_B = 4096


@dataclass(frozen=True, slots=True)
class Role:
    """Of a lake's folder. `lake`: which lake it is, or is a copy of. `store`: where it was copied from."""

    kind: str
    lake: str
    store: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Of a store. `at`: the writer's clock."""

    lake: str
    writer: str
    host: str
    state: str
    at: float


def _path(lake: Path) -> Path:
    return lake / FOLDER / "role.json"


def read_role(lake: Path) -> Role | None:
    """Null: nobody said yet. Raises GuardError store-role."""
    try:
        data = json.loads(_path(lake).read_bytes())
        role = Role(str(data["kind"]), str(data["lake"]), str(data["store"]))
        if data["format"] == _FORMAT and role.kind in (SOURCE, COPY) and _ID.fullmatch(role.lake):
            return role
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise GuardError(
        "store-role",
        f"{_path(lake)} does not say whether this folder is the lake or a copy",
        "where this machine collects: move that file away, then `slurm-guard lake sync --take-over`; "
        "else move the whole folder away, it is fetched again",
    )


def write_role(lake: Path, role: Role) -> None:
    """Raises OSError."""
    write_whole(_path(lake), json.dumps({"format": _FORMAT, **asdict(role)}).encode("ascii") + b"\n")


def is_copy(lake: Path) -> bool:
    """Whether what is here was fetched; a role that cannot be read stops nobody from collecting."""
    try:
        role = read_role(lake)
    except GuardError:
        return False
    return role is not None and role.kind == COPY


def as_source(lake: Path, *, write: bool) -> Role:
    """This folder's role where it collects. Raises GuardError lake-copy, store-role."""
    role = read_role(lake)
    if role is None:
        role = Role(SOURCE, secrets.token_hex(16))
        if write:
            write_role(lake, role)
    if role.kind != SOURCE:
        raise copy_error(lake, role)
    return role


def as_copy(lake: Path, url: str, mark: Mark, *, write: bool) -> Role:
    """This folder's role where it fetches. Raises GuardError lake-source, store-other, store-role."""
    role = read_role(lake)
    if role is None and not formats_in(lake):
        role = Role(COPY, mark.lake, url)
        if write:
            write_role(lake, role)
    if role is None or role.kind != COPY:
        raise GuardError(
            "lake-source",
            f"the lake {lake} was collected here: nothing is fetched over it",
            "name an empty folder as lake.path on machines that do not collect",
            EXIT_USAGE,
        )
    if role.lake != mark.lake:
        raise other_error(lake, url)
    return role


def copy_error(lake: Path, role: Role) -> GuardError:
    """For who would write into a copy."""
    return GuardError(
        "lake-copy",
        f"the lake {lake} is a copy of {role.store}, which another machine sends",
        "only one machine collects; to let it be this one: `slurm-guard lake sync --take-over`",
        EXIT_USAGE,
    )


def other_error(lake: Path, url: str) -> GuardError:
    """For two lakes in one place."""
    return GuardError(
        "store-other",
        f"{url} holds another lake than {lake}",
        "mend lake.store or lake.path; where this machine collects in place of another one: "
        "`slurm-guard lake sync --take-over`",
        EXIT_USAGE,
    )


def writer_of(lake: Path) -> str:
    """This folder of this machine: one that was carried or copied elsewhere is another writer."""
    try:
        machine = Path("/etc/machine-id").read_text("ascii").strip()
    except (OSError, ValueError):
        machine = ""
    return hashlib.sha256(f"{machine or socket.gethostname()}/{lake.resolve()}".encode()).hexdigest()[:16]


def new_mark(lake: Path, role: Role, state: str) -> Mark:
    """As this folder's owner leaves it now."""
    host = re.sub("[^A-Za-z0-9._-]", "", socket.gethostname())[:255] or "unnamed"
    return Mark(role.lake, writer_of(lake), host, state, time.time())


def read_mark(bucket: Bucket) -> Mark | None:
    """Null: nothing was ever sent there. Raises GuardError store-mark, store-…."""
    try:
        raw = bucket.get_bytes(NAME, _MOST_B)
        if raw is None:
            return None
        data = json.loads(raw)
        mark = Mark(data["lake"], data["writer"], data["host"], data["state"], float(data["at"]))
        texts = (mark.lake, mark.writer, mark.host)
        shapes = zip((_ID, _WRITER, _HOST), texts, strict=True)
        is_ours = data["format"] == _FORMAT and mark.state in (WRITING, WHOLE) and math.isfinite(mark.at)
        if is_ours and all(shape.fullmatch(text) for shape, text in shapes):
            return mark
    except (Damaged, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise GuardError(
        "store-mark",
        f"{bucket.url}/{NAME} is none of this release's",
        "a later release may have written it, or lake.store_endpoint is not an S3 interface's address; else "
        "remove it, and sync where the lake is collected",
    )


def write_mark(bucket: Bucket, mark: Mark) -> None:
    """Raises GuardError store-…."""
    bucket.put_bytes(NAME, json.dumps({"format": _FORMAT, **asdict(mark)}).encode("ascii") + b"\n")


def note_round(lake: Path) -> None:
    """That here and there are the same now. Raises OSError."""
    write_whole(
        lake / FOLDER / "last.json", json.dumps({"format": _FORMAT, "at": time.time()}).encode("ascii")
    )


def read_round(lake: Path) -> float | None:
    """When that was last so; null: never, or nobody knows."""
    try:
        at = float(json.loads((lake / FOLDER / "last.json").read_bytes())["at"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return at if math.isfinite(at) else None


@contextmanager
def alone_with_store(lake: Path, wait_s: float, *, dry: bool = False) -> Iterator[None]:
    """While nobody else on this machine sends or fetches; `wait_s`: how long for another to end. `dry`: who
    changes nothing need not be alone.

    Raises GuardError store-busy, OSError.
    """
    if dry:
        yield
        return
    make_folder(lake / FOLDER)
    until_s = time.monotonic() + wait_s
    with os.fdopen(
        os.open(lake / FOLDER / ".lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, CLOSED), "w"
    ) as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    raise GuardError(
                        "store-busy", f"another process is sending or fetching {lake}", "let it finish"
                    ) from None
            time.sleep(0.2)
        yield
