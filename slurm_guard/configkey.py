"""One key of the configuration: its default and its help."""

from dataclasses import field
from typing import Any


def key(default: Any, help_text: str) -> Any:
    """A configuration key with its default and its help."""
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help_text})
    return field(default=default, metadata={"help": help_text})
