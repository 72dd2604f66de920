"""Regular expressions without `re`, which with `enum` and `functools` takes each process 0.6 MB for good.

What matches is `_sre`, which is built in; `re` only turns a text into its program. So a child that reads the
configuration (settings.py) has all our patterns compiled by the real `re`, and tells us what it gave to
`_sre.compile`: the same interpreter takes it from us. A text of which it did not tell is compiled here.
"""

from __future__ import annotations

from slurm_guard.light import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import re

Program = list[Any]  # text, flags, code, number of groups, name -> group, names of groups

_known: dict[str, Program] = {}


def pattern(text: str) -> re.Pattern[str]:
    """As `re.compile`. Its `sub` wants a function or words without a backslash."""
    program = _known.pop(text, None)
    if program is None:
        import re

        return re.compile(text)
    import _sre  # type: ignore[import-not-found]

    words, flags, code, n_groups, groups, names = program
    made: re.Pattern[str] = _sre.compile(words, flags, code, n_groups, groups, tuple(names))
    return made


def know(programs: list[Program]) -> None:
    """Take what a child has compiled, each for one call of `pattern`."""
    _known.update((program[0], program) for program in programs)


def compile_all() -> list[Program]:
    """In a child: the programs of all patterns of the modules that the sampler will load."""
    import _sre

    told: list[Program] = []
    make = _sre.compile

    def tell(*program: Any) -> Any:
        told.append(list(program))
        return make(*program)

    _sre.compile = tell
    from slurm_guard.sampler import gpuwatch, loop, retention  # noqa: F401

    return told
