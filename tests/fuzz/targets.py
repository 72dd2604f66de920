"""The fuzz targets: a reader, its valid files, and what an oracle can say of it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from slurm_guard.progress.jsonl import JsonLines
from slurm_guard.progress.keyvalue import KeyValueLines
from slurm_guard.progress.monitor import MonitorLines
from slurm_guard.progress.patterns import makers_of
from slurm_guard.progress.protocol import Found, Reader
from slurm_guard.progress.registry import SIMULATIONS, SOURCES, TRAININGS
from slurm_guard.progress.text import TextReader, TextSource
from slurm_guard.progress.tfevents import LEAST_POINTS, MAX_TAGS, evaluates
from slurm_guard.progress.tqdm import TqdmLines
from slurm_guard.progress.wandb import WandbReader
from tests.fuzz import oracles
from tests.fuzz.edits import Plan, apply, joined, plans
from tests.fuzz.formats import MAKERS, OTHER, OTHERS, Course
from tests.fuzz.laws import Target, claims_of, hold

PATTERN = r"mycode: ^cycle (?P<step>\S+)(?: of (?P<total>\S+))?(?: t=(?P<time>\S+ \S+))?(?: e=(?P<loss>\S+))?"
LINES = (*TRAININGS, *SIMULATIONS, MonitorLines, JsonLines, KeyValueLines, TqdmLines)
# A record of these means the same wherever it stands; others continue a count or a table.
_ALONE = frozenset(
    (
        "amber",
        "trainers",
        "megatron",
        "namd",
        "wrf",
        "jsonl",
        "keyvalue",
        "tqdm",
        "patterns",
        "mlflow",
        "guard",
    )
)
_OWN = frozenset(("tfevents", "wandb", "hfstate", "clearml", "database", "wandbmeta"))
_ORACLES: dict[str, oracles.Oracle] = {
    **dict.fromkeys(
        ("mllog", "hf", "lammps", "openmm", "namd", "amber", "jsonl", "tqdm", "patterns",
         "mlflow", "guard", "deepspeed", "dvclive"),
        oracles.by_line,
    ),
    "keyvalue": oracles.by_line_but_prints,
    "clearml": oracles.by_record,
    "megatron": oracles.by_line_but_tokens,
    "trainers": oracles.by_line_but_thousands,
    "gromacs": oracles.by_line_but_total,
    "csv": oracles.by_cells,
    "hfstate": oracles.by_json,
    "tfevents": oracles.by_wire,
    "database": oracles.by_sqlite,
}  # fmt: skip


def _wandb_rows(origin: bytes, data: bytes, found: Found) -> None:
    """A checksum guards every row: no damage makes one that was not written, here or in the file that edits
    take records from."""
    written: set[int | None] = set()
    for whole in (origin, b"".join(MAKERS["wandb"][0](OTHER))):
        reader = WandbReader()
        reader.feed(whole, 0)
        written |= {claim.step for row in reader._rows for claim in row}  # by both clocks
    said = {claim.step for claim in claims_of(found)}
    assert said <= written | {None}, f"invented: {said - written}"


def _every_scalar(origin: bytes, data: bytes, found: Found) -> None:
    """The clock is a tag that no other of the training's has more points than, and none of its points is
    missing."""
    tags = [tag for _, said in oracles.events(data).values() for tag in said]
    plain = Counter(tag for tag, is_plain in tags if is_plain)  # a tensor may hold no number
    every = Counter(tag for tag, _ in tags)
    n = sum(len(series.claims) for series in found.series)
    own = [k for tag, k in plain.items() if not evaluates(tag) and tag.rpartition(b"/")[2] != b"epoch"]
    least = max(own, default=0) if max(own, default=0) >= LEAST_POINTS else min(plain.values(), default=0)
    if len(every) < MAX_TAGS:
        assert least <= n <= max(every.values(), default=0), f"{n} points of {every}"


def _every_row(origin: bytes, data: bytes, found: Found) -> None:
    """Of a database that no edit met, every row is read: one that is hurt may be sound and without a time."""
    rows = oracles.sqlite_rows(data) if data == origin else None
    if rows is not None:
        assert {claim.step for claim in claims_of(found)} == rows, "rows are missing"


def _names_in_it(origin: bytes, data: bytes, found: Found) -> None:
    """The job and the host that are named stand in the document."""
    for problem in found.problems:
        assert problem.partition(": ")[2].encode() in data


_ALSO = {
    "wandb": _wandb_rows, "tfevents": _every_scalar, "database": _every_row, "wandbmeta": _names_in_it,
}  # fmt: skip


def _makes(kind: Callable[[], Any]) -> Callable[[], Reader]:
    return lambda: TextReader([kind()])


def _readers() -> dict[str, Callable[[], Reader]]:
    """Every reader by its name: whole files, then lines alone."""
    files = {source.name: source.reader for source in SOURCES if not isinstance(source, TextSource)}
    lines = {kind.name: _makes(kind) for kind in LINES}
    own = {"patterns": lambda: TextReader([make() for make in makers_of([PATTERN], frozenset())])}
    return {**files, **lines, **own}


def _keeps(name: str) -> str:
    if name in _ALONE:
        return "lines"
    return "nothing" if name in _OWN else "before"


TARGETS: dict[str, Target] = {
    name: Target(name, reader, _keeps(name), _ORACLES.get(name), _ALSO.get(name))
    for name, reader in _readers().items()
}

courses = st.builds(
    Course, st.integers(1, 24), st.one_of(st.integers(0, 40), st.integers(0, 1 << 50)), st.integers(0, 300),
    st.integers(0, 29),
)  # fmt: skip
sizes = st.integers(1, 5_000)


def read(name: str, data: bytes) -> Found:
    """What a target's reader finds in a file."""
    reader = TARGETS[name].reader()
    reader.feed(data, 0)
    return reader.finish()


class Tally:
    """What a run of a target did, and the file on which it fell."""

    def __init__(self) -> None:
        self.n = self.size_b = self.n_points = 0
        self.slowest_s = 0.0
        self.last: bytes = b""

    def add(self, n_points: int, took_s: float) -> None:
        """One more file, `last`, was read without a fault."""
        self.n += 1
        self.size_b += len(self.last)
        self.n_points += n_points
        self.slowest_s = max(self.slowest_s, took_s)


Campaign = Callable[[int, int, ExampleDatabase | None, Tally], Callable[[], None]]


def options(n: int, database: ExampleDatabase | None) -> settings:
    """Hypothesis' settings of a campaign of `n` files."""
    return settings(
        max_examples=n, deadline=None, database=database, print_blob=False, report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.reuse, Phase.generate, Phase.shrink),
    )  # fmt: skip


def campaign(target: Target) -> Campaign:
    """A Hypothesis run of a reader's files; raises with the smallest file that breaks a law."""
    makers = MAKERS[target.name]

    def begin(n: int, at: int, database: ExampleDatabase | None, tally: Tally) -> Callable[[], None]:
        @seed(at)
        @options(n, database)
        @given(kind=st.integers(0, len(makers) - 1), course=courses, plan=plans, size=sizes)
        def run(kind: int, course: Course, plan: Plan, size: int) -> None:
            whole = makers[kind](course)
            pieces = apply(whole, plan, OTHERS)
            tally.last = joined(pieces)
            held = hold(target, pieces, size, b"".join(whole))
            tally.add(sum(len(series.claims) for series in held.found.series), held.took_s)

        return run

    return begin
