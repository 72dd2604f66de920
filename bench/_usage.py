"""CPU time and memory of a process with all its children, watched from outside."""

import os
import time
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """`pss_kib`: shared pages divided among all that share them, on this machine. `alone_kib`: private pages
    of all, and the largest shared part once: what the tree would take if nothing else ran Python."""

    pss_kib: int
    alone_kib: int
    by_name_kib: dict[str, int]  # PSS by the last word of the program's path


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


def tree(root: int) -> list[int]:
    """The process and its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (cells := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(cells[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def cpu_s(root: int) -> float:
    """CPU seconds of the tree so far, those of children that ended too."""
    ticks = 0
    for pid in tree(root):
        cells = _stat(pid)
        if cells is not None:
            ticks += sum(int(cell) for cell in cells[11 : 15 if pid == root else 13])
    return ticks / _TICKS


def memory(root: int) -> Memory:
    """The tree's memory now."""
    pss, private, shared = 0, 0, 0
    names: dict[str, int] = {}
    seen: set[str] = set()
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            line = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if line in seen:
            continue  # between vfork and exec: the same memory once more
        seen.add(line)
        words = line.split("\0")
        sizes = {line.split(":")[0]: int(line.split()[-2]) for line in lines[1:]}
        own = sizes["Private_Clean"] + sizes["Private_Dirty"]
        pss, private = pss + sizes["Pss"], private + own
        shared = max(shared, sizes["Rss"] - own)
        name = next((w.rsplit("/", 1)[-1] for w in words[1:] if w and not w.startswith("-")), words[0])
        names[name] = names.get(name, 0) + sizes["Pss"]
    return Memory(pss, private + shared, names)


class Watch(NamedTuple):
    """What a tree took over a time."""

    cpu_pct: float  # of one core
    pss_mib: float  # peak
    alone_mib: float  # peak
    by_name_mib: dict[str, float]  # at the peak


def watch(root: int, warm_s: float, seconds: float) -> Watch:
    """Let the tree start for `warm_s`, then follow it for `seconds`; the peaks are those of both times."""
    peak = memory(root)
    alone_kib = peak.alone_kib
    begin_s, begun_s, used_s = time.monotonic(), None, 0.0
    while (now_s := time.monotonic()) < begin_s + warm_s + seconds:
        if begun_s is None and now_s >= begin_s + warm_s:
            begun_s, used_s = now_s, cpu_s(root)
        seen = memory(root)
        peak = max(peak, seen)
        alone_kib = max(alone_kib, seen.alone_kib)
        time.sleep(0.5)
    assert begun_s is not None
    share = (cpu_s(root) - used_s) / (time.monotonic() - begun_s)
    names = {name: kib / 1024 for name, kib in peak.by_name_kib.items()}
    return Watch(100 * share, peak.pss_kib / 1024, alone_kib / 1024, names)
