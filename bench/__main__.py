"""Dispatcher: `python -m bench NAME [--json] [options]` prints a table, and with --json JSON lines too."""

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, cast

Row = dict[str, Any]


class Bench(Protocol):
    """A benchmark module: adds its options, measures, and says in `__doc__` what it measures.

    `measure` returns rows with the same keys: a `what`, then numbers with their unit in the key.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], list[Row]]


def names() -> list[str]:
    """The benchmarks there are: the modules beside this one."""
    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def format_table(rows: list[Row]) -> str:
    """Rows as columns; numbers right-aligned, null as a dash."""
    heads = list(rows[0])
    cells = [heads, *[["-" if row[h] is None else _cell(row[h]) for h in heads] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main(argv: list[str]) -> int:
    """Run one benchmark. Returns the exit status: 0 done, 2 no such benchmark."""
    first = argparse.ArgumentParser(prog="python -m bench", description=__doc__, add_help=False)
    first.add_argument("name", nargs="?")
    known, rest = first.parse_known_args(argv)
    if known.name not in names():
        sys.stderr.write(f"usage: python -m bench NAME [--json]; NAME is one of: {', '.join(names())}\n")
        return 2
    bench = cast(Bench, importlib.import_module(f"bench.{known.name}"))
    parser = argparse.ArgumentParser(prog=f"python -m bench {known.name}", description=bench.__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per row after the table")
    bench.add_options(parser)
    options = parser.parse_args(rest)
    rows = bench.measure(options)
    sys.stdout.write(format_table(rows) + "\n")
    if options.json:
        sys.stdout.writelines(json.dumps({"bench": known.name, **row}) + "\n" for row in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
