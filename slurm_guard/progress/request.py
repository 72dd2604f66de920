"""What the sampler asks of one reading: a JSON object on stdin, checked and bounded."""

import json
from typing import Any, NamedTuple

from slurm_guard.configpatterns import MAX_PATTERNS
from slurm_guard.progress.bracket import Frame, Sight
from slurm_guard.progress.checkpoints import Kept, parse_kept
from slurm_guard.progress.declared import NAME, declared_path
from slurm_guard.progress.safetensors import KeptModel, parse_models

MAX_REQUEST_B = 16 << 20
MAX_FILES = 256
MAX_SIGHTS = 4_000  # the sampler thins to 2,000
MAX_AUTHORS = 4096  # the sampler tells 1,024
MIB = 1 << 20


class RequestError(ValueError):
    """The request is not one; the words name the field."""


class Wanted(NamedTuple):
    """A file that the sampler knows of."""

    path: str
    how: str
    pids: list[int]
    sights: list[Sight]


class Author(NamedTuple):
    """A process that the run has had. `inner`: its pid in its own PID namespace; null: unknown."""

    pid: int
    inner: int | None
    start_at: float
    last_at: float  # when it was seen last


class Limits(NamedTuple):
    """Caps of one reading."""

    file_b: int
    run_b: int
    timeout_s: float


class Request(NamedTuple):
    """One reading of one run's logs. `uid` null: unknown, nothing is opened as root."""

    run: str
    node: str
    cluster: str
    uid: int | None
    gid: int | None
    read: int
    frame: Frame
    work_dir: str | None
    out: str
    parser_user: str
    limits: Limits
    authors: tuple[Author, ...]
    all_authors: bool  # whether no process of the run is missing among them
    files: list[Wanted]
    patterns: tuple[str, ...] = ()
    checkpoints: tuple[Kept, ...] = ()  # what earlier readings found of them …
    models: tuple[KeptModel, ...] = ()  # … and of the models in them


def parse_request(raw: bytes) -> Request:
    """The request in `raw`; raises RequestError."""
    if len(raw) > MAX_REQUEST_B:
        raise RequestError("larger than 16 MiB")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RequestError("not JSON") from error
    if not isinstance(body, dict):
        raise RequestError("not an object")
    limits = body.get("limits")
    limits = limits if isinstance(limits, dict) else {}
    at = _number(body, "at")
    ended_at = None if body.get("ended_at") is None else _number(body, "ended_at")
    work_dir = _text_or_none(body.get("work_dir"))
    files = [_wanted(one) for one in _list(body.get("files"))[:MAX_FILES] if isinstance(one, dict)]
    texts = _text_or_none(body.get("comment")), _text_or_none(body.get("extra"))
    named = declared_path(*texts, work_dir, _text(body, "run"))
    return Request(
        run=_text(body, "run"),
        node=_text(body, "node"),
        cluster=_text(body, "cluster"),
        uid=_whole_or_none(body, "uid"),
        gid=_whole_or_none(body, "gid"),
        read=int(_number(body, "read")),
        frame=Frame(_number(body, "ticket_at"), at, ended_at),
        work_dir=work_dir,
        out=_text(body, "out"),
        parser_user=_text_or_none(body.get("parser_user")) or "nobody",
        limits=Limits(
            int(_bounded(limits.get("file_mib", 64), 1, 4096) * MIB),
            int(_bounded(limits.get("run_mib", 256), 1, 65536) * MIB),
            _bounded(limits.get("timeout_s", 60.0), 1.0, 3600.0),
        ),
        authors=tuple(_authors(body.get("authors"))),
        all_authors=body.get("all_authors") is True,
        patterns=tuple(text for text in _list(body.get("patterns"))[:MAX_PATTERNS] if isinstance(text, str)),
        checkpoints=tuple(parse_kept(body.get("checkpoints"))),
        models=tuple(parse_models(body.get("models"))),
        files=files if named is None else [*files, Wanted(named, NAME, [], [])],
    )


def _wanted(body: dict[str, Any]) -> Wanted:
    path = _text_or_none(body.get("path")) or ""
    sights = [
        Sight(float(row[0]), int(row[1]), _int_or_none(row[2]), _int_or_none(row[3]))
        for row in _list(body.get("obs"))[:MAX_SIGHTS]
        if isinstance(row, list) and len(row) == 4 and _is_number(row[0]) and _is_number(row[1])
    ]
    how = body.get("how")
    return Wanted(
        path,
        how if how in ("fd", "stdout", "stderr", "guard", "walk") else "fd",
        _ints(body.get("pids")),
        sights,
    )


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > 4096 or "\0" in value:
        raise RequestError(name)
    return value


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 4096 and "\0" not in value else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e19


def _number(body: dict[str, Any], name: str) -> float:
    if not _is_number(body.get(name)):
        raise RequestError(name)
    return float(body[name])


def _bounded(value: Any, least: float, most: float) -> float:
    return min(most, max(least, float(value))) if _is_number(value) else least


def _int_or_none(value: Any) -> int | None:
    return int(value) if _is_number(value) else None


def _whole_or_none(body: dict[str, Any], name: str) -> int | None:
    value = _int_or_none(body.get(name))
    return value if value is not None and value >= 0 else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _ints(value: Any) -> list[int]:
    return [int(one) for one in _list(value) if _is_number(one)][:16]


def _authors(value: Any) -> list[Author]:
    """Of [[pid, inner, start_at, last_at]…]."""
    rows = [one for one in _list(value)[:MAX_AUTHORS] if isinstance(one, list) and len(one) == 4]
    return [
        Author(int(pid), _int_or_none(inner), float(start_at), float(last_at))
        for pid, inner, start_at, last_at in rows
        if _is_number(pid) and _is_number(start_at) and _is_number(last_at)
    ]
