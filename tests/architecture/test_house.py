"""The house rules that a linter does not know."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "slurm_guard"
HOMES = {
    "pynvml": ["sampler/nvml.py"],
    "pyslurm": ["slurm/pyslurm_db.py"],
    "polars": ["distinct.py", "lake/", "audit/", "engine/", "simulate/scale/"],
    "jinja2": ["report/render.py"],
    "css_inline": ["report/mail.py", "report/render.py", "report/inline.py"],
    "typer": ["cli/"],
    "rich": ["cli/"],
    "apprise": ["report/chat.py"],
    "boto3": ["lake/store/bucket.py"],
    "botocore": ["lake/store/bucket.py"],
    "resvg_py": ["report/images.py"],
    "markupsafe": ["report/render.py"],
    "tomli": ["config.py"],
    "tomllib": ["config.py"],
}
MAX_FILE_LINES = 350
LONGER = {"slurm_guard/wire.py": 500}  # one format, one page: record shapes without logic
MAX_FUNCTION_LINES = 60


def _sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _imported(path: Path) -> frozenset[str]:
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("package", sorted(HOMES))
def test_each_third_party_package_has_one_home(package: str) -> None:
    users = [str(path.relative_to(PACKAGE)) for path in _sources() if package in _imported(path)]

    strays = [user for user in users if not any(user.startswith(home) for home in HOMES[package])]

    assert strays == []


def test_no_file_is_longer_than_one_can_hold_in_the_head() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for path in _sources()
        if (n := len(path.read_text().splitlines())) > LONGER.get(str(path.relative_to(ROOT)), MAX_FILE_LINES)
    }

    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in _sources()
        for node in ast.walk(_tree(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or node.lineno) - node.lineno + 1 > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_every_module_says_its_job_in_one_line() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in _sources()
        if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]

    assert silent == []


def test_the_audit_reads_no_clock_and_does_no_io() -> None:
    barred = {"time", "os", "socket", "subprocess", "pathlib", "random", "io", "shutil", "tempfile"}

    found = {
        str(path.relative_to(PACKAGE)): sorted(barred & set(_imports(path)))
        for path in sorted((PACKAGE / "audit").rglob("*.py"))
        if barred & set(_imports(path))
    }

    assert found == {}
