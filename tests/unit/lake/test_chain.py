"""What should have arrived and did not is said, stream by stream."""

import json
from pathlib import Path
from typing import Any

import pytest

from slurm_guard import wire
from slurm_guard.lake.frames import read_frames
from slurm_guard.lake.ingest import collect
from slurm_guard.model import Skip
from tests.spools import AT, BOOT, CLUSTER, NODE, RUN, make, put, segment, single

DAY = 86_400.0


class Spool:
    """A run's chain of segments as its sampler wrote it."""

    def __init__(self, root: Path, n: int, run: str | None = RUN) -> None:
        self.root, self.run = root, run
        self.files: list[tuple[str, str]] = []
        self.parts: list[list[Any]] = []
        prev = None
        for seq in range(n):
            event = make(wire.Event, run=run, detail={"seq": seq})
            self.files.append(segment([event], run=run, seq=seq, prev_sha256=prev))
            prev = json.loads(self.files[-1][1].splitlines()[-1])["sha256"]
            self.parts.append([seq, 1, prev])

    def arrive(self, *seqs: int) -> None:
        for seq in seqs:
            put(self.root / "spool", "sealed", *self.files[seq])

    def seal(self, **more: Any) -> None:
        seal = make(wire.Seal, **{"segments": self.parts, "n_windows": 0, **more})
        put(self.root / "spool", "seals", f"{wire.stem(RUN)}.json", single(seal))

    def tell_lost(self, seq: int, run: str | None = RUN, sha256: str | None = None) -> None:
        lost = wire.Lost(AT, run, seq, 1, sha256 or self.parts[seq][2], "space")
        put(self.root / "spool", "sealed", *segment([lost], run=None, seq=0, boot_id="ffffffff-1"))

    def holes(self) -> list[Skip]:
        put(self.root / "spool", "tickets", f"{wire.stem(RUN)}.json", single(make(wire.Ticket)))
        collect([self.root / "spool"], self.root / "lake")
        return list(read_frames(self.root / "lake", CLUSTER, AT - DAY, AT + DAY)[1])


def test_a_stream_that_arrived_whole_is_no_skip(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4)
    spool.arrive(0, 1, 2, 3)
    spool.seal()

    assert spool.holes() == []


@pytest.mark.parametrize(
    ("arrived", "said"),
    [
        ((0, 1, 2), "3 of 4"),
        ((1, 2, 3), "0 of 4"),
        ((0, 3), "1-2 of 4"),
        ((), "0-3 of 4"),
        ((1,), "0, 2-3 of 4"),
    ],
)
def test_what_the_seal_lists_and_the_lake_lacks_is_missing(
    tmp_path: Path, arrived: tuple[int, ...], said: str
) -> None:
    spool = Spool(tmp_path, 4)
    spool.arrive(*arrived)
    spool.seal()

    (skip,) = spool.holes()

    assert (skip.subject, skip.reason) == (RUN, "segment-missing")
    assert skip.detail.startswith(f"{said} did not arrive")


def test_a_hole_in_a_run_that_goes_on_shows_without_a_seal(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 4)
    spool.arrive(1, 3)

    assert [(skip.reason, skip.detail[:9]) for skip in spool.holes()] == [("segment-missing", "0, 2 of 4")]


@pytest.mark.parametrize("by", ["seal", "record"])
def test_what_was_given_up_is_said_as_that(tmp_path: Path, by: str) -> None:
    spool = Spool(tmp_path, 4)
    spool.arrive(0, 2, 3)
    spool.seal(**({"lost": [spool.parts[1]]} if by == "seal" else {}))
    if by == "record":
        spool.tell_lost(1)

    assert [(skip.reason, skip.detail[:6]) for skip in spool.holes()] == [("segment-given-up", "1 of 4")]


def test_what_was_given_up_here_and_collected_elsewhere_is_no_hole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3)
    spool.arrive(0, 1, 2)
    spool.seal(lost=[spool.parts[1]])

    assert spool.holes() == []


def test_another_content_than_the_seal_lists_is_changed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3)
    spool.arrive(0, 1)
    forged = segment([], seq=2, prev_sha256=spool.parts[1][2])
    put(tmp_path / "spool", "sealed", *forged)
    spool.seal()

    assert [(skip.reason, skip.detail[:6]) for skip in spool.holes()] == [("segment-changed", "2 of 3")]


def test_two_contents_of_one_number_are_changed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 2)
    spool.arrive(0, 1)
    put(tmp_path / "other", "sealed", *segment([], seq=1, prev_sha256=spool.parts[0][2]))
    collect([tmp_path / "other"], tmp_path / "lake")

    assert [skip.reason for skip in spool.holes()] == ["segment-changed"]


def test_a_segment_whose_head_names_another_before_it_is_out_of_chain(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3)
    spool.arrive(0, 2)
    put(tmp_path / "spool", "sealed", *segment([], seq=1, prev_sha256=spool.parts[0][2]))

    assert [(skip.reason, skip.detail[:6]) for skip in spool.holes()] == [("segment-out-of-chain", "2 of 3")]


def test_the_nodes_own_stream_has_no_seal_and_is_asked_for_what_lies_between(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 6, run=None)
    spool.arrive(2, 5)

    (skip,) = spool.holes()

    assert (skip.subject, skip.reason) == (f"{NODE}/node_{BOOT[:8]}", "segment-missing")
    assert skip.detail.startswith("3-4 of 4")


def test_a_segment_of_the_nodes_own_that_was_given_up_is_known_by_its_digest(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3, run=None)
    spool.arrive(0, 2)
    spool.tell_lost(1, run=None)
    assert [skip.reason for skip in spool.holes()] == ["segment-given-up"]

    other = Spool(tmp_path / "other", 3, run=None)
    other.arrive(0, 2)
    other.tell_lost(1, run=None, sha256="0" * 64)  # of another boot
    assert [skip.reason for skip in other.holes()] == ["segment-missing"]


def test_a_node_stream_that_goes_on_under_another_clusters_name_is_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0, run=None)
    prev = None
    for seq, cluster in enumerate(("", CLUSTER, "beta", CLUSTER)):
        file = segment([], run=None, seq=seq, prev_sha256=prev, cluster=cluster)
        prev = json.loads(file[1].splitlines()[-1])["sha256"]
        put(tmp_path / "spool", "sealed", *file)

    assert spool.holes() == []


@pytest.mark.parametrize(
    "parts", [[[0]], [["x", 1, "y"]], [[-1, 1, "y"]], [[10**12, 1, "y"]], [[0, 1, None]]]
)
def test_a_seal_whose_list_is_none_is_said(tmp_path: Path, parts: list[list[Any]]) -> None:
    spool = Spool(tmp_path, 1)
    spool.arrive(0)
    spool.seal(segments=parts)

    assert "seal-unreadable" in [skip.reason for skip in spool.holes()]
