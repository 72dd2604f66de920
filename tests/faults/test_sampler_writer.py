"""Killed at any byte: what was written before is kept whole, and the chain goes on."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from slurm_guard import wire
from slurm_guard.sampler.recover import read_chain, recover
from slurm_guard.sampler.writer import Instant, Origin, Stream, prepare

RUN = "c/7/n1/abcdef01/1000"
NAME = "c_7_n1_abcdef01_1000.000000.jsonl"


def _origin(spool: Path) -> Origin:
    return Origin(str(spool), "n1", "c", "abcdef01", 60.0, 1.0)


def _body(spool: Path) -> bytes:
    prepare(str(spool))
    stream = Stream(_origin(spool), RUN)
    for n in range(3):
        stream.write(wire.Event(float(n), RUN, "test", {"n": n}), Instant(1.0, 1.0))
    raw = (spool / "open" / NAME).read_bytes()
    stream.close("rotate", Instant(2.0, 2.0))
    whole = (spool / "sealed" / NAME).read_bytes()
    assert whole.startswith(raw)
    return whole


def _check(path: Path) -> tuple[int, str]:
    raw = path.read_bytes()
    records = [json.loads(line) for line in raw.splitlines()]
    tail = records[-1]
    assert records[0]["k"] == "head"
    assert tail["k"] == "tail"
    assert tail["n"] == len(records) - 2
    assert tail["sha256"] == hashlib.sha256(raw[: raw.rindex(b"\n", 0, -1) + 1]).hexdigest()
    return tail["n"], tail["reason"]


def test_a_segment_cut_at_any_byte_is_recovered_up_to_the_last_whole_record(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    spool = tmp_path / "spool"
    prepare(str(spool))
    sealed = spool / "sealed" / NAME

    for cut in range(len(whole) + 1):
        (spool / "open" / NAME).write_bytes(whole[:cut])

        found = recover(str(spool), 9.0)

        lines = whole[:cut].count(b"\n")
        assert not list((spool / "open").iterdir())
        if lines == 0:
            assert (found, sealed.exists()) == ([], False)
            continue
        n, reason = _check(sealed)
        assert n == min(lines - 1, 3)
        assert reason == ("rotate" if lines == 5 else "recovered")
        assert found[0].cut_b == (0 if lines == 5 else cut - len(b"".join(whole.splitlines(True)[:lines])))
        sealed.unlink()


def test_zeros_at_the_end_after_a_power_cut_are_cut(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[: whole.index(b"\n") + 1] + b"\0" * 4096)

    recover(str(tmp_path), 9.0)

    assert _check(tmp_path / "sealed" / NAME) == (0, "recovered")


def test_recovering_twice_changes_nothing(tmp_path: Path) -> None:
    whole = _body(tmp_path / "model")
    prepare(str(tmp_path))
    (tmp_path / "open" / NAME).write_bytes(whole[:-5])
    recover(str(tmp_path), 9.0)
    before = (tmp_path / "sealed" / NAME).read_bytes()

    assert recover(str(tmp_path), 10.0) == []

    assert (tmp_path / "sealed" / NAME).read_bytes() == before


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

    chain = read_chain(str(tmp_path), "c_7_n1_abcdef01_1000")
    heads = [
        json.loads(
            (tmp_path / "sealed" / f"c_7_n1_abcdef01_1000.{part.seq:06d}.jsonl").read_bytes().splitlines()[0]
        )
        for part in chain
    ]
    assert [part.seq for part in chain] == list(range(len(chain)))
    assert [head["prev_sha256"] for head in heads] == [None, *(part.sha256 for part in chain[:-1])]
    assert len(chain) > 3
