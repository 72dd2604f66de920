"""The RPM packages of a tree, by packaging/rpm/slurm-guard.spec and rpmbuild."""

import shutil
import sys
import tarfile
from pathlib import Path

from tools.packages.tree import ROOT, Tree, run

SPEC = ROOT / "packaging/rpm/slurm-guard.spec"


def make_rpms(tree: Tree, scratch: Path, out: Path, epoch: int) -> list[Path]:
    """`slurm-guard-node` and `slurm-guard`, in `out`."""
    if shutil.which("rpmbuild") is None:
        sys.exit("packages: rpmbuild is not here (RHEL: dnf install rpm-build; Debian: apt install rpm)")
    top = scratch / "rpmbuild"
    sources = top / "SOURCES"
    sources.mkdir(parents=True)
    for name, files in (("node", tree.node), ("head", tree.head)):
        (sources / f"{name}.files").write_text("".join(f'"/{path}"\n' for path in files), "utf-8")
    with tarfile.open(sources / "tree.tar.gz", "w:gz") as tar:
        for path in (*tree.node, *tree.head):
            tar.add(tree.stage / path, f"tree/{path}", recursive=False)
    for name in ("LICENSE", "CHANGELOG.md"):
        shutil.copyfile(ROOT / name, sources / name)
    defines = {
        "_topdir": str(top),
        "guard_version": tree.version,
        "python_abi": ".".join(map(str, tree.python)),
        "use_source_date_epoch_as_buildtime": "1",
        "clamp_mtime_to_source_date_epoch": "1",
        "_buildhost": "localhost",
    }
    words = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    run("rpmbuild", "-bb", *words, SPEC, SOURCE_DATE_EPOCH=str(epoch))
    made = []
    for path in sorted((top / "RPMS").rglob("*.rpm")):
        shutil.copyfile(path, out / path.name)
        made.append(out / path.name)
    return made
