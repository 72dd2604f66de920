"""The document as data: JSON (the document itself) and CSV (one row a run, raw integers)."""

import csv
import io
from datetime import datetime, timezone

from slurm_guard import document, sums
from slurm_guard.model import Account, Audit, Judgement, Redone
from slurm_guard.report.safe import clean, formula_safe

_TEXTS = (
    "run",
    "cluster",
    "job",
    "user",
    "account",
    "partition",
    "qos",
    "name",
    "state",
    "gpu_type",
    "nodes",
)
_NUMBERS = ("job_id", "uid", "n_gpus", "coverage_pct", "score", "allocated_gpu_ms")
_BOUNDS = ("unexplained_lo_gpu_ms", "unexplained_mid_gpu_ms", "unexplained_hi_gpu_ms")
_ACCOUNTS = tuple(f"{account.value}_gpu_ms" for account in Account)
HEADS = (
    *("verdict", "classes", "start", "end", "from", "until"),
    *(*_TEXTS, *_NUMBERS, *_ACCOUNTS, *_BOUNDS, "smallest_visible_gpu_ms"),
    *("progress_points", "progress_units", "progress_unit", "progress_trust", "sentence"),
    *("left", "explained"),
    *("progress_net_units", "progress_redone_units", "redone_gpu_ms"),
    "unmatched_gpu_ms",
)


def render_json(audit: Audit) -> str:
    """The document, byte for byte as `slurm-guard audit` writes it."""
    return document.to_json(audit)


def render_csv(audit: Audit) -> str:
    """One row a run in the document's order. An empty cell is null; 0 is an observed zero.

    Texts are made harmless and can start no formula; times are ISO 8601 in UTC. Accounts and bounds are as in
    every report: own work of a run that could not be audited is unmatched, and of it nothing is unexplained.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADS, lineterminator="\n")
    writer.writeheader()
    for judgement in audit.judgements:
        writer.writerow(csv_row(judgement))
    return out.getvalue()


def csv_row(judgement: Judgement) -> dict[str, object]:
    """A run's cells by the names of HEADS."""
    run, progress, ledger = judgement.run, judgement.progress, sums.shown_ledger(judgement)
    texts = {name: getattr(run, name) for name in _TEXTS if name not in ("run", "nodes")}
    texts |= {
        "run": run.id,
        "nodes": " ".join(run.nodes),
        "classes": " ".join(judgement.classes),
        "verdict": judgement.verdict.value,
        "progress_unit": progress.unit,
        "progress_trust": progress.trust,
        "sentence": judgement.sentence,
        "left": None if judgement.left is None else judgement.left.value,
        "explained": "; ".join(f"{e.check} by {e.by}: {e.reason}" for e in judgement.explained),
    }
    return {
        **{name: _cell(text) for name, text in texts.items()},
        **dict(zip(("start", "end"), (_iso(run.start_at), _iso(run.end_at)), strict=True)),
        **dict(zip(("from", "until"), (_iso(run.from_at), _iso(run.until_at)), strict=True)),
        "job_id": run.job_id,
        "uid": run.uid,
        "n_gpus": run.n_gpus,
        "coverage_pct": judgement.coverage_pct,
        "score": judgement.score,
        "allocated_gpu_ms": run.allocated_gpu_ms,
        **{f"{name}_gpu_ms": ledger.get(name, 0) for name in (*(a.value for a in Account), sums.UNMATCHED)},
        **_bounds(judgement),
        "smallest_visible_gpu_ms": judgement.smallest_visible_gpu_ms,
        "progress_points": progress.n_points,
        "progress_units": progress.units,
        **_redone(progress.redone),
    }


def _bounds(judgement: Judgement) -> dict[str, object]:
    if sums.is_unmatched(judgement):
        return {}
    bounds = judgement.unexplained
    return dict(zip(_BOUNDS, (bounds.lo_gpu_ms, bounds.mid_gpu_ms, bounds.hi_gpu_ms), strict=True))


def _redone(redone: Redone | None) -> dict[str, object]:
    if redone is None:
        return {}
    return {
        "progress_net_units": redone.net_units,
        "progress_redone_units": redone.redone_units,
        "redone_gpu_ms": redone.gpu_ms,
    }


def _cell(text: str | None) -> str:
    return "" if text is None else formula_safe(clean(text))


def _iso(at: float | None) -> str:
    try:
        return "" if at is None else datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return ""
