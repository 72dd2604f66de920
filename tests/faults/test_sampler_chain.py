"""The numbers of a stream go on whatever was removed, damaged or said after the end."""

import json
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.streams import Streams
from slurm_guard.sampler.writer import Instant, Stream, prepare
from tests.faults.segments import NAME, RUN, assert_the_seal_holds, event_of, live_once, origin_of


@pytest.mark.parametrize("kept_s", [0, 1, 2, 3])
def test_a_sequence_goes_on_when_its_segments_were_removed(tmp_path: Path, kept_s: int) -> None:
    prepare(str(tmp_path))
    first = Stream(origin_of(tmp_path), RUN)
    for n in range(3):
        first.write(event_of(n), Instant(1000.0 + n, float(n)))
        first.close("rotate", Instant(1000.5 + n, n + 0.5))
    digests = [part.sha256 for part in first.closed]
    for path in sorted((tmp_path / "sealed").iterdir())[: 3 - kept_s]:
        path.unlink()

    second = Stream(origin_of(tmp_path), RUN)
    second.write(event_of(3), Instant(1010.0, 10.0))
    second.close("run-ended", Instant(1011.0, 11.0))

    assert (tmp_path / "sealed" / NAME.replace("000000", "000003")).exists()
    assert second.seal("epilog", Instant(1012.0, 12.0))
    seal = json.loads(next((tmp_path / "seals").iterdir()).read_bytes())
    assert [part[2] for part in seal["segments"]][:3] == digests
    assert not list((tmp_path / "chain").iterdir()), "a sealed run needs no chain"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format":2}', '{"format":1,"closed":[[0]],"lost":[]}'])
def test_a_damaged_chain_is_read_from_the_segments_again(tmp_path: Path, damage: str) -> None:
    prepare(str(tmp_path))
    first = Stream(origin_of(tmp_path), RUN)
    first.write(event_of(0), Instant(1000.0, 0.0))
    first.close("rotate", Instant(1000.5, 0.5))
    (tmp_path / "chain" / f"{wire.stem(RUN)}.json").write_text(damage)

    assert Stream(origin_of(tmp_path), RUN).closed == first.closed


def test_what_is_said_of_a_sealed_run_stands_in_the_nodes_own_stream(tmp_path: Path) -> None:
    prepare(str(tmp_path))
    live_once(tmp_path)
    before = sorted(path.name for path in (tmp_path / "sealed").iterdir())
    streams = Streams(origin_of(tmp_path), Journal("/nonexistent/log"))

    streams.write(RUN, event_of(9), Instant(1100.0, 100.0))
    streams.close("sampler-stopped", Instant(1101.0, 101.0))

    after = sorted(path.name for path in (tmp_path / "sealed").iterdir())
    assert [name for name in after if name not in before] == ["node_abcdef01.000000.jsonl"]
    assert_the_seal_holds(tmp_path)
