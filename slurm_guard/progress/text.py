"""The text source: one pass over a file's lines, each shown to the line sources whose needles it contains."""

import string
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from slurm_guard.progress.lines import Splitter, clean
from slurm_guard.progress.phases import NEEDLES, find_phase
from slurm_guard.progress.protocol import (
    MAX_CLAIMS,
    MAX_PHASES,
    MAX_SERIES,
    NOTHING,
    Claim,
    Found,
    LineSource,
    Reader,
    Series,
    TableLines,
)

# Beside a run's log: what it summed up, and where it ran. Their counters are copies without a time.
NO_LOGS = frozenset(("wandb-summary.json", "wandb-metadata.json", "all_results.json", "train_results.json"))
_COMMON = string.ascii_lowercase.encode() + string.digits.encode() + b" \t\r\n._-"


class TextSource:
    """Any file that looks like text: a job's stdout, a training log, a metrics.jsonl."""

    resyncs = True

    def __init__(self, name: str, makers: Sequence[Callable[[], LineSource]]) -> None:
        self.name = name
        self._makers = tuple(makers)

    def claims(self, head: bytes, path: str) -> float:
        """0.2 for text; 0 when the head holds bytes that text does not, or is one JSON document."""
        if b"\0" in head or path.rpartition("/")[2] in NO_LOGS or _is_document(head, path):
            return 0.0
        odd = sum(head.count(bytes((code,))) for code in range(1, 7))
        return 0.2 if odd * 50 <= len(head) else 0.0  # 2 % control bytes: judgement

    def extended(self, makers: Sequence[Callable[[], LineSource]]) -> "TextSource":
        """The same, with other line sources tried first."""
        return TextSource(self.name, (*makers, *self._makers))

    def reader(self) -> Reader:
        return TextReader([make() for make in self._makers])


def _is_document(head: bytes, path: str) -> bool:
    """An object over several lines in a .json file: its `"step": 500` is a setting or a result, no record."""
    return path.endswith(".json") and head[:64].lstrip().startswith(b"{\n")


class TextReader:
    """Collects claims by (source, clock, rank)."""

    def __init__(self, sources: Iterable[LineSource]) -> None:
        self._sources = list(sources)
        self._live: list[tuple[LineSource, tuple[bytes, ...], TableLines | None]] = []
        self._marks_phases = True
        self._splitter = Splitter()
        self._series: dict[tuple[str, str, str], list[Claim]] = {}
        self._phases: list[Claim] = []
        self._problems: dict[str, int] = {}
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        window = self._splitter.kept + data
        self._look_ahead(window)
        for line, end in self._splitter.feed(data, offset):
            self._line(line, end)
        return offset + len(data)

    def _look_ahead(self, window: bytes) -> None:
        """Leave out what the coming lines cannot hold: one search in a megabyte for thousands in lines."""
        rare = window.translate(None, _COMMON)
        self._live = []
        for source in self._sources:
            table = source if isinstance(source, TableLines) else None
            needles = tuple(needle for needle in source.needles if _holds(window, rare, needle))
            if needles or (table is not None and table.following):
                self._live.append((source, needles, table))
        self._marks_phases = any(_holds(window, rare, needle) for needle in NEEDLES)

    def skipped(self, offset: int) -> None:
        self._splitter.skipped()

    def finish(self) -> Found:
        for line, end in self._splitter.finish():
            self._look_ahead(line)
            self._line(_whole_words(line), end)
        by_name = {source.name: source for source in self._sources}
        series = []
        for (name, key, rank), claims in self._series.items():
            settled = by_name[name].settle(claims)  # which may have found a better clock
            series.append(Series(name, settled[0].key if settled else key, rank, settled))
        problems = [f"{slug}: {count}" for slug, count in sorted(self._problems.items())]
        if self._splitter.n_cut:
            problems.append(f"long-lines: {self._splitter.n_cut} lines were read to 4096 bytes")
        return Found(series, self._phases, problems, self._read_b)

    def _line(self, line: bytes, end: int) -> None:
        text = rank = None
        for source, needles, table in self._live:
            for needle in needles:
                if needle in line:
                    break
            else:
                if table is None or not table.following:
                    continue
            if text is None:
                text, rank = clean(line)
            try:
                claim = source.read(text, end)
            except (ValueError, OverflowError, RecursionError):
                self._count(f"unreadable-{source.name}")
                continue
            if claim is NOTHING:
                return
            if claim is not None:
                self._add(source.name, claim._replace(rank=rank or claim.rank))
                return
        phase = find_phase(line, end) if self._marks_phases else None
        if phase is not None and len(self._phases) < MAX_PHASES:
            self._phases.append(phase)

    def _add(self, name: str, claim: Claim) -> None:
        if claim.clock() is None and claim.epoch is None:
            if len(self._phases) < MAX_PHASES:
                self._phases.append(claim._replace(advances=False))
            return
        key = (name, claim.key, claim.rank)
        claims = self._series.get(key)
        if claims is None:
            if len(self._series) >= MAX_SERIES:
                self._count("many-clocks")
                return
            claims = self._series[key] = []
        claims.append(claim)
        if len(claims) >= MAX_CLAIMS:
            del claims[1::2]
            self._count("many-records")

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1


@lru_cache(maxsize=512)
def _rare_part(needle: bytes) -> bytes:
    """The needle without common characters; empty: it has no others."""
    return needle.translate(None, _COMMON)


def _holds(window: bytes, rare: bytes, needle: bytes) -> bool:
    """Whether the needle is in the window. `rare`: the window without common characters, a tenth as long."""
    return _rare_part(needle) in rare and needle in window


def _whole_words(line: bytes) -> bytes:
    """A line without an end may be torn inside a number: its last word is left out unless it is closed."""
    if line.rstrip()[-1:] in (b"]", b"}", b")", b"|"):
        return line
    return line[: max(line.rfind(b" "), line.rfind(b"\t"), 0)]
