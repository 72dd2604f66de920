"""Which program a process is: of an interpreter the script or module, as any script may be given to it."""

import re

_INTERPRETER = re.compile(r"(?:python|pypy|julia|perl|ruby|node|Rscript)[\d.]*")
_NUMBER = re.compile(r"\d+")
_TAKES_VALUE = frozenset({"-X", "-W"})
_WORKERS = "multiprocessing"  # spawned workers of a Python program: a part of it, and named nowhere


def script_of(exe: str | None, cmdline: str | None) -> str | None:
    """Script or module that an interpreter runs, without its folder; null: no interpreter, or nothing told.

    A title that a program gave itself (Ray's actors, vLLM's engine) and the workers of Python's
    multiprocessing tell nothing.
    """
    words = (cmdline or "").split()
    if exe is None or len(words) < 2 or not _interprets(exe) or not _interprets(words[0]):
        return None
    place = 1
    while place < len(words):
        word = words[place]
        if word == "-m":
            return f"-m {words[place + 1]}" if place + 1 < len(words) else None
        if word == "-c":
            return None if _WORKERS in (cmdline or "") else "-c"
        if not word.startswith("-"):
            return _base(word)
        place += 2 if word in _TAKES_VALUE else 1
    return None


def are_apart(a: tuple[str | None, str | None], b: tuple[str | None, str | None]) -> bool:
    """Whether two processes, each by program file and command line, surely run different programs."""
    if a[0] is None or b[0] is None:
        return False
    if a[0] != b[0]:
        return True
    first, second = script_of(*a), script_of(*b)
    return first is not None and second is not None and first != second


def called(exe: str | None, cmdline: str | None) -> str:
    """One name for all processes of a program, however often it is started: its file, and of an interpreter
    its script. Numbers are left out, as run1.py and run2.py are the same thing twice."""
    script = script_of(exe, cmdline)
    return _NUMBER.sub("", f"{exe}" if script is None else f"{exe} {script}")


def _interprets(path: str) -> bool:
    return _INTERPRETER.fullmatch(_base(path)) is not None


def _base(path: str) -> str:
    return path.rsplit("/", 1)[-1]
