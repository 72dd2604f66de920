"""A big night's document: its size, and time and memory of reading it, of the page, the text and the mail.

The runs are invented; `--windows` says how many of them somebody watched. The others carry the timeline of
nulls that the audit draws for them.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench._apart import apart
from slurm_guard import document
from slurm_guard.model import Account, Audit, Bounds, Judgement, NodeCoverage, Timeline, Verdict
from slurm_guard.report.archive import read_document
from tests.unit.report import builders

_SLOTS = 400  # as many as the audit draws


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--windows", type=float, default=1.0, help="share of the runs that were observed")


def night(n_runs: int, observed: float) -> Audit:
    """A document of `n_runs` runs on a tenth as many nodes."""
    plain = builders.night()
    n_seen = round(observed * n_runs)
    judgements = tuple(_seen(i) if i < n_seen else _unseen(i) for i in range(n_runs))
    nodes = tuple(
        NodeCoverage(f"g{i:05}", 0, 0, None, "nothing was heard") for i in range(max(1, n_runs // 10))
    )
    return replace(plain, judgements=judgements, nodes=nodes)


def _seen(i: int) -> Judgement:
    kinds = (builders.alert, builders.review, builders.parked)
    one = kinds[i % 20]() if i % 20 < len(kinds) else builders.clear(i % 8)
    return replace(one, run=replace(one.run, id=f"aurora/{i}/0", job=str(i), job_id=i))


def _unseen(i: int) -> Judgement:
    of = builders.run(i, nodes=(f"g{i // 10:05}",))
    accounts: dict[str, list[int | None]] = {a.value: [None] * _SLOTS for a in Account}
    accounts["unobserved"] = [of.allocated_gpu_ms // _SLOTS] * _SLOTS
    return replace(
        builders.clear(0),
        run=of,
        verdict=Verdict.NOT_AUDITABLE,
        classes=("silent",),
        sentence="Nothing was observed: no statement on this run is possible.",
        ledger_gpu_ms={**dict.fromkeys(accounts, 0), "unobserved": of.allocated_gpu_ms},
        unexplained=Bounds(0, 0, 0),
        coverage_pct=0.0,
        smallest_visible_gpu_ms=None,
        timeline=Timeline(of.start_at, 72.0, accounts, [None] * _SLOTS, [None] * _SLOTS, []),
    )


def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Each step in a process of its own, so that its time and peak memory are its own."""
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        path = Path(folder) / "audit.json"
        steps: list[tuple[str, Callable[[Path], int]]] = [
            ("audit.json, written", _Write(options.runs, options.windows)),
            ("audit.json, read", _read),
            ("HTML, document included", _html),
            ("text, document included", _text),
            ("mail, document included", _mail),
        ]
        return [_row(name, step, path) for name, step in steps]


def _row(what: str, step: Callable[[Path], int], path: Path) -> dict[str, Any]:
    (n_bytes, took_s, busy_s), peak_mib = apart(partial(_timed, step, path))
    return {"what": what, "s": took_s, "CPU s": busy_s, "peak MiB": peak_mib, "kB": n_bytes / 1000}


def _timed(step: Callable[[Path], int], path: Path) -> tuple[int, float, float]:
    """Bytes, and seconds by the clock and of the processor: on a busy machine the first say little."""
    begin, busy = time.perf_counter(), time.process_time()
    return step(path), time.perf_counter() - begin, time.process_time() - busy


class _Write:
    """Builds the night as well: what the audit would hold in memory."""

    def __init__(self, n_runs: int, observed: float) -> None:
        self.n_runs, self.observed = n_runs, observed

    def __call__(self, path: Path) -> int:
        path.write_text(document.to_json(night(self.n_runs, self.observed)), encoding="utf-8")
        return path.stat().st_size


def _read(path: Path) -> int:
    read_document(path)
    return path.stat().st_size


def _html(path: Path) -> int:
    from slurm_guard.report.page import Options, build_page
    from slurm_guard.report.render import render_html

    audit = read_document(path)
    return len(render_html(build_page(audit, Options())).encode())


def _text(path: Path) -> int:
    from slurm_guard.report.page import Options, build_page
    from slurm_guard.report.text import Style, render_text

    audit = read_document(path)
    return len(render_text(build_page(audit, Options()), Style(112)).encode())


def _mail(path: Path) -> int:
    from slurm_guard.report.mail import Envelope, compose
    from slurm_guard.report.page import Options

    audit = read_document(path)
    letter = compose(audit, Options(), Envelope("guard@example.org", "ops@example.org"), 0.0)
    return len(letter.content)
