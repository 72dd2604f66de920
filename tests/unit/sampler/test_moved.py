"""What the kernel counts of a process's reading and writing: the facts that docs/method.md rests on."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

from slurm_guard.sampler.procfs import Moved, Proc

MIB = 1 << 20


def _moved() -> Moved:
    return Proc().moved(os.getpid())


def _grown(before: Moved) -> tuple[int, int]:
    now = _moved()
    assert None not in (*before, *now)
    return now.read_b - before.read_b, now.written_b - before.written_b  # type: ignore[operator]


def test_reads_count_though_they_come_from_memory(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * MIB)
    before = _moved()

    (tmp_path / "data").read_bytes()

    read_b, _ = _grown(before)
    assert MIB <= read_b < 1.1 * MIB


def test_what_is_written_through_a_mapping_is_in_no_count_of_writes(tmp_path: Path) -> None:
    with (tmp_path / "saved").open("w+b") as file:
        file.truncate(MIB)
        before = _moved()
        with mmap.mmap(file.fileno(), MIB) as mapped:
            mapped[:] = b"x" * MIB

        assert _grown(before)[1] < 4096


def test_a_child_counts_for_its_parent_once_it_was_waited_for(tmp_path: Path) -> None:
    words = f"open({str(tmp_path / 'saved')!r}, 'wb').write(b'x' * {MIB}); print(flush=True); input()"
    before = _moved()
    with subprocess.Popen(
        [sys.executable, "-IS", "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alive_b = _grown(before)[1]
        child.communicate(b"\n")
    ended_b = _grown(before)[1]

    assert alive_b < 4096
    assert ended_b >= MIB
