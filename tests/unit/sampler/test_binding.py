"""Of pynvml what we use is loaded, and all that this needs."""

import builtins
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pynvml as whole
import pytest

from slurm_guard.sampler import binding

ROOT = Path(__file__).resolve().parents[3]
SMALL = '''"""A module."""
import os
from functools import wraps

NVML_ERROR_ODD = 7
UNUSED = 1
_SIZE = 8
_SIZE = 16

def used(n):
    """Says
    at length."""
    return helper(n) + _SIZE

@wraps(used)
def helper(n):
    if n:
        return n
    else:
        return 0

class Unused(object):
    field = UNUSED

try:
    LATE = 1
except OSError:
    LATE = 2
'''


def test_what_is_named_is_kept_with_what_it_names_and_its_lines() -> None:
    text = binding.cut(SMALL, "nvml.used(1)")

    kept = [line for line in text.splitlines() if line]
    assert [line for line in kept if line.startswith(("def", "class", "@", "_", "NVML", "LATE"))] == [
        "NVML_ERROR_ODD = 7",
        "_SIZE = 8",
        "_SIZE = 16",
        "def used(n):",
        "@wraps(used)",
        "def helper(n):",
    ]
    assert "Unused" not in text
    assert "except OSError:" in text
    lines = SMALL.splitlines()
    assert all(line in ("", lines[place]) for place, line in enumerate(text.splitlines()))


def _globals_of(code: CodeType) -> set[str]:
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return set(code.co_names).union(*map(_globals_of, inner))


def test_every_name_that_we_use_is_there_and_none_that_it_needs_is_missing() -> None:
    cut = binding._run("pynvml", binding._cut_apart("pynvml"))

    ours = set(re.findall(r"\b(?:nvml[A-Z]|NVML|c_nvml)\w*", "".join(binding._own_sources())))
    assert len(ours & vars(whole).keys()) > 40
    assert ours & vars(whole).keys() <= vars(cut).keys()
    known = vars(cut).keys() | vars(builtins).keys()
    code = compile(binding.cut(_text(), "".join(binding._own_sources())), "pynvml", "exec")
    assert _globals_of(code) & vars(whole).keys() <= known
    assert len(vars(cut)) < len(vars(whole)) / 5
    assert type(cut.NVMLError(3)).__name__ == "NVMLError_NotSupported"
    assert str(cut.NVMLError(3)) == str(whole.NVMLError(3))


def _text() -> str:
    return Path(binding.source_of("pynvml")).read_text(encoding="utf-8")


@pytest.mark.parametrize("code", ["raise NameError('odd')", "import threading; threading.Event", "("])
def test_one_that_cannot_be_cut_is_loaded_whole(code: str) -> None:
    program = (
        "import sys; sys.path += sys.argv[1:3]; from slurm_guard.sampler import binding\n"
        "binding._cut_apart = lambda name: compile(sys.argv[3], name, 'exec')\n"
        "found = binding.load('pynvml'); import threading, functools\n"
        "print(sum(name[:2] != '__' for name in vars(found)), found is sys.modules['pynvml'],"
        " threading.Thread, functools.partial)"
    )
    where = [str(ROOT), str(Path(whole.__file__).parent)]

    done = subprocess.run(
        [sys.executable, "-IS", "-c", program, *where, code], capture_output=True, text=True, check=True
    )

    # a warning or a debugger leaves names of its own in a module that is in use
    assert done.stdout.split()[:2] == [str(sum(name[:2] != "__" for name in vars(whole))), "True"]
