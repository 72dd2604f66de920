"""The configuration as the sampler has it: read by a child, because what reads it takes 3 MB for good.

The child brings the programs of our regular expressions along (patterns.py).
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from slurm_guard.errors import GuardError
from slurm_guard.light import TYPE_CHECKING, Any, cast, from_json, to_plain_json
from slurm_guard.sampler import children, patterns

if TYPE_CHECKING:
    from slurm_guard.config import Config

NAME = "guard-config"
_PROGRAMS = "patterns"  # beside the parts of the configuration
_LEFT_OUT = "left_out"  # and the keys of another release


def load(path: str, left_out: list[str] | None = None) -> Config:
    """As `config.load_config`: the same names and values. Raises GuardError, OSError."""
    child = children.fork(NAME, lambda _, out: _tell(path, out, left_out))
    os.set_blocking(child.out, True)
    with open(child.out, "rb", closefd=False) as told:
        said = told.read()
    child.kill()
    child.wait(1.0)
    if not said:
        raise GuardError("config-unreadable", f"{path or 'the configuration'} could not be read", "")
    body = from_json(said)
    if isinstance(body, list):
        raise GuardError(*body)
    patterns.know(body.pop(_PROGRAMS))
    keys = body.pop(_LEFT_OUT)
    if left_out is not None:
        left_out += keys
    return cast("Config", SimpleNamespace(**{name: SimpleNamespace(**part) for name, part in body.items()}))


def _tell(path: str, out: int, left_out: list[str] | None) -> None:
    """In the child: every value, or the error."""
    from dataclasses import asdict
    from pathlib import Path

    from slurm_guard.config import load_config

    body: Any
    try:
        loaded = asdict(load_config(Path(path) if path else None, left_out))
        # Windows of maintenance are the audit's affair: a node watches in them as ever.
        body = {name: part for name, part in loaded.items() if isinstance(part, dict)}
        body[_PROGRAMS], body[_LEFT_OUT] = _programs(), left_out or []
    except GuardError as error:
        body = [error.slug, error.sentence, error.hint, error.exit_code]
    with open(out, "wb") as into:
        into.write(to_plain_json(body).encode("ascii"))


def _programs() -> list[patterns.Program]:
    """None where the sampler's modules cannot be loaded: it will say so itself, and of what."""
    try:
        return patterns.compile_all()
    except Exception:  # noqa: BLE001  whatever a broken installation does
        return []
