"""CSV and TSV logs: Lightning, Keras, Stable-Baselines3, RLlib and Ray Tune, others with a heading.

A row that does not fit its heading, or whose counter is no whole number, is counted as a problem. A file
whose counter falls again and again is data, and says so instead of giving points.
"""

import re

from slurm_guard.progress.clocks import believed
from slurm_guard.progress.counted import told
from slurm_guard.progress.csvhead import Columns, cells_of, columns_of, separator_of
from slurm_guard.progress.datarows import or_epochs
from slurm_guard.progress.parts import is_evaluation
from slurm_guard.progress.protocol import MAX_CLAIMS, MICRO, Claim, Found, Reader, Series
from slurm_guard.progress.values import STEP_LIMIT, parse_stamp, to_count, to_float, to_loss, to_seconds

MAX_RECORD = 65_536  # RLlib's headings have some 20 kB
_PEEK_B = 4096
MAX_LINES = 64  # of one record with quoted line ends (judgement)
MAX_ABOVE = 8  # comment lines above the heading (judgement)
LEAST_FALLS = 8  # resumes in one file that are believed …
UNFIT_SHARE = 0.25  # of the rows that may not fit the heading (judgement)
FALL_SHARE = 0.1  # … and as a share of its rows: beyond, the rows are data (judgement)
# `12`, `12.0`, `12.000000`, `1.2e+01`; not `12.000`, which is twelve thousand in half of Europe.
_WHOLE = re.compile(r"\d{1,16}(?:\.0{1,2}|\.0{4,18})?|\d\.\d{1,18}[eE]\+?\d{1,2}", re.ASCII)


class CsvSource:
    """A table with one heading at its top."""

    name = "csv"
    resyncs = True

    def claims(self, head: bytes, path: str) -> float:
        """0.7 when the heading is a log's and the first rows fit it."""
        if b"\0" in head:
            return 0.0
        reader = CsvReader()
        for at in (0, _PEEK_B):  # of most files the first lines say that they are none
            reader.feed(head[at : at + _PEEK_B if at == 0 else None], at)
            if reader.is_none():
                return 0.0
        return 0.7 if reader.is_log() else 0.0

    def reader(self) -> Reader:
        return CsvReader()


class CsvReader:
    """Feeds on chunks; keeps claims alone."""

    def __init__(self) -> None:
        self._kept = b""  # of a line whose end was not fed yet
        self._dropping = False
        self._open: list[bytes] = []  # lines of a record inside quotes
        self._separator = ","
        self._columns: Columns | None = None
        self._n_above = 0
        self._claims: list[Claim] = []
        self._last: dict[str, Claim] = {}  # of each phase …
        self._n_falls: dict[str, int] = {}  # … and how often its counter fell
        self._n_rows = self._n_short = 0
        self._problems: dict[str, int] = {}
        self._judge = believed
        self._read_b = self._at = 0

    def is_log(self) -> bool:
        """Whether what was fed so far begins a log: a heading, and below it rows, not lines of a text.

        Rows with too many cells (decimal commas) are rows: the reader then says what is wrong with them.
        """
        rows = self._n_short <= UNFIT_SHARE * self._n_rows
        return self._columns is not None and rows and not self._is_data()

    def is_none(self) -> bool:
        """Whether the line that had to be the heading is no log's."""
        return self._n_above < 0 and self._columns is None

    def feed(self, data: bytes, offset: int) -> int:
        self._read_b += len(data)
        pieces = data.split(b"\n")
        at = offset
        for piece in pieces[:-1]:
            at += len(piece) + 1
            if self._dropping:
                self._dropping = False
                continue
            if self._kept:
                piece = self._kept + piece
                self._kept = b""
            self._line(piece, at)
        if not self._dropping:
            self._kept += pieces[-1]
            if len(self._kept) > MAX_RECORD:
                self._count("long-lines")
                self._kept, self._dropping = b"", True
        self._at = offset + len(data)
        return self._at

    def skipped(self, offset: int) -> None:
        self._kept, self._open, self._dropping = b"", [], True

    def finish(self) -> Found:
        if self._kept and not self._open and self._columns is not None:
            self._line(_untorn(self._kept, self._separator, self._columns), self._at)
        if self._open:
            self._count("open-quote")
        problems = told(self._problems)
        n_unfit = self._problems.get("ragged-rows", 0) + self._problems.get("bad-counter", 0)
        if self._is_data():
            problems.append(f"data-rows: the counter falls {self._falls()} times in {self._n_rows} rows")
        elif n_unfit > UNFIT_SHARE * self._n_rows:
            problems.append(
                f"unfit-rows: {n_unfit} of {self._n_rows} do not fit the heading, none is believed"
            )
        elif self._claims and self._columns is not None:
            claims = self._judge(or_epochs(self._claims))
            series = [Series("csv", claims[0].key, "", claims)]
            return Found(series, [], problems, self._read_b)
        return Found([], [], problems, self._read_b)

    def _is_data(self) -> bool:
        return self._falls() > max(LEAST_FALLS, FALL_SHARE * self._n_rows)

    def _falls(self) -> int:
        """Of the training; of evaluations where there is nothing else."""
        return self._n_falls.get("train" if "train" in self._last else "eval", 0)

    def _count(self, slug: str) -> None:
        self._problems[slug] = self._problems.get(slug, 0) + 1

    def _line(self, line: bytes, end: int) -> None:
        """A whole line; one with an open quote waits for the line that closes it."""
        if len(line) > MAX_RECORD:
            self._count("long-lines")
            return
        if self._open or line.count(b'"') % 2:
            self._open.append(line)
            if sum(part.count(b'"') for part in self._open) % 2:
                if len(self._open) >= MAX_LINES or sum(map(len, self._open)) > MAX_RECORD:
                    self._count("open-quote")
                    self._open = []
                return
            line, self._open = b"\n".join(self._open), []
        if line.strip():
            self._record(line.decode("utf-8", "replace").rstrip("\r"), end)

    def _record(self, text: str, end: int) -> None:
        if self._columns is None:
            self._heading(text)
            return
        cells = cells_of(text, self._separator)
        if cells is not None and len(cells) == self._columns.n + 1 and not cells[-1].strip():
            cells.pop()
        self._n_rows += 1
        if cells is None or len(cells) != self._columns.n:
            self._other(cells)
            return
        clock = cells[self._columns.clock].strip()
        if not clock:
            return  # a row that says nothing of the counter
        value = _counter(clock, self._columns.key)
        if value is None:
            self._other(cells)
            return
        claim = _claim(cells, self._columns, value, end)
        last = self._last.get(claim.phase)
        if last is not None and value < (last.clock() or 0) and not _next_epoch(last.epoch, claim.epoch):
            self._n_falls[claim.phase] = self._n_falls.get(claim.phase, 0) + 1
        self._last[claim.phase] = claim
        self._claims.append(claim)
        if len(self._claims) >= MAX_CLAIMS:
            del self._claims[1::2]
            self._count("many-records")

    def _heading(self, text: str) -> None:
        """The first line that is no comment has to be the heading."""
        text = text.lstrip("\ufeff")
        if self._n_above < 0 or (text.startswith("#") and self._n_above < MAX_ABOVE):
            self._n_above += self._n_above >= 0
            return
        self._separator = separator_of(text)
        cells = cells_of(text, self._separator)
        self._columns = None if cells is None else columns_of(cells)
        self._n_above = -1  # no later line is one

    def _other(self, cells: list[str] | None) -> None:
        """A row that is none: the heading once more, another heading, or a problem."""
        again = None if cells is None else columns_of(cells)
        if again is not None and self._columns is not None and again.key == self._columns.key:
            self._columns = again
            self._n_rows -= 1
            return
        n = 0 if cells is None else len(cells)
        wanted = 0 if self._columns is None else self._columns.n
        self._n_short += n < wanted
        self._count("bad-counter" if n == wanted else "ragged-rows")


