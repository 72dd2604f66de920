"""Whether two ledgers of one night are the same: whole milliseconds exactly, the rest nearly."""

import math

import polars as pl

from bench.ledgers.figures import ACCOUNTS, FIGURES, U

NEARLY = 1e-9  # relative: sums of floats in another order
COUNTED = (*ACCOUNTS, *U, "n_mode")


def differences(one: pl.DataFrame, other: pl.DataFrame) -> list[str]:
    """A line for each figure that differs, by run; empty: the same. NaN is like nothing but itself."""
    mine, theirs = (_by_run(rows) for rows in (one, other))
    lines = [f"run {i}: in one of both" for i in sorted(set(mine) ^ set(theirs))]
    for i in sorted(set(mine) & set(theirs)):
        for name in FIGURES:
            a, b = mine[i][name], theirs[i][name]
            if not _alike(name, a, b):
                lines.append(f"run {i}: {name} is {a} and {b}")
    return lines


def _by_run(rows: pl.DataFrame) -> dict[int, dict[str, float | None]]:
    return {row["i"]: row for row in rows.select(*FIGURES).to_dicts()}


def _alike(name: str, a: float | None, b: float | None) -> bool:
    if a is None or b is None or name in COUNTED:
        return a == b
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=NEARLY, abs_tol=NEARLY)


def beside_document(core: pl.DataFrame, document: pl.DataFrame) -> tuple[list[str], int, dict[str, int]]:
    """What differs from the audit's document in runs of which it knows no more than the core; how many those
    are; and the others, counted by what the audit knew."""
    more = dict(document.filter(pl.col("more") != "").group_by("more").len().sort("more").iter_rows())
    plain = document.filter(pl.col("more") == "")
    both = plain.join(core, on="i", suffix="_core", how="left").to_dicts()
    names = (*ACCOUNTS, *U)
    lines = [
        f"run {row['i']}: {name} is {row[f'{name}_core']} and in the document {row[name]}"
        for row in both
        for name in names
        if row[f"{name}_core"] != row[name]
    ]
    thetas = pl.coalesce("theta_cycles", "theta_energy", "theta_busy")
    known = dict(core.select("i", thetas).iter_rows())
    lines += [
        f"run {row['i']}: θ is {known.get(row['i'])} and in the document {row['theta']}"
        for row in both
        if not _alike("theta", known.get(row["i"]), row["theta"])
    ]
    return lines, plain.height, more
