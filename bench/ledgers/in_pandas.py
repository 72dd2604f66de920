"""The core of the ledger with pandas: `python -m bench.ledgers.in_pandas LAKE GIVEN OUT`.

The steps are those of ledger.sql.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bench.ledgers import pandas_cells as wide
from bench.ledgers.timed import say

CHANNELS = ("cycles", "energy", "busy", "pipes")
METERS = ["cycles", "energy"]
PHASES = ["startup", "marked", "recurring", "pause", "tail"]
ACCOUNTS = ["idle", "progress", "phase", "wait", "foreign", "contradiction", "residual", "unobserved"]


def plan_of(cells: pd.DataFrame, given: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The runs with the width and number of their slots and the usual gap and pace of their records."""
    arcs = given["arcs"]
    lengths = arcs["until_at"] - arcs["from_at"]
    usual = (
        pd.DataFrame({"i": arcs["i"], "gap": lengths, "pace": lengths / arcs["units"]}).groupby("i").median()
    )
    runs = given["runs"].join(cells.groupby("i")["long_s"].median(), on="i").join(usual, on="i")
    length = runs["until_at"] - runs["from_at"]
    width = np.maximum(runs["long_s"].fillna(60.0), length.clip(lower=1e-3) / 2000)
    return runs.assign(
        width=width, n=np.ceil(length / width).clip(lower=1), full_ms=runs["n_gpus"] * width * 1000
    )


