"""No run takes what all runs of a node share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_guard.clock import FakeClock
from slurm_guard.sampler import fdowners
from slurm_guard.sampler.fair import runs_short, share_out
from slurm_guard.sampler.fdowners import Owners
from slurm_guard.sampler.process import Process
from slurm_guard.sampler.procfs import Stat
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import FakeProc


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 500), max_size=9), st.integers(0, 600))
def test_nobody_gets_more_than_he_wants_and_nobody_short_gets_less_than_another(
    wanted: dict[str, int], most: int
) -> None:
    given_ = share_out(wanted, most)

    assert sum(given_.values()) == min(most, sum(wanted.values()))
    short = runs_short(wanted, given_)
    assert all(given_[run] <= wanted[run] for run in wanted)
    assert all(given_[run] + 1 >= given_[other] for run in short for other in wanted)


def test_a_jobs_many_descriptors_cost_no_other_job_its_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fdowners, "MOST_LINKS", 40)
    proc = FakeProc(FakeClock())
    members = []
    for pid in range(1, 31):
        proc.start(pid, 1000)
        process = Process(Stat(pid, "x", "S", 1, pid, 0, False), 0.0, Instant(0.0, 0.0))
        process.run = "small" if pid == 30 else "big"
        members.append(process)
        proc.link_texts.update({f"{pid}/fd/{n}": "/dev/null" for n in range(9)})
    proc.link_texts["30/fd/9"] = "socket:[11]"
    proc.link_texts["29/fd/9"] = "socket:[12]"
    owners = Owners(proc)

    found, unread = owners.find({11, 12, 13}, members)
    assert ({inode: p.pid for inode, p in found.items()}, unread) == ({11: 30}, {"big"})
    looks = [owners.find({12}, members) for _ in range(12)]
    assert any({p.pid for p in found.values()} == {29} for found, _ in looks)
