"""Whether a control group is frozen: what `scontrol suspend` does under proctrack/cgroup.

Seen on Slurm 22.05 with Linux 6.18: the step's first process alone gets SIGTSTP, then all are frozen. They
are D in /proc, waiting where they waited before. So the group is asked; its files are the kernel's own.
"""

import os

ROOT = "/sys/fs/cgroup"
# (folder below the root, file, what it says): cgroup v1's freezer, v2, and v2 beside v1
_PLACES = (
    ("freezer", "freezer.state", ("FROZEN",)),
    ("", "cgroup.events", ("frozen 1",)),
    ("unified", "cgroup.events", ("frozen 1",)),
)


class Freezers:
    """Asks each group once a look."""

    def __init__(self, root: str = ROOT) -> None:
        self._root = root
        self._known: dict[str, bool] = {}

    def begin(self) -> None:
        """A new look: what was known is old."""
        self._known = {}

    def is_frozen(self, path: str | None) -> bool:
        """Whether the group of that path is frozen; False also where the kernel does not say."""
        if path is None or not path.startswith("/") or "/.." in path:
            return False
        if path not in self._known:
            self._known[path] = any(self._says(path, *place) for place in _PLACES)
        return self._known[path]

    def _says(self, path: str, below: str, name: str, words: tuple[str, ...]) -> bool:
        try:
            fd = os.open(os.path.join(self._root, below, path[1:], name), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            lines = os.read(fd, 256).decode("ascii", "replace").splitlines()
        except OSError:
            return False
        finally:
            os.close(fd)
        return any(word in lines for word in words)