def shapes_of(slots: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """9. What a run's meters are good for, and how many slots a stretch has."""
    sums = slots.drop(columns=["k", "units"]).groupby("i").sum()
    train = slots[slots["train"] > 0.5].groupby("i")[["cov", "active", "level"]].sum()
    train = train.reindex(sums.index, fill_value=0.0)
    n_train = (slots["train"] > 0.99).groupby(slots["i"]).sum()
    shape = plan.set_index("i").join(sums)
    cov, active = shape["cov"], shape["active"]
    believed = (
        (train["cov"] <= 0)
        | (train["active"] < 0.5 * train["cov"])
        | (train["level"] >= 0.05 * train["active"])
    )
    busy = (cov > 0) & (active > 0)
    gap = np.maximum(shape["gap"].fillna(0.0), 3.0 * shape["blur_s"].fillna(0.0))
    by_log = np.where(gap > 0.5 * shape["width"], np.floor(gap / shape["width"]) + 1, 1)
    return shape.assign(
        is_split=(active > 0) & (shape["stray"] + shape["foreign"] > 0.02 * active),
        n_slots=np.maximum(np.maximum(by_log, np.ceil(n_train / 400)), 1).astype("int64"),
        use_cycles=busy & (shape["cyc_cov"] >= 0.9 * cov) & (shape["cyc"] > 0),
        use_energy=busy & believed & (shape["dyn_cov"] >= 0.9 * cov) & (shape["dyn"] > 0),
        use_busy=busy,
        use_pipes=(shape["pipe_cov"] > 0) & (shape["pipe_cov"] >= 0.9 * cov) & (cov > 0),
    )


def blocks_of(slots: pd.DataFrame, shape: pd.DataFrame) -> pd.DataFrame:
    """10. Stretches of training, one row for each channel that counts."""
    rows = slots.join(shape[["full_ms", "n_slots"]], on="i")
    rows = rows[(rows["train"] > 0.99) & (rows["cov"] >= 0.5 * rows["full_ms"])].sort_values(["i", "k"])
    rows["island"] = rows["k"] - rows.groupby("i").cumcount()
    rows["number"] = rows.groupby(["i", "island"]).cumcount() // rows["n_slots"]
    rows["units"] *= np.minimum(1.0, rows["cov"] / rows["full_ms"])
    rows["others"] = rows["stray"] + rows["foreign"]
    blocks = rows.groupby(["i", "island", "number"]).agg(
        first=("k", "min"),
        n=("k", "size"),
        n_slots=("n_slots", "first"),
        **{name: (name, "sum") for name in ("units", "active", "others")},
        cycles=("own_cyc", "sum"),
        energy=("own_dyn", "sum"),
        busy=("own", "sum"),
        pipes=("pipe", "sum"),
    )
    blocks = blocks[blocks["n"] == blocks["n_slots"]].reset_index()
    long = blocks.melt(["i", "first", "units", "active", "others"], list(CHANNELS), "channel", "work")
    used = shape[[f"use_{c}" for c in CHANNELS]].set_axis(list(CHANNELS), axis=1).stack()
    used = used[used].index
    return long[pd.MultiIndex.from_frame(long[["i", "channel"]]).isin(used)].sort_values(
        ["i", "channel", "first"]
    )


def mean_error(values: np.ndarray, sigma: float) -> float:
    """Of a mean of autocorrelated values."""
    n, d = len(values), values - values.mean()
    power = (d * d).sum()
    rho = 0.0 if n < 4 or power <= 0 else min(0.9, max(0.0, (d[1:] * d[:-1]).sum() / power))
    return sigma if n < 2 else sigma * np.sqrt((1 + rho) / (1 - rho) / n)


def step_sigma(values: np.ndarray) -> float:
    """Noise by successive differences."""
    return 0.0 if len(values) < 3 else np.median(np.abs(np.diff(values))) / 0.954


def theta_of(costs: np.ndarray) -> tuple[float, float, int]:
    """11. The centre of the cheap mode, its relative error and how many are in it."""
    middle, low = np.median(costs), np.quantile(costs, 0.12)
    lower = 1.4826 * np.median(middle - costs[costs <= middle])
    steps = step_sigma(costs)
    noise = max(min(steps, lower) if lower > 0 else steps, 0.004 * middle)
    while True:
        centre = low + noise
        for _ in range(50):
            near = costs[np.abs(costs - centre) <= 2.6 * noise]
            before, centre = centre, np.median(near) if len(near) else centre
            if abs(centre - before) <= 1e-9 * abs(before):
                break
        inside = costs[np.abs(costs - centre) <= 2.6 * noise]
        if len(inside) >= max(3, 0.12 * len(costs)):
            return centre, np.sqrt((mean_error(inside, noise) / centre) ** 2 + 0.015**2), len(inside)
        noise *= 1.3


def fits_of(blocks: pd.DataFrame, shape: pd.DataFrame) -> pd.DataFrame:
    """Each channel of a run with its θ."""
    usable = blocks[(blocks["units"] > 0) & (blocks["work"] > 0)]
    costs = (usable["work"] / usable["units"]).groupby([usable["i"], usable["channel"]])
    found = {key: theta_of(one.to_numpy()) for key, one in costs if len(one) >= 6}
    index = pd.MultiIndex.from_tuples(found, names=["i", "channel"]) if found else None
    thetas = pd.DataFrame(list(found.values()), index, ["theta", "rel_error", "n_mode"])
    alone = (blocks["others"] <= 0.02 * blocks["active"]).groupby([blocks["i"], blocks["channel"]])
    sums = blocks.groupby(["i", "channel"])[["work", "units"]].sum()
    fits = (
        thetas.join(sums)
        .join(alone.agg(n_alone="sum", n="size"))
        .reset_index()
        .join(shape["is_split"], on="i")
    )
    shared = 1.96 * np.hypot(fits["rel_error"], np.where(fits["is_split"], 0.03, 0.0))
    learnt = fits["n_alone"] >= np.maximum(3, 0.12 * fits["n"])
    one = (fits["units"] * fits["theta"] / fits["work"]).where(fits["work"] > 0)
    return fits.assign(
        one=one,
        low=(1.0 - one * (1.0 + shared)).clip(0, 1),
        middle=(1.0 - one).clip(0, 1),
        high=(1.0 - one * (1.0 - shared.mask(learnt, 1.96 * fits["rel_error"]))).clip(0, 1),
    )


def waits_of(fits: pd.DataFrame) -> pd.Series:
    """Runs whose longer steps are spent at the power of a GPU that waits."""
    by = {c: fits[fits["channel"] == c].set_index("i") for c in CHANNELS}
    busy, energy = by["busy"].align(by["energy"], join="inner", axis=0)
    pipes = by["pipes"].reindex(busy.index)
    longer = busy["work"] - busy["units"] * busy["theta"]
    more = energy["work"] - energy["units"] * energy["theta"]
    worked = pipes["work"] - pipes["units"] * pipes["theta"]
    empty = busy["is_split"].astype(bool) | worked.isna() | (worked <= 0.2 * longer)
    return (longer > 0.02 * busy["work"]) & (more / longer < 0.6 * (energy["theta"] / busy["theta"])) & empty


def left_of(blocks: pd.DataFrame, fits: pd.DataFrame) -> pd.DataFrame:
    """12. What progress at that cost leaves over, by run."""
    fits = fits[fits["one"].notna() & (fits["channel"] != "pipes")]
    rows = blocks.merge(fits[["i", "channel", "theta"]], on=["i", "channel"])
    rows["over"] = (1.0 - rows["units"] * rows["theta"] / rows["work"]).where(rows["work"] > 0, 0.0)
    least = rows.groupby(["i", "first"]).agg(active=("active", "first"), over=("over", "min"))
    total = least["active"].groupby("i").sum()
    known = (total > 0) & (least.groupby("i").size() >= 8)  # of fewer no stage's own cost is known
    jointly = ((least["active"] * least["over"]).groupby("i").sum() / total).where(known, 0.0).clip(lower=0.0)
    by_run = fits.assign(widest=fits["middle"] - fits["low"]).groupby("i")
    left = by_run.agg(
        is_split=("is_split", "first"),
        low=("low", "min"),
        middle=("middle", "min"),
        widest=("widest", "max"),
        most=("high", "max"),
        least=("high", "min"),
    )
    busy = fits[fits["channel"] == "busy"].set_index("i")
    left["metered"] = fits["channel"].isin(METERS).groupby(fits["i"]).any()
    left["high"] = left["least"].where(left["is_split"].astype(bool), left["most"])
    return left.join(busy[["high", "middle"]].add_prefix("busy_")).assign(jointly=jointly)


def settled(left: pd.DataFrame, waits: pd.Series, runs: pd.Index) -> pd.DataFrame:
    """Lower, central and upper share, and what is waiting; 0 without θ."""
    waits = waits.reindex(left.index, fill_value=False) & left["metered"]
    held = left["metered"] & ~waits
    middle = np.minimum(left["middle"], left["jointly"]).where(held, 0.0)
    kinder = np.maximum(left["high"], left["busy_high"].fillna(0.0))
    found = pd.DataFrame(
        {
            "left_lo": np.minimum(left["low"], middle - left["widest"]).clip(lower=0.0).where(held, 0.0),
            "left": middle,
            "left_hi": left["high"].mask(waits & ~left["is_split"].astype(bool), kinder)
            .where(left["metered"], np.minimum(1.0, left["busy_high"] + 0.05)),
            "wait": left["busy_middle"].where(waits, 0.0),
        }
    )  # fmt: skip
    return found.reindex(runs, fill_value=0.0)


def booked(tally: pd.DataFrame, left: pd.DataFrame) -> pd.DataFrame:
    """13. µs of each run by what they are."""
    runs = left.index
    own = tally.pivot_table(index="i", columns="kind", values="own", aggfunc="sum").reindex(runs).fillna(0.0)

    def of(*kinds: str) -> pd.Series:
        return own.reindex(columns=list(kinds)).fillna(0.0).sum(axis=1)

    rest = (tally["cov"] - tally["blind"] - tally["own"] - tally["stray"] - tally["foreign"]).clip(lower=0)
    sums = tally.groupby("i")[["cov", "own", "stray", "foreign"]].sum().reindex(runs, fill_value=0.0)
    return sums.join(left).assign(
        idle=rest.groupby(tally["i"]).sum().reindex(runs, fill_value=0.0),
        train=of("train"), silent=of("silent"), slow=of("slow-start", "overlong"), nothing=of("none"),
        phase=of(*PHASES), waited=of("wait"),
    )  # fmt: skip


def accounts_of(books: pd.DataFrame, allocated: pd.Series) -> pd.DataFrame:
    """Whole ms that sum to the allocation; the largest remainders are rounded up."""
    train, left, wait = books["train"], books["left"], books["wait"]
    ms = (
        pd.DataFrame(
            {
                "idle": books["idle"],
                "progress": train * (1.0 - left - wait),
                "phase": books["phase"],
                "wait": train * wait + books["waited"],
                "foreign": books["foreign"],
                "contradiction": 0.0,
                "residual": books["stray"]
                + train * left
                + books["slow"]
                + books["silent"]
                + books["nothing"],
            }
        )
        / 1000
    )
    total = ms.sum(axis=1)
    ms = ms.mul(allocated / total, axis=0).where(total > allocated, ms) if (total > allocated).any() else ms
    ms["unobserved"] = (allocated - ms.sum(axis=1)).clip(lower=0.0)
    whole = np.floor(ms).astype("int64")
    remainder = allocated - whole.sum(axis=1)
    place = np.argsort(np.argsort(-(ms - whole).to_numpy(), axis=1, kind="stable"), axis=1, kind="stable")
    more = (remainder // 8).to_numpy()[:, None] + (place < (remainder % 8).to_numpy()[:, None])
    return (whole + more).add_suffix("_ms")


def guests_of(slots: pd.DataFrame, books: pd.DataFrame, shape: pd.DataFrame, which: str) -> pd.DataFrame:
    """14. How far the time of other processes may be off, down and up."""
    mid = books[which]
    there = slots[slots[which] > 0].sort_values(["i", "k"])
    share = (there[which] / there["active"])[there["active"] > 0].groupby(there["i"])
    errors = {i: mean_error(one.to_numpy(), step_sigma(one.to_numpy())) for i, one in share}
    us = (1000 * there["active"]).groupby(there["i"]).sum()
    noise = (1.96 * pd.Series(errors, dtype=float) * us).reindex(books.index).fillna(0.0)
    worked = books["own"] + books["stray"] + books["foreign"]
    smaller = np.minimum(mid, np.maximum(worked - mid, 0.2 * mid))
    unlike = (mid - 1000 * shape[f"raw_{which}"].reindex(books.index)).abs() / 2
    half = noise + np.minimum(np.hypot(0.1 * smaller, unlike), 0.05 * 1000.0 * shape["allocated_ms"])
    down, up = mid - (mid - half).clip(lower=0.0), np.minimum(books["cov"], mid + half) - mid
    return pd.DataFrame({"down": down.where(mid > 0, 0.0), "up": up.where(mid > 0, 0.0)})


def bounds_of(slots: pd.DataFrame, books: pd.DataFrame, shape: pd.DataFrame) -> pd.DataFrame:
    """U with its bounds, ms."""
    stray, foreign = (guests_of(slots, books, shape, which) for which in ("stray", "foreign"))
    has_log, train = shape["gap"].notna(), books["train"]
    fixed = books["silent"] + books["slow"]
    mid = (books["left"] * train + fixed).where(has_log, books["own"])
    low = (books["left_lo"] * train + books["silent"]).where(has_log, 0.0)
    high = books["left_hi"] * train + fixed + books["phase"] + books["waited"] + 1000 * shape["doubt"]
    high += ((1.0 - books["left_hi"]) * train).mask(shape["agreed"].astype(bool), 0.0)
    high = high.where(has_log, books["own"])
    mid = np.maximum(low, mid)
    high = np.maximum(mid, high)
    mine = mid + books["stray"]
    mine_lo = (mine - np.hypot(mid - low, stray["down"])).clip(lower=0.0)
    mine_hi = mine + np.hypot(high - mid, stray["up"])
    u = mine + books["foreign"]
    u_lo = (u - np.hypot(mine - mine_lo, foreign["down"])).clip(lower=0.0)
    u_hi = u + np.hypot(mine_hi - mine, foreign["up"])
    worked = books["own"] + books["stray"] + books["foreign"]
    cap = np.minimum(
        np.minimum(shape["allocated_ms"], np.maximum(worked, books["cov"]) / 1000), 1.0002 * worked / 1000
    )
    ends = {"lo": u_lo, "mid": u, "hi": 1.0002 * u_hi}
    return pd.DataFrame(
        {n: np.floor(np.minimum(v / 1000, cap) + 0.5).astype("int64") for n, v in ends.items()}
    )


def compute(lake: Path, given: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The figures of every run."""
    windows = wide.windows_of(lake)
    cut = wide.cut_of(windows, given["keys"], given["runs"])
    active = wide.active_of(cut, wide.idle_of(windows))
    del windows, cut
    cells = wide.cells_of(active, wide.shares_of(lake, given))
    del active
    tally = wide.tally_of(cells, given["spans"])
    plan = plan_of(cells, given)
    slots = wide.slots_of(wide.binned(cells, plan), given, plan)
    shape = shapes_of(slots, plan)
    blocks = blocks_of(slots, shape)
    fits = fits_of(blocks, shape)
    left = settled(left_of(blocks, fits), waits_of(fits), shape.index)
    books = booked(tally, left)
    found = accounts_of(books, shape["allocated_ms"])
    unexplained = found[["foreign_ms", "contradiction_ms", "residual_ms"]].sum(axis=1)
    u = bounds_of(slots, books, shape)
    thetas = fits[fits["channel"] != "pipes"].pivot(index="i", columns="channel", values="theta")
    order = fits.assign(rank=fits["channel"].map({c: k for k, c in enumerate(CHANNELS)})).sort_values("rank")
    best = order[order["channel"] != "pipes"].drop_duplicates("i").set_index("i")[["rel_error", "n_mode"]]
    found = found.assign(
        u_lo_ms=np.minimum(np.minimum(u["lo"], u["mid"]), unexplained),
        u_ms=unexplained,
        u_hi_ms=np.maximum(np.maximum(u["hi"], u["mid"]), unexplained),
    )
    thetas = thetas.reindex(columns=["cycles", "energy", "busy"]).add_prefix("theta_")
    found = found.join(thetas).join(best).join(left)
    return found.assign(n_mode=found["n_mode"].fillna(0).astype("int64")).reset_index(names="i")


def write(lake: str, folder: str, out: str) -> None:
    """Read, compute, write."""
    names = ("runs", "keys", "people", "classes", "spans", "arcs")
    given = {name: pd.read_parquet(f"{folder}/{name}.parquet") for name in names}
    given["spans"] = given["spans"].astype({"kind": "str"})
    compute(Path(lake), given).to_parquet(f"{out}/figures.parquet", index=False)


if __name__ == "__main__":
    say(partial(write, *sys.argv[1:4]))
