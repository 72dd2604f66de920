"""MLflow's database: `metrics(key, value, timestamp, run_uuid, step, …)`, of each run the longest key.

As in its file store, `system/…` keys count samples of the machine, and a step below 0 is "none".
"""

from collections import Counter
from collections.abc import Iterator

from slurm_guard.progress.keys import is_eval
from slurm_guard.progress.protocol import MAX_CLAIMS, MAX_SERIES, Claim, Series
from slurm_guard.progress.sqlite import Database, Table, Value
from slurm_guard.progress.values import to_count, to_known_instant, to_loss

NAME = "mlflowdb"
MAX_KEYS = 4096  # of all runs together that are told apart; their names are the jobs' choice
_COLUMNS = ("run_uuid", "key", "step", "timestamp", "value")


def read_runs(database: Database, tables: dict[str, Table]) -> list[Series]:
    """A series for each of the latest runs; empty: no such table, or nothing in it."""
    table = tables.get("metrics")
    if table is None or not set(_COLUMNS) <= set(table.columns):
        return []
    places = [table.columns.index(name) for name in _COLUMNS]
    counts: Counter[tuple[str, str]] = Counter()
    last_at: dict[str, float] = {}
    for run, key, _, at, _ in _rows(database, table.root, places):
        if (run, key) in counts or len(counts) < MAX_KEYS:
            counts[run, key] += 1
            last_at[run] = max(last_at.get(run, 0.0), at)
    latest = sorted(last_at, key=lambda run: (last_at[run], run))[-MAX_SERIES:]
    clocks = {
        run: max(
            (one for one in counts if one[0] == run), key=lambda one: (not is_eval(one[1]), counts[one], one)
        )
        for run in latest
    }
    stride = 1 + sum(counts[clock] for clock in clocks.values()) // MAX_CLAIMS
    claims: dict[str, list[Claim]] = {run: [] for run in latest}
    seen: Counter[str] = Counter()
    for nth, (run, key, step, at, value) in enumerate(_rows(database, table.root, places)):
        if clocks.get(run) != (run, key):
            continue
        if seen[run] % stride == 0:
            loss = to_loss(value) if "loss" in key.lower() and not isinstance(value, str) else None
            claims[run].append(Claim(nth + 1, run, step, loss=loss, at=at))
        seen[run] += 1
    return [Series(NAME, run, "", each) for run, each in claims.items() if each]


def _rows(database: Database, root: int, places: list[int]) -> Iterator[tuple[str, str, int, float, Value]]:
    """(run, key, step, instant, value) of each row of training, in the order in which they came."""
    for _, row in database.rows(root):
        if len(row) <= max(places):
            continue
        run, key, step, at, value = (row[place] for place in places)
        count, instant = to_count(step), to_known_instant(at)
        if not isinstance(run, str) or not isinstance(key, str) or key.startswith("system/"):
            continue
        if count is not None and instant is not None:
            yield name_of(run), key, count, instant, value


def name_of(run: str) -> str:
    """A run's id in characters that a track's name may have."""
    return "".join(char for char in run[:12] if char.isascii() and (char.isalnum() or char in "_-")) or "run"
