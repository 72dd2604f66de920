"""Two Debian packages of a tree: `slurm-guard-node`, and `slurm-guard` with what the head needs beside it."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

from tools.packages.tree import ROOT, Tree, run

TEXTS = ROOT / "packaging/deb"


def make_debs(tree: Tree, scratch: Path, out: Path, epoch: int) -> list[Path]:
    """Both, in `out`; the same tree and epoch give the same bytes."""
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    major, minor = tree.python
    words = {
        "version": f"{tree.version}-1",
        "architecture": architecture,
        "python": f"python3 (>= {major}.{minor}~), python3 (<< {major}.{minor + 1}~)",
    }
    made = []
    for name, files in (("slurm-guard-node", tree.node), ("slurm-guard", tree.head)):
        folder = scratch / name
        _place(tree, files, folder)
        _papers(folder, name, epoch)
        _control(folder, name, words)
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (epoch, epoch), follow_symlinks=False)
        path = out / f"{name}_{words['version']}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zzstd", "--build", folder, path, SOURCE_DATE_EPOCH=str(epoch))
        made.append(path)
    return made


def _place(tree: Tree, files: tuple[Path, ...], folder: Path) -> None:
    for path in files:
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree.stage / path, to, follow_symlinks=False)
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _papers(folder: Path, name: str, epoch: int) -> None:
    """What Debian wants below /usr/share/doc."""
    papers = folder / "usr/share/doc" / name
    papers.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "LICENSE", papers / "copyright")
    changes = gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=epoch)
    (papers / "changelog.gz").write_bytes(changes)
    for path in papers.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)


def _control(folder: Path, name: str, words: dict[str, str]) -> None:
    size_kib = sum(-(-path.lstat().st_size // 1024) for path in folder.rglob("*") if not path.is_dir())
    control = folder / "DEBIAN"
    control.mkdir(mode=0o755)
    text = (TEXTS / f"{name}.control").read_text("utf-8")
    (control / "control").write_text(text.format(**words, size_kib=size_kib), "utf-8")
    for script in ("postinst", "prerm"):
        given = TEXTS / f"{name}.{script}"
        if given.exists():
            shutil.copyfile(given, control / script)
            (control / script).chmod(0o755)
    sums = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    lines = [f"{_md5(path)}  {path.relative_to(folder)}\n" for path in sums if "DEBIAN" not in path.parts]
    (control / "md5sums").write_text("".join(lines), "utf-8")
    (control / "md5sums").chmod(0o644)


def _md5(path: Path) -> str:
    import hashlib

    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()  # dpkg's format
