"""No number of a format means two things: fields are held against what was committed for it."""

import pytest

from slurm_guard import document, jsonsteps
from slurm_guard.lake import schema, steps
from slurm_guard.memory import nights
from tools import genshapes

NOW = genshapes.shapes()


@pytest.mark.parametrize("name", sorted(NOW))
def test_a_number_means_what_it_meant(name: str) -> None:
    was = genshapes.read(name)

    assert was, "run python -m tools.genshapes"
    assert genshapes.wrong(was, NOW[name]) == [], "raise the number and write a step: docs/formats.md"
    assert was == NOW[name], "run python -m tools.genshapes"


def test_every_number_from_1_on_has_its_fields_kept() -> None:
    newest = {name.rpartition("-")[0]: int(name.rpartition("-")[2]) for name in NOW}
    kept = {path.stem for path in genshapes.FOLDER.glob("*.txt")}

    assert kept == {f"{name}-{number}" for name, last in newest.items() for number in range(1, last + 1)}


def test_every_number_that_was_raised_has_a_step() -> None:
    assert sorted(steps.OLDER) == list(range(1, schema.FORMAT))
    assert sorted(jsonsteps.DOCUMENT) == list(range(1, document.FORMAT))
    assert sorted(jsonsteps.NIGHT) == list(range(1, nights.FORMAT))


def test_the_tables_that_are_kept_for_reading_are_those_of_their_number() -> None:
    for number, older in steps.OLDER.items():
        columns = {
            f"{table}.{name}: {genshapes.dtype(kind)}, may be missing"
            for table, schema_ in older.tables.items()
            for name, kind in schema_.items()
        }
        assert columns == {line for line in genshapes.read(f"lake-{number}") if ": " in line}


OLD = ["run: object", "run.id: int", "run.state: one of A, B", "left: int | null, may be missing"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("run.id: int", "run.key: int"), "is gone"),
        (("run.id: int", "run.id: str"), "is another now: run.id: int"),
        (("run.state: one of A, B", "run.state: one of A, B, C"), "is another now: run.state"),
        (("left: int | null, may be missing", "left: int | null"), "is another now: left"),
        (("", "run.more: int"), "has no default: run.more"),
        (("", "more: int"), "has no default: more"),
    ],
)
def test_what_needs_a_new_number_is_told(change: tuple[str, str], said: str) -> None:
    new = [line for line in OLD if line != change[0]] + [change[1]]

    assert said in " ".join(genshapes.wrong(OLD, new))


def test_what_readers_may_leave_out_or_miss_needs_none() -> None:
    new = [
        *OLD,
        "run.more: int | null, may be missing",
        "site: object | null, may be missing",
        "site.name: str",
    ]

    assert genshapes.wrong(OLD, new) == []


def test_a_renamed_column_of_the_lake_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = {
        ("power_w" if name == "power_mw" else name): kind for name, kind in schema.TABLES["windows"].items()
    }
    monkeypatch.setitem(schema.TABLES, "windows", renamed)

    found = genshapes.wrong(genshapes.read("lake-1"), genshapes.shapes()["lake-1"])

    assert found == ["is gone, or is another now: windows.power_mw: Int64, may be missing"]


def test_another_day_of_a_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.PARTITION, "flows", "first_seen_at")

    found = genshapes.wrong(genshapes.read("lake-1"), genshapes.shapes()["lake-1"])

    assert found == ["is gone, or is another now: flows by the day of last_seen_at"]
