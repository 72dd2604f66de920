"""Nodes that begin at the same moment do not seal at the same moment."""

from collections import Counter
from pathlib import Path

from slurm_guard import wire
from slurm_guard.sampler.events import Journal
from slurm_guard.sampler.streams import Streams, first_part
from slurm_guard.sampler.writer import Instant, Origin

HOUR = 3600.0
SECONDS = 3 * 3600


def _seals(spool: Path, node: str) -> list[float]:
    """When a stream is sealed that is written to each minute for three hours."""
    streams = Streams(
        Origin(str(spool / node), node, "alpha", "0" * 32, 60.0, 1.0), Journal("/nonexistent/log")
    )
    for kind in ("open", "sealed", "chain", "seals"):
        (spool / node / kind).mkdir(parents=True)
    sealed: list[float] = []
    for second in range(0, SECONDS, 10):
        now = Instant(1.78e9 + second, float(second))
        if second % 60 == 0:
            streams.write(None, wire.Event(now.at, None, "beat", {}, now.mono_s), now)
        streams.rotate(HOUR, now)
        if len(list((spool / node / "sealed").iterdir())) > len(sealed):
            sealed.append(now.mono_s)
    return sealed


def test_two_thousand_nodes_are_spread_over_half_an_hour() -> None:
    minutes = Counter(int(HOUR * first_part(f"gpu{i:04}") // 60) for i in range(2_000))

    assert (min(minutes), max(minutes)) == (30, 59)
    assert max(minutes.values()) < 100  # 67 on average, where it was all of them


def test_the_first_segment_is_shorter_and_every_later_one_as_long_as_asked_for(tmp_path: Path) -> None:
    first, second, *_ = _seals(tmp_path, "n1")

    assert 0.0 <= first - HOUR * first_part("n1") <= 10.0
    assert HOUR <= second - first <= HOUR + 70.0
    assert _seals(tmp_path, "n2")[0] != first


def test_a_node_always_waits_as_long() -> None:
    assert first_part("gpu0001") == first_part("gpu0001")
    assert 0.5 <= first_part("") <= 1.0
