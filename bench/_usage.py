"""CPU time and memory of a process with all its children, watched from outside."""

import os
import time
from pathlib import Path
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """`pss_kib`: shared pages divided among all that share them, on this machine. `alone_kib`: private pages
    of all, and the largest shared part once: what the tree would take if nothing else ran Python. `rss_kib`:
    shared pages once for each process."""

    pss_kib: int
    alone_kib: int
    rss_kib: int
    by_name_kib: dict[str, int]  # PSS by the name that the process gave itself


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


def _shares_memory(pid: int) -> bool:
    """Whether a process is between vfork and exec: its parent waits for it with the same words."""
    cells = _stat(pid)
    parent = None if cells is None else _stat(int(cells[1]))
    if cells is None or parent is None or parent[0] != "D":
        return False
    try:
        line, parents = (Path(f"/proc/{one}/cmdline").read_bytes() for one in (pid, int(cells[1])))
    except OSError:
        return False
    return line == parents


def memory(root: int) -> Memory:
    """The tree's memory now."""
    pss, private, shared, rss = 0, 0, 0, 0
    names: dict[str, int] = {}
    for pid in tree(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        if _shares_memory(pid):
            continue  # between vfork and exec: the same memory once more
        sizes = {line.split(":")[0]: int(line.split()[-2]) for line in lines[1:]}
        own = sizes["Private_Clean"] + sizes["Private_Dirty"]
        pss, private, rss = pss + sizes["Pss"], private + own, rss + sizes["Rss"]
        shared = max(shared, sizes["Rss"] - own)
        names[name] = names.get(name, 0) + sizes["Pss"]
    return Memory(pss, private + shared, rss, names)


class Watch(NamedTuple):
    """What a tree took over a time."""

    cpu_pct: float  # of one core
    pss_mib: float  # peak
    alone_mib: float  # peak
    rss_mib: float  # peak
    by_name_mib: dict[str, float]  # at the peak


def watch(root: int, warm_s: float, seconds: float) -> Watch:
    """Let the tree start for `warm_s`, then follow it for `seconds`; the peaks are those of both times."""
    peak = memory(root)
    alone_kib, rss_kib = peak.alone_kib, peak.rss_kib
    begin_s, begun_s, used_s = time.monotonic(), None, 0.0
    while (now_s := time.monotonic()) < begin_s + warm_s + seconds:
        if begun_s is None and now_s >= begin_s + warm_s:
            begun_s, used_s = now_s, cpu_s(root)
        seen = memory(root)
        peak = max(peak, seen, key=lambda memory: memory.pss_kib)
        alone_kib, rss_kib = max(alone_kib, seen.alone_kib), max(rss_kib, seen.rss_kib)
        time.sleep(0.5)
    assert begun_s is not None
    share = (cpu_s(root) - used_s) / (time.monotonic() - begun_s)
    names = {name: kib / 1024 for name, kib in peak.by_name_kib.items()}
    return Watch(100 * share, peak.pss_kib / 1024, alone_kib / 1024, rss_kib / 1024, names)
