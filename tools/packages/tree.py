"""What both kinds of package carry: an environment at /opt/slurm-guard, in a node's half and the head's.

It is made by the interpreter that it will run with, from the locked requirements and this checkout's wheel.
It can be moved: its program finds the interpreter beside itself, and nothing in it names the folder that it
was made in.
"""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPT = Path("opt/slurm-guard")
DOC = Path("usr/share/doc/slurm-guard-node")
NODE_ROOTS = (
    "slurm-guard",
    "typer",
    "nvidia-ml-py",
    "tomli",
)  # what a node's half needs; the rest is the head's

PROGRAM = """\
#!/bin/sh
# Finds its interpreter beside itself, through links too, wherever the folder was put.
here=$(dirname -- "$(readlink -f -- "$0")")
main='import sys; sys.argv[0] = "slurm-guard"; from slurm_guard.cli.app import main; main()'
exec "$here/python" -I -c "$main" "$@"
"""


@dataclass(frozen=True, slots=True)
class Tree:
    """A staged `/`; `node` and `head` are its files and links, relative, sorted, each in one of the two."""

    stage: Path
    version: str
    python: tuple[int, int]
    node: tuple[Path, ...]
    head: tuple[Path, ...]


def make_tree(stage: Path, python: str, epoch: int) -> Tree:
    """Fill `stage`, which must not exist; every file's time is `epoch`, seconds."""
    place = stage / OPT
    place.parent.mkdir(parents=True)
    run(python, "-m", "venv", "--without-pip", place)
    wheel = build_wheel(stage.parent)
    pip = (sys.executable, "-m", "pip", "--python", place / "bin/python", "install", "-q", "--no-compile")
    run(*pip, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    run(*pip, "--no-deps", wheel)
    version = re.sub(r"^[^-]+-([^-]+)-.*$", r"\1", wheel.name)
    site = next((place / "lib").glob("python3.*/site-packages"))
    major, minor = (int(part) for part in site.parent.name.removeprefix("python").split("."))
    _forget_where(place, site)
    _program(place, site)
    _compile(stage, site)
    beside = _beside(stage, place)
    node, head = _halves(stage, site)
    _set_times(stage, epoch)
    common = [path for path in _walk(stage) if site not in (stage / path).parents]
    assert set(beside) <= set(common)
    return Tree(stage, version, (major, minor), tuple(sorted({*node, *common})), tuple(sorted(head)))


def build_wheel(out: Path) -> Path:
    """This checkout's wheel in `out`."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, ROOT)
    return next(out.glob("slurm_guard-*.whl"))


def run(*words: str | Path, **more: str) -> None:
    """A program; what it said only when it failed."""
    done = subprocess.run(
        [str(word) for word in words], env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"packages: {' '.join(map(str, words))[:200]}\n{done.stdout}{done.stderr}")


def _forget_where(place: Path, site: Path) -> None:
    """Nothing may name the folder that the tree was made in."""
    config = place / "pyvenv.cfg"
    kept = [line for line in config.read_text("utf-8").splitlines() if not line.startswith("command")]
    config.write_text("\n".join(kept) + "\n", "utf-8")
    for found in site.glob("*.dist-info"):
        record = found / "RECORD"
        gone = (
            f"{found.name}/direct_url.json",
            f"{found.name}/REQUESTED",
            f"{found.name}/INSTALLER",
            "../../../",
        )
        lines = [line for line in record.read_text("utf-8").splitlines() if not line.startswith(gone)]
        record.write_text("\n".join(lines) + "\n", "utf-8")
        for name in ("direct_url.json", "REQUESTED", "INSTALLER"):
            (found / name).unlink(missing_ok=True)


def _program(place: Path, site: Path) -> None:
    """The interpreter's names and our program: no scripts of libraries, no shell's activation."""
    for path in (place / "bin").iterdir():
        if not path.name.startswith("python"):
            path.unlink()
    program = place / "bin/slurm-guard"
    program.write_text(PROGRAM, "utf-8")
    program.chmod(0o755)
    (site / "example.py").unlink(missing_ok=True)  # NVIDIA's, at the top of everybody's modules
    for name in ("include", "lib64"):
        path = place / name
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)


def _compile(stage: Path, site: Path) -> None:
    """Root runs this, and would write compiled files that a removed package leaves behind."""
    compileall.compile_dir(
        site, quiet=2, stripdir=str(stage), prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip


def _beside(stage: Path, place: Path) -> list[Path]:
    """What lies outside /opt: the program on the PATH, the manual pages and the documents."""
    made = [Path("usr/bin/slurm-guard")]
    (stage / made[0]).parent.mkdir(parents=True)
    (stage / made[0]).symlink_to("/" + str(OPT / "bin/slurm-guard"))
    pages = stage / "usr/share/man/man1"
    pages.mkdir(parents=True)
    for page in sorted((place / "share/man/man1").glob("*.1")):
        run("gzip", "-9n", page)
        shutil.move(f"{page}.gz", pages)
        made.append(Path("usr/share/man/man1") / f"{page.name}.gz")
    shutil.rmtree(place / "share")
    return made + _documents(stage)


def _documents(stage: Path) -> list[Path]:
    """The pages that messages, man and each other name, in folders as a checkout has them."""
    made = []
    for page in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "prolog/README.md", ROOT / "epilog/README.md"):
        made.append(DOC / page.relative_to(ROOT))
        (stage / made[-1]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, stage / made[-1])
        (stage / made[-1]).chmod(0o644)
    return made


def _halves(stage: Path, site: Path) -> tuple[list[Path], list[Path]]:
    """Files of what a node needs, and of all else, each with its compiled ones."""
    found = {_name(one.metadata["Name"]): one for one in distributions(path=[str(site)])}
    wanted, left = set(), [_name(name) for name in NODE_ROOTS if _name(name) in found]
    while left:
        name = left.pop()
        wanted.add(name)
        # Our own requirements are the head's too: the node's are named above.
        needs = [] if name == "slurm-guard" else _needs(found[name])
        left += [other for other in needs if other in found and other not in wanted]
    node = {path.relative_to(stage) for name in wanted for path in _files(found[name], site)}
    every = {path for path in _walk(stage) if site in (stage / path).parents}
    return sorted(every & node), sorted(every - node)


def _name(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def _needs(one: Distribution) -> Iterable[str]:
    for text in one.requires or ():
        if "extra ==" not in text:
            match = re.match(r"[A-Za-z0-9._-]+", text)
            if match:
                yield _name(match[0])


def _files(one: Distribution, site: Path) -> set[Path]:
    """Files of a distribution, as its RECORD has them, and what they were compiled to."""
    found: set[Path] = set()
    for file in one.files or ():
        path = site / str(file)
        if path.is_relative_to(site) and path.exists():
            found.add(path)
            found |= (
                set(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) if path.suffix == ".py" else set()
            )
    return found


def _walk(stage: Path) -> list[Path]:
    return sorted(
        path.relative_to(stage) for path in stage.rglob("*") if path.is_symlink() or not path.is_dir()
    )


def _set_times(stage: Path, epoch: int) -> None:
    """The same bytes give the same package; modes are what everybody may read."""
    for path in (*stage.rglob("*"), stage):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)
