"""The ledger's core says the same in the audit's own functions, in SQL and in pandas."""

import os
import sys
from pathlib import Path

import polars as pl
import pytest

from bench import ledger
from bench.ledgers import given
from bench.ledgers.figures import FIGURES
from bench.ledgers.same import beside_document, differences
from slurm_guard.simulate.scale.make import make
from slurm_guard.simulate.scale.plan import Size
from tests.hurtlake import hurt

SIZE = Size(gpus=16, jobs=24, nights=1, seed="ledger", planted=0.3)
ROOT = Path(__file__).parents[3]
PEERS = Path(os.environ.get("GUARD_PEERS_PYTHON", ROOT / ".venv-peers" / "bin" / "python"))
OURS = (sys.executable, "in_polars")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A small night, and a folder with what all three are given and the audit's own figures."""
    made, scratch = tmp_path_factory.mktemp("made"), tmp_path_factory.mktemp("scratch")
    make(made, SIZE)
    given.write(made, scratch / "given")
    ledger._run(OURS, made, scratch, scratch / "ours", 1)
    return made, scratch


@pytest.fixture(scope="module")
def odd_night(night: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same with what no simulation makes in its lake; what is given is the same."""
    made, scratch = tmp_path_factory.mktemp("hurt"), tmp_path_factory.mktemp("scratch")
    hurt(night[0] / "lake", made / "lake")
    (scratch / "given").symlink_to(night[1] / "given")
    ledger._run(OURS, made, scratch, scratch / "ours", 1)
    return made, scratch


def _figures(night: tuple[Path, Path], name: str) -> pl.DataFrame:
    return pl.read_parquet(night[1] / name / "figures.parquet")


def _document(night: tuple[Path, Path]) -> pl.DataFrame:
    return pl.read_parquet(night[1] / "given" / "document.parquet")


@pytest.mark.slow
def test_the_core_has_the_figures_of_the_documents_runs(night: tuple[Path, Path]) -> None:
    lines, n_plain, _ = beside_document(_figures(night, "ours"), _document(night))

    assert lines == []
    assert n_plain > 10
    assert _figures(night, "ours")["theta_energy"].count() > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", sorted(ledger.PEERS))
@pytest.mark.parametrize("which", ["night", "odd_night"])
def test_a_peer_has_the_same_figures(way: str, which: str, request: pytest.FixtureRequest) -> None:
    module, packages = ledger.PEERS[way]
    if missing := [package for package in packages if not ledger.has(PEERS, package)]:
        pytest.skip(f"{PEERS} has no {' and no '.join(missing)}: tools/bootstrap peers")
    made, scratch = request.getfixturevalue(which)

    ledger._run((str(PEERS), module), made, scratch, scratch / module, 1)

    assert differences(_figures((made, scratch), "ours"), _figures((made, scratch), module)) == []


@pytest.mark.slow
def test_the_odd_night_has_what_no_simulated_one_has(
    night: tuple[Path, Path], odd_night: tuple[Path, Path]
) -> None:
    plain, odd = (_figures(one, "ours").sum() for one in (night, odd_night))

    assert plain["unobserved_ms"].item() == 0 < odd["unobserved_ms"].item()
    assert odd["foreign_ms"].item() != plain["foreign_ms"].item()


@pytest.mark.slow
def test_a_wrong_document_is_noticed(night: tuple[Path, Path]) -> None:
    wrong = _document(night).with_columns(u_ms=pl.col("u_ms") + (pl.col("i") == 1))

    lines, _, _ = beside_document(_figures(night, "ours"), wrong)

    assert [line.split(" is ")[0] for line in lines] == ["run 1: u_ms"]


def _rows(**other: object) -> pl.DataFrame:
    """Two runs."""
    row = {name: 7 if kind == pl.Int64 else 0.25 for name, kind in FIGURES.items()}
    return pl.DataFrame([{**row, "i": 0}, {**row, "i": 1, **other}], schema=FIGURES)


@pytest.mark.parametrize(
    ("name", "value"),
    [("idle_ms", 8), ("u_hi_ms", 6), ("n_mode", 6), ("theta_energy", 0.25 * (1 + 1e-7)), ("left", None)],
)
def test_a_wrong_figure_is_noticed(name: str, value: float | None) -> None:
    lines = differences(_rows(), _rows(**{name: value}))

    assert lines == [
        f"run 1: {name} is {7 if name in ('idle_ms', 'u_hi_ms', 'n_mode') else 0.25} and {value}"
    ]


def test_a_sum_in_another_order_is_the_same() -> None:
    assert differences(_rows(), _rows(theta_energy=0.25 * (1 + 1e-12))) == []


def test_a_run_that_one_does_not_have_is_noticed() -> None:
    assert differences(_rows(), _rows().head(1)) == ["run 1: in one of both"]


def test_ledgers_that_differ_end_the_benchmark(tmp_path: Path) -> None:
    for way, rows in (("polars", _rows()), ("sql", _rows(idle_ms=8))):
        (tmp_path / way).mkdir()
        rows.write_parquet(tmp_path / way / "figures.parquet")
    (tmp_path / "given").mkdir()
    none = pl.DataFrame(schema=given.DOCUMENT)
    none.write_parquet(tmp_path / "given" / "document.parquet")

    with pytest.raises(SystemExit, match=r"1 figures differ:\n.* and sql, run 1: idle_ms is 7 and 8"):
        ledger._check(tmp_path, ["polars", "sql"])


def test_missing_peers_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ledger._peers(tmp_path / "python")

    said = capsys.readouterr().err
    assert found == {}
    assert "duckdb (SQL) is left out: duckdb not found" in said
    assert "pandas and pyarrow not found" in said
    assert said.count("tools/bootstrap peers") == 2
