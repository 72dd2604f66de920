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


@pytest.mark.parametrize("name", MODULES)
def test_no_pattern_of_ours_is_slow_on_a_line_made_to_hurt_it(name: str) -> None:
    module = importlib.import_module(f"slurm_guard.progress.{name}")
    patterns = {label: value for label, value in vars(module).items() if isinstance(value, re.Pattern)}

    for label, pattern in patterns.items():
        if isinstance(pattern.pattern, bytes):
            continue
        for line in hard_lines(pattern.pattern):
            begin_s = time.process_time()
            pattern.search(line)
            assert time.process_time() - begin_s < SLOW_S, (label, line[:60])
