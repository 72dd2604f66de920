"""Texts that lead a regular expression into each of its repetitions, out of `re`'s own parse tree.

What stands before a repetition has to match before it is tried at all: guesses from the pattern's text miss
escaped signs and what lies behind a group. A sample here is a text that the part in question matches, as far
as it is no look-around; which of its alternatives and members it shows depends on a number, the turn.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

MANY = 8  # a repetition that may come more often can be slow (judgement)
TURNS = 3  # samples of each part
MOST = 600  # characters of a sample; a pattern has 500 (configpatterns.MAX_TEXT)
DEEPEST = 40  # groups in each other
_CANDIDATES = "a0 _=.-\té" + "".join(map(chr, range(33, 127)))
_CATEGORIES: dict[str, Callable[[str], bool]] = {
    "DIGIT": str.isdigit,
    "SPACE": str.isspace,
    "WORD": lambda char: char.isalnum() or char == "_",
}
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


def ways_in(regex: str) -> Iterator[tuple[str, str]]:
    """(what leads there, one round of it) of each repetition. Raises what compiling the expression raises."""
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    yield from _walk(list(parser.parse(regex)), "", 0)


def _walk(nodes: Sequence[Any], before: str, depth: int) -> Iterator[tuple[str, str]]:
    """The repetitions in a row of parts, and in the parts."""
    if depth > DEEPEST:
        return
    for nth, (op, arg) in enumerate(nodes):
        for turn in range(TURNS):
            prefix = (before + _sample(nodes[:nth], turn))[:MOST]
            if str(op) in _REPEATS and int(arg[1]) > MANY:
                for inner in range(TURNS):
                    if body := _sample(arg[2], inner):
                        yield prefix, body
            for inside in _inside(str(op), arg):
                yield from _walk(inside, prefix, depth + 1)
            if turn and prefix == (before + _sample(nodes[:nth], 0))[:MOST]:
                break


def _inside(op: str, arg: Any) -> list[list[Any]]:
    """The rows of parts that a part holds."""
    if op in _REPEATS:
        return [list(arg[2])]
    if op == "SUBPATTERN":
        return [list(arg[3])]
    if op == "ATOMIC_GROUP":
        return [list(arg)]
    if op in ("ASSERT", "ASSERT_NOT"):
        return [list(arg[1])]
    if op == "BRANCH":
        return [list(branch) for branch in arg[1]]
    return [list(row) for row in arg[1:] if row] if op == "GROUPREF_EXISTS" else []


def _sample(nodes: Sequence[Any], turn: int) -> str:
    """A text that these parts match, one after the other."""
    said = ""
    groups: dict[Any, str] = {}
    for op, arg in nodes:
        name = str(op)
        if name == "GROUPREF":
            part = groups.get(arg, "")
        elif name in _REPEATS:
            part = _sample(arg[2], turn) * max(int(arg[0]), turn % 2)
        elif name == "SUBPATTERN":
            part = groups[arg[0]] = _sample(arg[3], turn)
        elif name == "BRANCH":
            part = _sample(arg[1][turn % len(arg[1])], turn)
        elif name == "ATOMIC_GROUP":
            part = _sample(arg, turn)
        elif name == "GROUPREF_EXISTS":
            part = _sample(arg[1], turn)
        else:
            part = _character(name, arg, turn)
        said = (said + part)[:MOST]
    return said


def _character(op: str, arg: Any, turn: int) -> str:
    """A character of a part that is one; nothing for a place between two, or a look around."""
    if op == "LITERAL":
        return chr(arg)
    if op == "ANY":
        return _CANDIDATES[turn]
    if op == "NOT_LITERAL":
        items, wanted = [("LITERAL", arg)], False
    elif op == "IN":
        wanted = str(arg[0][0]) != "NEGATE"
        items = [(str(kind), value) for kind, value in arg]
    else:
        return ""
    own = [
        chr(value if kind == "LITERAL" else value[0]) for kind, value in items if kind in ("LITERAL", "RANGE")
    ]
    found = [char for char in dict.fromkeys([*own, *_CANDIDATES]) if _holds(items, char) == wanted]
    return found[turn * 2 % len(found)] if found else ""


def _holds(items: Sequence[tuple[str, Any]], char: str) -> bool:
    """Whether one of a class's items has the character."""
    for kind, value in items:
        if kind == "LITERAL" and ord(char) == value:
            return True
        if kind == "RANGE" and value[0] <= ord(char) <= value[1]:
            return True
        if kind == "CATEGORY":
            name = str(value).replace("CATEGORY_", "")
            test = _CATEGORIES.get(name.replace("NOT_", ""))
            if test is not None and test(char) != name.startswith("NOT_"):
                return True
    return False
