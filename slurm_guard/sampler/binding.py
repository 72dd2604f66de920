"""pynvml, as little of it as we use: it has 2,400 definitions, which take 2 MB for good, and we use sixty.

A child cuts its source into top-level definitions, keeps those that our own source names and all that these
name in turn, and hands the compiled rest back. What it cannot cut is imported whole.

What it imports of the standard library is stood in for: of each it uses one function, if any. The real
`ctypes.util` loads `shutil`, `subprocess` and three compressors, 1 MB; `functools`, `threading` and `string`
load `collections`, `re` and `enum`, another one.
"""

from __future__ import annotations

import _thread
import marshal
import os
import sys
from types import ModuleType

from slurm_guard.light import Any
from slurm_guard.sampler import children

NAME = "guard-binding"  # of the child, for those who look at processes
_STANDINS: dict[str, dict[str, Any]] = {
    "ctypes.util": {"find_library": lambda name: None},  # it never calls it on Linux
    "functools": {"wraps": lambda wrapped: lambda wrapper: wrapper},
    "string": {"capwords": lambda text, sep: sep.join(word.capitalize() for word in text.split(sep))},
    "threading": {"Lock": _thread.allocate_lock},
}
_USERS = ("accounting", "fieldset", "gpm", "nvml", "nvml_board")  # our files that name what they use of it
_ALWAYS = "NVML_ERROR_"  # pynvml makes a class of each, found by `dir`
# Where a definition begins: in the first column, but for what belongs to the one before.
_BEGIN = r"\n(?=[A-Za-z_@])(?!(?:else|elif|except|finally)\b)"
_DEFINED = r"(?:@.*\n)*(?:def|class)\s+(\w+)|(\w+)\s*=(?!=)"


def load(name: str) -> Any:
    """The module, with at least what our files name. Raises ImportError where there is none."""
    if name in sys.modules:
        return sys.modules[name]
    try:
        return _run(name, _cut_apart(name))
    except Exception:  # noqa: BLE001  whatever a release does that we do not know: then the whole
        return __import__(name)


def _run(name: str, code: Any) -> ModuleType:
    """Among the modules only meanwhile, as the stand-ins: who imports it later wants all of it."""
    module = ModuleType(name)
    own = {name: module}
    for real, parts in _STANDINS.items():
        if real not in sys.modules:
            own[real] = ModuleType(real)
            vars(own[real]).update(parts)
    before = sys.modules.get(name)
    sys.modules.update(own)
    try:
        exec(code, vars(module))  # noqa: S102  NVIDIA's own source
    finally:
        for real in own:
            del sys.modules[real]
        if before is not None:
            sys.modules[name] = before
    return module


def _cut_apart(name: str) -> Any:
    """The code, from a child: to cut and to compile it takes 3 MB."""
    child = children.fork(NAME, lambda _, out: _tell(name, out))
    os.set_blocking(child.out, True)
    with open(child.out, "rb", closefd=False) as told:
        said = told.read()
    child.kill()
    child.wait(1.0)
    return marshal.loads(said)  # noqa: S302  our own child's; nothing, where it failed, is an EOFError


# -- the child


def _tell(name: str, out: int) -> None:
    path = source_of(name)
    with open(path, encoding="utf-8") as source:
        text = cut(source.read(), "".join(_own_sources()))
    with open(out, "wb") as into:
        into.write(marshal.dumps(compile(text, path, "exec", dont_inherit=True)))


def source_of(name: str) -> str:
    """The file of a module that is one file of source. Raises ImportError."""
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return spec.origin
    raise ImportError(f"no source of {name}")


def _own_sources() -> list[str]:
    folder = os.path.dirname(os.path.abspath(__file__))
    found = []
    for user in _USERS:
        with open(os.path.join(folder, f"{user}.py"), encoding="utf-8") as source:
            found.append(source.read())
    return found


def cut(text: str, users: str) -> str:
    """The module's text without the definitions that neither `users` name nor what is kept; what defines no
    name is kept, and every line keeps its number.
    """
    import re

    chunks: list[str] = []
    for part in re.split(_BEGIN, text):
        if chunks and chunks[-1].startswith("@") and "\n" not in chunks[-1]:
            chunks[-1] += f"\n{part}"  # the decorator's function
        else:
            chunks.append(part)
    places: dict[str, list[int]] = {}
    kept: set[int] = set()
    for place, chunk in enumerate(chunks):
        found = re.match(_DEFINED, chunk)
        if found is None or (found[1] or found[2]).startswith(_ALWAYS):
            kept.add(place)
        if found is not None:
            places.setdefault(found[1] or found[2], []).append(place)
    todo = [users, *(chunks[place] for place in kept)]
    while todo:
        for word in set(re.findall(r"\w+", todo.pop())):
            fresh = set(places.get(word, ())) - kept
            kept |= fresh
            todo += [chunks[place] for place in fresh]
    return "\n".join(
        chunk if place in kept else "\n" * chunk.count("\n") for place, chunk in enumerate(chunks)
    )
