"""Scripts of the packages: what an installation still uses is not removed."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.install.image import install, make_image

PACKAGING = Path(__file__).parents[3] / "packaging"
JOURNAL = "var/lib/slurm-guard/install/journal.json"


def script(package: str, kind: str) -> tuple[str, list[str]]:
    """What runs before a package goes, and the words that say that it is not upgraded."""
    if kind == "deb":
        return (PACKAGING / f"deb/{package}.prerm").read_text(), ["remove"]
    spec = (PACKAGING / "rpm/slurm-guard.spec").read_text()
    name = "%preun node" if package == "slurm-guard-node" else "%preun"
    found = re.search(rf"^{name}\n(.*?)(?=^%|\Z)", spec, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the spec has no {name}"
    return found[1], ["0"]


def remove(root: Path, package: str, kind: str, words: list[str] | None = None) -> tuple[int, str]:
    text, going = script(package, kind)
    assert f"/{JOURNAL}" in text
    argv = ["/bin/sh", "-c", text.replace(f"/{JOURNAL}", str(root / JOURNAL)), "x", *(words or going)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("kind", ["deb", "rpm"])
@pytest.mark.parametrize(
    ("role", "package", "refused"),
    [
        ("node", "slurm-guard-node", True),
        ("node", "slurm-guard", False),
        ("head", "slurm-guard-node", True),
        ("head", "slurm-guard", True),
        ("all", "slurm-guard", True),
    ],
)
def test_a_package_that_is_in_use_does_not_go(
    tmp_path: Path, kind: str, role: str, package: str, refused: bool
) -> None:
    root = make_image(tmp_path / "image")
    install(root, role)

    code, said = remove(root, package, kind)

    assert (code != 0) == refused
    assert ("slurm-guard uninstall --apply" in said) == refused


@pytest.mark.parametrize("kind", ["deb", "rpm"])
@pytest.mark.parametrize("package", ["slurm-guard-node", "slurm-guard"])
def test_it_goes_where_nothing_is_installed_and_is_upgraded_where_something_is(
    tmp_path: Path, kind: str, package: str
) -> None:
    root = make_image(tmp_path / "image")
    assert remove(root, package, kind) == (0, "")

    install(root)

    assert remove(root, package, kind, ["upgrade", "2"] if kind == "deb" else ["1"]) == (0, "")