def _untorn(line: bytes, separator: str, columns: Columns) -> bytes:
    """A last line without an end: its last cell may be torn and is emptied."""
    cut = line.rfind(separator.encode())
    return b"" if cut < 0 or columns.clock == columns.n - 1 else line[: cut + 1]


def _next_epoch(before: float | None, now: float | None) -> bool:
    """Whether the counter may begin again because an epoch did."""
    return before is not None and now is not None and now > before


def _counter(text: str, key: str) -> int | None:
    """The clock's value; an epoch in millionths."""
    if key == "epoch":
        epoch = to_float(text) if len(text) < 24 else None
        return round(epoch * MICRO) if epoch is not None and 0 <= epoch < 1e6 else None
    if text.isdigit() and text.isascii():
        return int(text) if len(text) < 17 and int(text) < STEP_LIMIT else None
    return to_count(text) if _WHOLE.fullmatch(text) else None


def _claim(cells: list[str], columns: Columns, value: int, end: int) -> Claim:
    """A row's claim."""
    key = columns.key
    samples = value if key == "samples" else _whole(cells, columns.samples)
    tokens = value if key == "tokens" else _whole(cells, columns.tokens)
    epoch = None if columns.epoch is None else to_float(cells[columns.epoch])
    at, naive = (None, False) if columns.at is None else parse_stamp(cells[columns.at].strip())
    took = columns.took
    return Claim(
        end,
        key,
        value if key in ("step", "epoch") else None,
        samples,
        tokens,
        None,
        None if columns.loss is None else to_loss(cells[columns.loss]),
        epoch if epoch is not None and 0 <= epoch < 1e6 else None,
        at,
        naive,
        _phase(cells, columns),
        took_s=None if took is None else to_seconds(cells[took[0]].strip(), took[1]),
    )


def _whole(cells: list[str], index: int | None) -> int | None:
    return None if index is None else _counter(cells[index].strip(), "step")


def _phase(cells: list[str], columns: Columns) -> str:
    """eval: the row says so under a part's name, or has metrics of an evaluation and none of training."""
    for index, name in columns.parts:
        evaluates = is_evaluation(name, cells[index])
        if evaluates is not None:
            return "eval" if evaluates else "train"
    if not columns.evals or any(cells[i] for i in columns.trains):
        return "train"
    return "eval" if any(cells[i] for i in columns.evals) else "train"
