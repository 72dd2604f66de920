"""What is asked of a site's pattern holds for ours: no line makes one slow."""

import importlib
import pkgutil
import re
import time

import pytest

import slurm_guard.progress
from slurm_guard.configpatterns import hard_lines

MODULES = sorted(module.name for module in pkgutil.iter_modules(slurm_guard.progress.__path__))
SLOW_S = 0.03  # ten times what a site's pattern may take: this test shares its machine
TRIES = 3  # CPU time holds what other processes do to the caches, too: one that backtracks is slow each time


@pytest.mark.parametrize("name", MODULES)
def test_no_pattern_of_ours_is_slow_on_a_line_made_to_hurt_it(name: str) -> None:
    module = importlib.import_module(f"slurm_guard.progress.{name}")
    patterns = {label: value for label, value in vars(module).items() if isinstance(value, re.Pattern)}

    for label, pattern in patterns.items():
        if isinstance(pattern.pattern, bytes):
            continue
        for line in hard_lines(pattern.pattern):
            assert any(_cpu_s(pattern, line) < SLOW_S for _ in range(TRIES)), (label, line[:60])


def _cpu_s(pattern: re.Pattern[str], line: str) -> float:
    begin_s = time.process_time()
    pattern.search(line)
    return time.process_time() - begin_s
