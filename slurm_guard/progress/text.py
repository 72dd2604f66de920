"""The text source: one pass over a file's lines, each shown to the line sources whose needles it contains."""

import re
from collections.abc import Callable, Iterable, Sequence

from slurm_guard.progress.clocks import believed
from slurm_guard.progress.counted import told
from slurm_guard.progress.datarows import count_falls
from slurm_guard.progress.jsonl import JsonLines
from slurm_guard.progress.keyvalue import KeyValueLines
from slurm_guard.progress.labels import LineNumbers, are_line_numbers, by_label
from slurm_guard.progress.lines import Splitter, clean, first_of, whole_words
from slurm_guard.progress.needles import Word, find_begins, find_lines
from slurm_guard.progress.phases import NEEDLES, find_phase
from slurm_guard.progress.protocol import (
    MAX_BARS,
    MAX_CLAIMS,
    MAX_PHASES,
    MAX_SEGMENT,
    MAX_SERIES,
    NOTHING,
    Anchored,
    Claim,
    Found,
    LineSource,
    Reader,
    Series,
    TableLines,
    Tailed,
)

# Beside a run's log: what it summed up. Their counters are copies without a time.
NO_LOGS = frozenset(("wandb-summary.json", "wandb-metadata.json", "all_results.json", "train_results.json"))
_HOLE = re.compile(rb"\0{512,}")  # a disk's least block; a binary format has single ones, too
_ODD = bytes(range(1, 7))  # control characters that text has not
GENERIC = frozenset(("jsonl", "keyvalue"))  # know a counter by its name alone: data have such columns, too
BARS = "tqdm"
MAX_GONE = 1024  # bars of a file that make room for others: keeps a hostile log's cost linear
JUDGED = GENERIC | {"guard"}  # … and a time
MAX_MASKS = 4096  # sets of sources that are remembered; a hostile file can make many


