"""The CSV says of each run what the page and the text say of it."""

import csv
import io
from dataclasses import replace

import pytest

from slurm_guard import sums
from slurm_guard.model import Account, Bounds, Judgement
from slurm_guard.report import formats, words
from slurm_guard.report.cards import build_row
from slurm_guard.report.words import load_zone
from tests.unit.report import builders

ACCOUNTS = (*(account.value for account in Account), sums.UNMATCHED)


def _worked() -> Judgement:
    """A run without a log whose GPUs worked; the audit's own figures leave that over."""
    plain = builders.not_auditable()
    ledger = builders.split(plain.run, residual=0.7, contradiction=0.1, foreign=0.1)
    bounds = Bounds(0, ledger["residual"], plain.run.allocated_gpu_ms)
    return replace(plain, ledger_gpu_ms=ledger, unexplained=bounds)


def _row(judgement: Judgement) -> dict[str, str]:
    (row,) = csv.DictReader(
        io.StringIO(formats.render_csv(replace(builders.night(), judgements=(judgement,))))
    )
    return row


def test_own_work_of_a_run_that_could_not_be_audited_is_unmatched_and_not_unexplained() -> None:
    judgement = _worked()

    row = _row(judgement)

    own = judgement.ledger_gpu_ms["residual"] + judgement.ledger_gpu_ms["contradiction"]
    assert (row["unmatched_gpu_ms"], row["residual_gpu_ms"], row["contradiction_gpu_ms"]) == (
        str(own),
        "0",
        "0",
    )
    assert row["foreign_gpu_ms"] == str(judgement.ledger_gpu_ms["foreign"])
    assert [row[f"unexplained_{which}_gpu_ms"] for which in ("lo", "mid", "hi")] == ["", "", ""]


@pytest.mark.parametrize("judgement", [*builders.night().judgements, _worked()], ids=lambda j: j.run.job)
def test_csv_and_page_agree_on_accounts_and_bounds(judgement: Judgement) -> None:
    row, unit = _row(judgement), words.unit_for([judgement.run.allocated_gpu_ms])
    shown = build_row(judgement, unit, words.Times(load_zone("UTC")))

    assert {name: int(row[f"{name}_gpu_ms"]) for name in ACCOUNTS} == {
        name: sums.shown_ledger(judgement).get(name, 0) for name in ACCOUNTS
    }
    assert sum(int(row[f"{name}_gpu_ms"]) for name in ACCOUNTS) == judgement.run.allocated_gpu_ms
    assert (row["unexplained_hi_gpu_ms"] == "") is (shown.bounds == "")
