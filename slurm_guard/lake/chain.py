"""What should have arrived and did not: seals and chains against the segments that the lake has."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import polars as pl

from slurm_guard.model import Skip

MOST_NAMED = 8  # ranges of numbers named in a sentence: judgement
MOST_SEQ = 1_000_000  # a century of hours; a seal that says more is not believed


@dataclass(slots=True)
class _Stream:
    """One run's stream on its node, or one boot's of the node itself."""

    arrived: dict[int, set[tuple[str | None, str | None]]] = field(default_factory=lambda: defaultdict(set))
    listed: dict[int, str] = field(default_factory=dict)  # by the seal: seq -> sha256, empty: not readable
    lost: set[int] = field(default_factory=set)
    lost_sha256: set[str] = field(default_factory=set)
    whole: bool = False  # from its first segment: a run's; else what came before the first is not asked
    odd_seal: bool = False


def find_holes(segments: pl.DataFrame, seals: pl.DataFrame, lost: pl.DataFrame) -> tuple[Skip, ...]:
    """One Skip for each stream and kind of hole, in order: `segment-missing`, `segment-changed`,
    `segment-out-of-chain`, `segment-given-up`, `seal-unreadable`.

    Rows of `segments` are those of whole runs, and of the node's own streams those of any stretch of time:
    only what lies between two that arrived is missing there.
    """
    streams: dict[str, _Stream] = defaultdict(_Stream)
    columns = ("run", "node", "boot_id", "seq", "prev_sha256", "sha256")
    for run, node, boot_id, seq, prev, sha256 in segments.select(columns).unique().iter_rows():
        stream = streams[_subject(run, node, boot_id)]
        stream.arrived[int(seq)].add((prev, sha256))
        stream.whole = run is not None
    for run, listed, given_up in seals.select("run", "segments", "lost").unique().iter_rows():
        _take_seal(streams[run], listed, given_up)
    gone = lost.select("run", "node", "seq", "sha256").unique()
    for run, seq, sha256 in gone.filter(pl.col("run").is_not_null()).drop("node").iter_rows():
        if run in streams:
            streams[run].lost.add(int(seq))
            streams[run].lost_sha256.add(sha256 or "")
    _take_own_losses(streams, gone.filter(pl.col("run").is_null()))
    return tuple(
        Skip(subject, reason, detail)
        for subject in sorted(streams)
        for reason, detail in _holes(streams[subject])
    )


def _subject(run: str | None, node: str, boot_id: str | None) -> str:
    return run if run is not None else f"{node}/node_{(boot_id or '').replace('-', '')[:8]}"


def _take_own_losses(streams: dict[str, _Stream], gone: pl.DataFrame) -> None:
    """A lost record does not say of which boot the node's segment was: its digest does, in the next head."""
    for node, seq, sha256 in gone.select("node", "seq", "sha256").iter_rows():
        for subject, stream in streams.items():
            if subject.startswith(f"{node}/node_"):
                after = {prev for prev, _ in stream.arrived.get(int(seq) + 1, ())}
                if not after or sha256 in after:
                    stream.lost.add(int(seq))
                    stream.lost_sha256.add(sha256 or "")


def _take_seal(stream: _Stream, listed: str | None, given_up: str | None) -> None:
    stream.whole = True
    try:
        for seq, _, sha256 in json.loads(listed or "[]"):
            if type(seq) is not int or not 0 <= seq < MOST_SEQ or type(sha256) is not str:
                raise ValueError(seq)
            stream.listed[seq] = sha256
        for seq, _, sha256 in json.loads(given_up or "[]"):
            stream.lost.add(int(seq))
            stream.lost_sha256.add(str(sha256))
    except (ValueError, TypeError):
        stream.odd_seal = True


def _holes(stream: _Stream) -> Iterable[tuple[str, str]]:
    if stream.odd_seal:
        yield "seal-unreadable", "the list of segments in its seal is none"
    seqs = set(stream.arrived) | set(stream.listed)
    if not seqs:
        return
    first = 0 if stream.whole else min(seqs)
    absent = [seq for seq in range(first, min(max(seqs) + 1, MOST_SEQ)) if seq not in stream.arrived]
    of = f"of {max(seqs) - first + 1}"
    missing = [seq for seq in absent if seq not in stream.lost]
    if missing:
        yield "segment-missing", f"{_named(missing)} {of} did not arrive; nothing says why"
    given_up = [seq for seq in absent if seq in stream.lost]
    if given_up:
        yield (
            "segment-given-up",
            f"{_named(given_up)} {of} were removed on the node before they were collected",
        )
    changed = [seq for seq, found in stream.arrived.items() if _is_changed(stream.listed.get(seq), found)]
    if changed:
        yield (
            "segment-changed",
            f"{_named(changed)} {of}: not the content that the seal lists, or two contents",
        )
    broken = [seq for seq in stream.arrived if seq not in changed and _is_broken(stream, seq)]
    if broken:
        yield "segment-out-of-chain", f"{_named(broken)} {of}: another segment should stand before"


def _is_changed(listed: str | None, found: set[tuple[str | None, str | None]]) -> bool:
    digests = {sha256 for _, sha256 in found}
    return len(digests) > 1 or (listed not in (None, "") and listed not in digests)


def _is_broken(stream: _Stream, seq: int) -> bool:
    """Whether its head names another segment than the one before it; one that is not there says nothing."""
    if seq - 1 not in stream.arrived:
        return False
    before = {sha256 for _, sha256 in stream.arrived[seq - 1]}
    # A null: the sampler could not read its own segment when it went on (a disk that had failed).
    return any(prev is not None and prev not in before for prev, _ in stream.arrived[seq])


def _named(seqs: Iterable[int]) -> str:
    """Numbers as ranges: `3, 7-9`."""
    ranges: list[list[int]] = []
    for seq in sorted(seqs):
        if ranges and seq == ranges[-1][1] + 1:
            ranges[-1][1] = seq
        else:
            ranges.append([seq, seq])
    said = [str(a) if a == b else f"{a}-{b}" for a, b in ranges[:MOST_NAMED]]
    return ", ".join(said) + (" and more" if len(ranges) > MOST_NAMED else "")