class TextSource:
    """Any file that looks like text: a job's stdout, a training log, a metrics.jsonl."""

    resyncs = True

    def __init__(self, name: str, makers: Sequence[Callable[[], LineSource]]) -> None:
        self.name = name
        self._makers = tuple(makers)

    def claims(self, head: bytes, path: str) -> float:
        """0.2 for text; 0 when the head holds bytes that text does not, or is one JSON document. It may have
        a hole: the file was truncated, or the node crashed, while a program wrote on."""
        if b"\0" in head:
            head = _HOLE.sub(b"", head) or head
        if b"\0" in head or path.rpartition("/")[2] in NO_LOGS or _is_document(head, path):
            return 0.0
        odd = len(head) - len(head.translate(None, _ODD))
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
    """Collects claims by (source, clock, rank).

    Each needle is searched in all whole lines of a chunk at once, and only the lines that hold one are looked
    at: what most logs consist of costs no more than that search.
    """

    def __init__(self, sources: Iterable[LineSource]) -> None:
        self._sources = list(sources)
        self._tables: list[tuple[int, TableLines]] = [
            (1 << bit, source) for bit, source in enumerate(self._sources) if isinstance(source, TableLines)
        ]
        self._table_bits = sum(bit for bit, _ in self._tables)
        self._phase_bit = 1 << len(self._sources)
        heads = [source.head if isinstance(source, Anchored) else b"" for source in self._sources]
        self._anchored = [
            (source.needles[0], head, 1 << bit)
            for bit, (source, head) in enumerate(zip(self._sources, heads, strict=True))
            if head
        ]
        needles: list[Word] = [
            (word, 1 << bit, source.tail if isinstance(source, Tailed) else None)
            for bit, source in enumerate(self._sources)
            for word in source.needles
            if not heads[bit]
        ]
        needles += [(word, self._phase_bit, None) for word in NEEDLES]
        self._wanted = [wanted for wanted in needles if wanted[0]]
        self._always = sum({bit for word, bit, _ in needles if not word})  # of sources that want every line
        self._shown: dict[int, tuple[LineSource, ...]] = {}
        self._splitter = Splitter()
        self._series: dict[tuple[str, str, str], list[Claim]] = {}
        self._bars: dict[tuple[str, str, str], None] = {}  # those of the series that are bars' …
        self._n_gone = 0  # … and how often one had to make room
        self._numbered: dict[tuple[str, str], LineNumbers] = {}  # clocks whose lines begin with their numbers
        self._ranked: set[tuple[str, str]] = set()  # … and those whose labels only looked like that
        self._phases: list[Claim] = []
        self._row = 0  # how many of the last marks are an evaluation's without a counter between them
        self._problems: dict[str, int] = {}
        self._judge = believed
        self._read_b = 0

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        body, at = self._splitter.feed(data, offset)
        if body:
            self._scan(body, at)
        return offset + len(data)

    def skipped(self, offset: int) -> None:
        self._splitter.skipped()

    def finish(self) -> Found:
        line, end = self._splitter.finish()
        line = whole_words(line)
        if line:
            self._scan(line + b"\n", end - len(line) - 1)
        by_name = {source.name: source for source in self._sources}
        series, data = [], []
        for (name, key, rank), claims in self._series.items():
            source = by_name[name]
            settled = source.settle(claims)  # which may have found a better clock, or none
            if isinstance(source, KeyValueLines):
                self._phases += source.alive if settled else ()
                source.alive = []
            if not settled:
                continue
            if name in JUDGED:
                settled = self._judge(settled)
            n_falls = count_falls(settled) if name in GENERIC else 0
            if isinstance(source, JsonLines) and not n_falls and source.are_short(key, settled):
                data.append(f"data-rows: {name}'s counter begins again and again in {len(settled)} records")
                continue
            if n_falls:
                data.append(f"data-rows: {name}'s counter falls {n_falls} times in {len(settled)} records")
                continue
            series.append(Series(name, settled[0].key, rank, settled))
        said = [p for one in self._sources if isinstance(one, KeyValueLines) for p in one.problems]
        problems = [*data[:1], *said[:1]]
        problems += told(self._problems)
        if self._splitter.n_cut:
            problems.append(f"long-lines: {self._splitter.n_cut} lines were read to 4096 bytes")
        return Found(series, self._phases, problems, self._read_b)

    def _scan(self, body: bytes, at: int) -> None:
        """Shows each line to the sources whose needles it holds."""
        found, lines = find_lines(body, self._wanted)
        for word, head, bit in self._anchored:
            if word in body:
                find_begins(body, head, bit, lines)
        tables = [one for one in self._tables if one[1].following or found & one[0]]
        if tables or self._always:
            self._scan_tables(body, at, lines, tables)
            return
        for begin in sorted(lines):
            end = body.index(b"\n", begin)
            line = body[begin:end] if end - begin <= MAX_SEGMENT else first_of(body, begin, end)
            self._line(line, at + end + 1, lines[begin])

    def _scan_tables(
        self, body: bytes, at: int, lines: dict[int, int], tables: list[tuple[int, TableLines]]
    ) -> None:
        """The same where a table may be open: its rows hold no needle and come in turn."""
        order = sorted(lines)
        always, marked = self._always, lines.get
        nth = begin = 0
        following = {bit: table for bit, table in tables if table.following}
        rows: dict[int, int] = {}  # of each open table: where its next row may begin …
        since = dict.fromkeys(following, 0)  # … and where the line behind its last one does
        while True:
            target = begin
            if not always:
                while nth < len(order) and order[nth] < begin:
                    nth += 1
                target = order[nth] if nth < len(order) else len(body)
            for bit, table in following.items():
                if rows.get(bit, -1) < begin:
                    rows[bit] = table.next_row(body, begin)
                target = min(target, rows[bit])
            if target >= len(body):
                break
            begin, end = target, body.index(b"\n", target)
            mask = always | marked(begin, 0)
            for bit, table in following.items():
                if rows[bit] == begin or mask & bit:
                    table.passed(body.count(b"\n", since[bit], begin))
                    since[bit] = end + 1
                    if end == begin:
                        table.passed(1)  # a blank line counts as passed by, however the file was cut
                    elif table.following:
                        mask |= bit
            if mask:
                self._line(first_of(body, begin, end), at + end + 1, mask)
            if mask & self._table_bits:  # it may have begun a table, or ended one
                rows.clear()
                following = {bit: table for bit, table in tables if table.following}
                since = {bit: since.get(bit, end + 1) for bit in following}
            begin = end + 1
        for bit, table in following.items():
            table.passed(body.count(b"\n", since[bit], len(body)))

    def _of(self, mask: int) -> tuple[LineSource, ...]:
        """The sources of a mask, in their order, from now on remembered."""
        if len(self._shown) >= MAX_MASKS:
            self._shown.clear()
        sources = tuple(source for bit, source in enumerate(self._sources) if mask >> bit & 1)
        self._shown[mask] = sources
        return sources

    def _line(self, line: bytes, end: int, mask: int) -> None:
        sources = self._shown.get(mask)
        if sources is None:
            sources = self._of(mask)
        if sources:
            text, rank = clean(line)
            for source in sources:
                try:
                    claim = source.read(text, end)
                except (ValueError, OverflowError, RecursionError):
                    self._count(f"unreadable-{source.name}")
                    continue
                if claim is NOTHING:
                    return
                if claim is not None:
                    self._add(source.name, claim._replace(rank=rank) if rank else claim)
                    return
        phase = find_phase(line, end) if mask & self._phase_bit else None
        if phase is not None:
            self._mark(phase)

    def _add(self, name: str, claim: Claim) -> None:
        if claim.step is None and claim.epoch is None and claim.clock() is None:
            self._mark(claim._replace(advances=False))
            return
        self._row = 0
        key = (name, claim.key, claim.rank)
        if claim.rank and key not in self._series:
            numbers = self._numbered.get(key[:2])
            if numbers is not None and numbers.are_ranks(claim):
                self._part_labels(name, claim.key)
            elif numbers is not None or self._merge_labels(name, claim):
                key = (name, claim.key, "")
        claims = self._series.get(key)
        if claims is None:
            if not self._has_room(name):
                self._count("many-clocks")
                return
            claims = self._follow(key)
        claims.append(claim)
        if len(claims) >= MAX_CLAIMS:
            del claims[1::2]
            self._count("many-records")

    def _mark(self, claim: Claim) -> None:
        """One more phase mark; of too many the first ones stay, and the last.

        Of an evaluation's in a row the first and the last say all, as for the track: a bar is redrawn ten
        times a second.
        """
        is_bare = claim.phase == "eval" and claim.clock() is None and claim.epoch is None
        self._row = self._row + 1 if is_bare else 0
        if self._row > 2:
            self._phases[-1] = claim
            return
        if len(self._phases) >= MAX_PHASES:
            self._phases.pop()
        self._phases.append(claim)

    def _has_room(self, name: str) -> bool:
        """Whether one more series of a source is followed. Bars take no other clock's place; of these a
        complete one with few redraws makes room."""
        if name != BARS:
            return len(self._series) - len(self._bars) < MAX_SERIES
        if len(self._bars) < MAX_BARS:
            return True
        self._n_gone += 1
        if self._n_gone > MAX_GONE:
            return False
        least = min(self._bars, key=lambda key: _keeps(self._series[key]))
        del self._series[least], self._bars[least]
        self._count("many-clocks")
        return True

    def _merge_labels(self, name: str, claim: Claim) -> bool:
        """Makes the series of a clock one whose lines begin with their numbers; false: with ranks."""
        clock = (name, claim.key)
        mine = [key for key in self._series if key[:2] == clock and key[2].isdecimal()]
        if clock in self._ranked or any(len(self._series[key]) > 1 for key in mine):
            return False
        firsts = [self._series[key][0] for key in mine]
        if not are_line_numbers([key[2] for key in mine], firsts):
            return False
        for key in mine:
            del self._series[key]
            self._bars.pop(key, None)
        self._numbered[clock] = LineNumbers((*firsts, claim))
        self._follow((*clock, "")).extend(firsts)
        return True

    def _part_labels(self, name: str, key: str) -> None:
        """Takes back that a clock's labels are numbers of lines."""
        del self._numbered[name, key]
        self._ranked.add((name, key))
        self._bars.pop((name, key, ""), None)
        for rank, claims in by_label(self._series.pop((name, key, ""))).items():
            if self._has_room(name):
                self._follow((name, key, rank)).extend(claims)
            else:
                self._count("many-clocks")

    def _follow(self, key: tuple[str, str, str]) -> list[Claim]:
        """The claims of a series, from now on followed."""
        if key[0] == BARS:
            self._bars[key] = None
        return self._series.setdefault(key, [])

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1


def _keeps(claims: list[Claim]) -> tuple[bool, int]:
    """How much a bar's series is worth keeping: one that is not complete may go on."""
    return claims[-1].step != claims[-1].total, len(claims)
