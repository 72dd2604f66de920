"""Where the programs are that the situations are made of, and which are missing here.

`tools/bootstrap network` brings them: Debian's packages, and those of PyPI and npm below `.venv-net`.
"""

import os
import shutil
from pathlib import Path

_PLACE = Path(os.environ.get("NETWORK_VENV", Path(__file__).parents[2] / ".venv-net")).absolute()
PYTHON = str(_PLACE / "bin" / "python")
LOCALTUNNEL = str(_PLACE / "node_modules" / "localtunnel" / "bin" / "lt.js")
# Debian keeps PostgreSQL's servers out of the way.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/15/bin"


def find(name: str) -> str | None:
    """A program's path: PyPI's as `pypi:NAME`, npm's `lt.js`, a library of npm's as `npm:NAME`, else the
    system's; null: not here."""
    if name.startswith("pypi:"):
        path = _PLACE / "bin" / name.removeprefix("pypi:")
    elif name.startswith("npm:"):
        path = _PLACE / "node_modules" / name.removeprefix("npm:")
    elif name == "lt.js":
        path = Path(LOCALTUNNEL)
    else:
        return shutil.which(name, path=_PATH)
    return str(path) if path.exists() else None


def path_of(name: str) -> str:
    """The same; for one whose situation named it among its needs."""
    return find(name) or name


def missing(needs: tuple[str, ...]) -> list[str]:
    """Those of the needs that are not here."""
    return [name for name in needs if find(name) is None]
