"""Killed at any byte: what was written before is kept whole, and the chain goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm_guard.sampler.chain import read_chain
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.recover import recover
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import Instant, prepare
from tests.faults.disk import killed_at
from tests.faults.segments import RUN, assert_the_seal_holds, event_of, events_in, live_once, origin_of

_WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from slurm_guard import wire
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare
spool = sys.argv[1]
prepare(spool)
stream = Stream(Origin(spool, "n1", "c", "abcdef01", 60.0, 1.0), "c/7/n1/abcdef01/1000")
n = 0
while True:
    stream.write(wire.Event(float(n), None, "test", {"n": n}), Instant(float(n), float(n)))
    n += 1
    if n % 500 == 0:
        stream.close("rotate", Instant(float(n), float(n)))
"""


def test_a_writer_killed_while_writing_leaves_a_chain_without_a_hole(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-I", "-c", _WRITER, str(tmp_path), root])
        time.sleep(0.25)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()

        recover(str(tmp_path), 5.0)

    chain = read_chain(str(tmp_path), "c_7_n1_abcdef01_1000").closed
    heads = [
        json.loads(
            (tmp_path / "sealed" / f"c_7_n1_abcdef01_1000.{part.seq:06d}.jsonl").read_bytes().splitlines()[0]
        )
        for part in chain
    ]
    assert [part.seq for part in chain] == list(range(len(chain)))
    assert [head["prev_sha256"] for head in heads] == [None, *(part.sha256 for part in chain[:-1])]
    assert len(chain) > 3


def test_a_sampler_killed_before_any_call_is_taken_up_and_nothing_whole_is_lost(tmp_path: Path) -> None:
    nth = 1
    while True:
        spool = tmp_path / str(nth)
        prepare(str(spool))
        killed = killed_at(nth, str(spool), lambda spool=spool: live_once(spool))  # type: ignore[misc]
        recover(str(spool), 1100.0)
        before = events_in(spool)
        assert before == list(range(len(before)))
        assert not list((spool / "open").iterdir())
        if not killed:
            break

        after = Streams(origin_of(spool), Journal("/nonexistent/log"))
        if not after.is_sealed(RUN):
            after.write(RUN, event_of(len(before)), Instant(1101.0, 1.0))
            assert after.finish(RUN, "epilog", Instant(1102.0, 2.0))
            assert events_in(spool) == list(range(len(before) + 1))
        assert_the_seal_holds(spool)
        nth += 1
    assert nth > 15, "the writer's calls are not seen any more"
