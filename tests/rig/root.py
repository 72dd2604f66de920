"""Runs the rig inside a folder with another Debian and its Slurm (made by tools/slurm-root).

`python -m tests.rig --slurm-root DIR …` does it for the rig's commands, `python -m tests.rig.root DIR WORDS`
for anything else that Python can run: `-m tests.rig.record_env --dir …`, `-m pytest tests/unit`. With
`--fresh` before the folder what is written is laid over it, in DIR.fresh, and is gone at the next time: for
what installs.

All mounts are made in a mount namespace of their own: they go with its last process, also after a crash.
Processes, network and control groups are the machine's, so that `down` finds what a crash left.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.rig.layout import CHECKOUT, RigError

INSIDE = "/srv/slurm-guard"  # where the checkout stands in a root: the root's packages point there
_PYTHON = "/opt/venv/bin/python"
# $1 the root, $2 the checkout; then folders that have the same name inside, "--", and Python's words.
_SCRIPT = """
set -e
root=$1 checkout=$2 fresh=$3
shift 3
if [ "$fresh" = fresh ]; then
    exec 9>"$root.fresh.lock"
    flock -n 9 || { echo "rig: $root.fresh is in use by another" >&2; exit 1; }
    rm -rf "$root.fresh"
    mkdir -p "$root.fresh/upper" "$root.fresh/work"
    mount -t overlay -o "lowerdir=$root,upperdir=$root.fresh/upper,workdir=$root.fresh/work" fresh "$root" ||
        { echo "rig: --fresh needs overlayfs, and a file system under $root that it can lie on" >&2; exit 1; }
else
    mount --bind "$root" "$root"  # a mount point, so that `unshare --mount` works inside, too
fi
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
[ ! -e /etc/hosts ] || { : >>"$root/etc/hosts"; mount --bind /etc/hosts "$root/etc/hosts"; }
mount --bind "$checkout" "$root%(inside)s"
while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift
done
shift
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root TERM=dumb \\
    sh -c 'cd %(inside)s && exec %(python)s "$@"' sh "$@"
""" % {"inside": INSIDE, "python": _PYTHON}  # noqa: UP031  (the script is full of braces)


def is_made(root: Path) -> bool:
    """Whether tools/slurm-root has finished there."""
    return (root / _PYTHON[1:]).is_symlink() and any(root.glob(".made-venv.*"))


def folder_inside(root: Path) -> str:
    """Where a root's rig is by default, as seen from inside. No two roots' are the same: a rig finds what it
    left by the path in its processes' environment, and all roots' processes are the machine's."""
    return f"/rig-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"


def command(
    root: Path, words: Sequence[str], shared: Iterable[Path] = (), *, fresh: bool = False
) -> list[str]:
    """What to execute for `python WORDS` in the root; `shared`: existing folders with the same name there;
    `fresh`: the root stays as it is."""
    root = root.resolve()
    if os.geteuid() != 0:
        raise RigError("entering a root needs root")
    if not is_made(root):
        raise RigError(f"{root} is no finished root; `tools/slurm-root SUITE {root}` makes one")
    folders = [str(path.resolve()) for path in shared]
    script = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT, "sh"]
    return [*script, str(root), str(CHECKOUT), "fresh" if fresh else "as-it-is", *folders, "--", *words]


if __name__ == "__main__":
    given = [word for word in sys.argv[1:2] if word != "--fresh"] + sys.argv[2:]
    if len(given) < 2:
        sys.exit("usage: python -m tests.rig.root [--fresh] DIR WORDS-FOR-PYTHON")
    try:
        argv = command(Path(given[0]), given[1:], fresh="--fresh" in sys.argv[1:2])
    except RigError as error:
        sys.exit(f"rig: {error}")
    os.execvp(argv[0], argv)
