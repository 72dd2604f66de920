"""What the hooks' interpreters can do: they are started, as the hooks do, if nobody else may change them."""

import os
import re
import subprocess
from pathlib import Path

from slurm_guard.doctor.facts import HookSettings, Interpreter, Library, Nvml
from slurm_guard.doctor.finding import NotSeenError
from slurm_guard.doctor.ways import unsafe_on_way
from slurm_guard.slurm.group import run_group

_PATH = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
_MAIN = "slurm_guard/hooks/main.py"
_RELEASE = re.compile(r"__version__\s*=\s*[\"']([\w.+-]{1,40})[\"']")
_SAY = "import sys; print('%d.%d' % sys.version_info[:2], flush=True); sys.path.insert(0, sys.argv[1]); "
_HOOKS = _SAY + "import slurm_guard.hooks.boundary, slurm_guard.hooks.ticket, slurm_guard.hooks.end"
_SAMPLER = _SAY + "import pynvml; import slurm_guard.sampler.loop, slurm_guard.sampler.__main__"
_NVML = (
    "import pynvml as n; n.nvmlInit(); d = n.nvmlSystemGetDriverVersion(); "
    "print(n.nvmlDeviceGetCount(), d.decode() if isinstance(d, bytes) else d)"
)


def try_hooks(settings: HookSettings, timeout_s: float) -> Interpreter:
    """PYTHON with what the hooks import."""
    values = settings.values
    return _try(values["PYTHON"], values["LIB"], ["-B", "-IS", "-c", _HOOKS, values["LIB"]], timeout_s)


def try_sampler(settings: HookSettings, timeout_s: float) -> Interpreter:
    """SAMPLER_PYTHON with what the sampler imports."""
    values = settings.values
    return _try(
        values["SAMPLER_PYTHON"], values["LIB"], ["-B", "-I", "-c", _SAMPLER, values["LIB"]], timeout_s
    )


def _try(program: str, lib: str, words: list[str], timeout_s: float) -> Interpreter:
    path = Path(program)
    exists, executable = path.is_file(), os.access(program, os.X_OK)
    unsafe = unsafe_on_way(program) if exists else ()
    script = exists and _begins(path) == b"#!"
    inside = unsafe_on_way(f"{lib}/{_MAIN}") if Path(lib).exists() else ()
    if not (exists and executable) or unsafe or inside:
        return Interpreter(program, exists, executable, script, unsafe, False)
    try:
        done = run_group([program, *words], _PATH, timeout_s)
    except subprocess.TimeoutExpired:
        failure = f"it did not end within {timeout_s:g} s"
        return Interpreter(program, True, True, script, unsafe, True, None, failure)
    except OSError as error:
        return Interpreter(program, True, True, script, unsafe, True, None, error.strerror or str(error))
    found = re.match(rb"(\d+)\.(\d+)\s", done.stdout)
    version = (int(found[1]), int(found[2])) if found is not None else None
    failure = "" if done.returncode == 0 else _last(done.stderr, done.returncode)
    return Interpreter(program, True, True, script, unsafe, True, version, failure)


def _begins(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2)
    except OSError:
        return b""


def _last(stderr: bytes, code: int) -> str:
    lines = stderr[-4096:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"it ended with {code} and no word"


def look_at_library(settings: HookSettings) -> Library:
    """LIB and the package in it."""
    lib = settings.values["LIB"]
    try:
        text = Path(lib, "slurm_guard", "__init__.py").read_text("utf-8", "replace")[:4096]
    except OSError:
        text = ""
    found = _RELEASE.search(text)
    there = Path(lib, _MAIN).is_file()
    return Library(lib, found[1] if found is not None and there else "", unsafe_on_way(f"{lib}/{_MAIN}"))


def ask_nvml(settings: HookSettings, python: Interpreter, node: str, timeout_s: float) -> Nvml:
    """The driver's answer to the sampler's interpreter, with the library path that it gets."""
    if not python.tried or python.failure:
        raise NotSeenError("the sampler's interpreter could not be started, which another check says")
    env = dict(_PATH)
    library = settings.values.get("SAMPLER_LD_LIBRARY_PATH", "").replace("%n", node)
    if library and unsafe_on_way(library):
        raise NotSeenError(f"others may change {library}, and nothing of it was loaded")
    if library:
        env["LD_LIBRARY_PATH"] = library
    try:
        done = run_group([python.path, "-B", "-I", "-c", _NVML], env, timeout_s)
    except subprocess.TimeoutExpired:
        return Nvml(0, "", f"it did not answer within {timeout_s:g} s")
    found = re.match(rb"(\d+) ([\w.]{1,40})", done.stdout)
    if done.returncode != 0 or found is None:
        return Nvml(0, "", _last(done.stderr, done.returncode))
    return Nvml(int(found[1]), found[2].decode("ascii", "replace"))
