"""The tables of docs/formats.md, from the code that they describe; the prose between them is written by hand.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a record's kind, `lake`, or a
dataclass of the audit document.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from slurm_guard import wire, wirenet
from slurm_guard.lake.schema import PARTITION, TABLES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "formats.md"
MARKED = re.compile(r"(<!-- generated: ([A-Za-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
# What of the audit's nouns is written into the document, in the order of the page.
DOCUMENT = (
    *("Audit", "NodeCoverage", "Judgement", "Run", "Bounds", "Cost", "Comparison", "Analytic"),
    *("ProgressSummary", "Redone", "Finding", "Evidence", "Timeline", "TimelineEvent", "Outside", "Skip"),
)
COSTS = ("Cost", "Comparison", "Analytic")
# … and of the site's own word, which has a file of its own.
SITE = ("Explained", "Maintenance", "Recurrence", "Site", "Precision", "AlarmBudget")
SUMS = ("GroupSum", "NightSum")
KEPT = ("Exemption", "Disposition", "Speaker", "Subject", "PastNight", "Cell", "Asked")
HISTORY = ("PastCost", "PastGround", "PastTrace")  # tables of the history store
# Records inside records.
PARTS = (
    *("Socket", "NetState", "Firewall", "NetChain", "PlaceCount", "GpuProcess"),
    *("ProcShare", "Held", "Rhythm"),
)


def render() -> str:
    """The page with its tables as the code has them now."""
    return MARKED.sub(
        lambda match: f"{match[1]}{_table(match[2])}{match[3]}", PAGE.read_text(encoding="utf-8")
    )


def names() -> list[str]:
    """Every table that the page must have."""
    return [*wire.KINDS, *PARTS, "lake", *HISTORY, *DOCUMENT, *SITE, *SUMS, *KEPT]


def _table(name: str) -> str:
    if name == "lake":
        return "".join(_lake_table(table) for table in TABLES)
    if name in HISTORY:
        return _class_table(ROOT / "slurm_guard" / "history.py", name)
    if name in DOCUMENT:
        return _class_table(ROOT / "slurm_guard" / ("costmodel.py" if name in COSTS else "model.py"), name)
    if name in SUMS:
        return _class_table(ROOT / "slurm_guard" / "summodel.py", name)
    if name in SITE or name in KEPT:
        return _class_table(ROOT / "slurm_guard" / ("sitemodel.py" if name in SITE else "siteword.py"), name)
    shape = name if name in PARTS else wire.KINDS[name].__name__
    home = "wirenet.py" if hasattr(wirenet, shape) else "wire.py"
    return _class_table(ROOT / "slurm_guard" / home, shape)


def _lake_table(table: str) -> str:
    columns = ", ".join(f"`{name}` {_dtype(dtype)}" for name, dtype in TABLES[table].items())
    return f"\n**`{table}`** (day of `{PARTITION[table]}`): {columns}.\n"


def _dtype(dtype: object) -> str:
    return re.sub(r"[^A-Za-z0-9()]", "", str(dtype))


def _class_table(path: Path, name: str) -> str:
    rows = "".join(f"| `{field}` | {kind} | {words} |\n" for field, kind, words in class_fields(path, name))
    return f"\n| field | type | |\n| --- | --- | --- |\n{rows}\n"


def class_fields(path: Path, name: str) -> Iterator[tuple[str, str, str]]:
    """(field, annotation, comment on its lines) of one class."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    (found,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            here = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            yield node.target.id, _escape(ast.unparse(node.annotation).strip("'")), _escape(_comment(here))


def _comment(text: str) -> str:
    return " ".join(part.strip() for part in re.findall(r"  # (.*)$", text, re.MULTILINE))


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
