"""Marks that follow from where a test stands."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
SLOW = ("contract", "faults")  # real processes, waits and builds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs real processes is slow, wherever its time goes."""
    for item in items:
        parts = item.path.relative_to(_HERE).parts if item.path.is_relative_to(_HERE) else ()
        if parts[:1] and parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)
