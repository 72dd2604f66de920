"""Several nights as data: CSV with the night of each run, and one JSON object with the nights' documents."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

from slurm_guard import document
from slurm_guard.model import Audit
from slurm_guard.report.formats import HEADS, csv_row
from slurm_guard.report.nights import Nights
from slurm_guard.report.safe import clean

KIND = "slurm-guard nights"
FORMAT = 1


def csv_parts(parts: Iterable[tuple[str, Audit]]) -> Iterator[str]:
    """One row a run, the night before the columns of a single night's CSV; a piece a night."""
    out = io.StringIO()
    writer = csv.DictWriter(out, ("night", *HEADS), lineterminator="\n")
    writer.writeheader()
    for night, part in parts:
        for judgement in part.judgements:
            writer.writerow({"night": night, **csv_row(judgement)})
        yield out.getvalue()
        out.seek(0)
        out.truncate()
    yield out.getvalue()  # the head of a table without nights


def json_parts(parts: Iterable[tuple[str, Audit]], found: Nights) -> Iterator[str]:
    """`nights`: each an audit document with its date; then what was asked for and what is missing."""
    yield f'{{\n"kind":{json.dumps(KIND)},\n"format":{FORMAT},\n"nights":['
    for k, (night, part) in enumerate(parts):
        yield f'{"," if k else ""}\n{{"night":{json.dumps(night)},"audit":{document.to_json(part).rstrip()}}}'
    end = {
        "since": found.first,
        "narrowed": found.narrow.words(),
        "n_runs": found.n_runs,
        "ledger_gpu_ms": found.ledger_gpu_ms,
        "missing": found.missing,
        "failed": [{"night": night, "why": clean(why, 300)} for night, why in found.failed],
    }
    yield "\n],\n" + ",\n".join(f"{json.dumps(k)}:{json.dumps(v)}" for k, v in end.items()) + "\n}\n"
