"""Windows to cells, slots and sums with pandas: steps 1 to 8 of ledger.sql."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.ledgers.night import WINDOW

MEASURES = ("energy_mj", "power_mw", "busy_ms", "sm_cycles")
SHARES = ("sm_ms", "tensor_ms", "int_ms", "dram_ms", "mem_busy_ms")
SUMS = (
    *("cov", "active", "own", "stray", "foreign", "doubt", "raw_stray", "raw_foreign", "dyn", "own_dyn"),
    *("dyn_cov", "cyc", "own_cyc", "cyc_cov", "pipe", "pipe_cov", "level"),
)
CLASSES = ("linked", "kin", "beside", "stray", "foreign")


def _night(lake: Path, table: str, columns: list[str]) -> pd.DataFrame:
    rows = pd.read_parquet(lake / "v1" / table, columns=columns, partitioning=None)
    long_s = rows["end_at"] - rows["start_at"]
    return rows[(rows["start_at"] < WINDOW[1]) & (rows["end_at"] >= WINDOW[0]) & long_s.between(0, 3600)]


def windows_of(lake: Path) -> pd.DataFrame:
    """1. Windows that can be used (work.judgeable)."""
    names = ["run", "node", "gpu", "model", "shared", "start_at", "end_at", "covered_ms", *MEASURES]
    rows = _night(lake, "windows", [*names, "power_limit_mw", "sm_clock_mhz", *SHARES])
    lists = pd.read_parquet(
        lake / "v1" / "windows", columns=["power_q_mw"], partitioning=None, dtype_backend="pyarrow"
    )["power_q_mw"]
    rows = rows.assign(power_q0_mw=lists.list[0:1].list.flatten().astype("float64"))
    length = (rows["end_at"] - rows["start_at"]) * 1000
    fine = np.isfinite(rows["start_at"]) & np.isfinite(rows["end_at"]) & (length > 0)
    fine &= rows["covered_ms"].between(0, length * 1.05 + 500)
    most = {
        "energy_mj": 20_000.0 * (length + 1000.0),
        "power_mw": 2e7,
        "sm_cycles": 2.0**53,
        "busy_ms": rows["covered_ms"] * 1.05 + 500,
        **dict.fromkeys(SHARES, 10.0 * (length + 1000.0)),
    }
    for name, limit in most.items():
        fine &= rows[name].isna() | rows[name].between(0, limit)
    order = ["run", "gpu", "start_at", "covered_ms", "end_at", "energy_mj"]
    good = rows[fine].sort_values(
        order, ascending=[True, True, True, False, False, False], na_position="last"
    )
    good = good.drop_duplicates(["run", "gpu", "start_at"])
    return good.assign(
        gpu=pd.factorize(good["gpu"])[0],
        model=pd.factorize(good["model"].fillna(""), sort=True)[0],
        shared=good["shared"].fillna(False).astype(bool),
    ).assign(gpu_name=good["gpu"])


def idle_of(windows: pd.DataFrame) -> pd.Series:
    """2. Idle power by GPU (work.idle_power)."""
    seen = windows[windows["covered_ms"] > 0]
    mean = (seen["energy_mj"] * 1000 / seen["covered_ms"]).fillna(seen["power_mw"])
    quiet = mean[seen["busy_ms"] / seen["covered_ms"] <= 0.01]
    own = quiet.groupby(seen["gpu"]).quantile(0.25)
    model = (quiet.groupby(seen["model"]).median() / 100).round() * 100  # a tenth of a watt, half to even
    boards = windows.groupby("gpu").agg(model=("model", "min"), limit=("power_limit_mw", "max"))
    low = pd.concat([seen.groupby("gpu")["power_q0_mw"].min(), mean.groupby(seen["gpu"]).min()], axis=1).min(
        axis=1
    )
    unseen = pd.concat([low.reindex(boards.index), boards["limit"] * 0.12], axis=1).min(axis=1)
    return own.reindex(boards.index).fillna(boards["model"].map(model)).fillna(unseen)


def cut_of(windows: pd.DataFrame, keys: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """3. The runs' windows, clipped to the run and to the window before (work._clip)."""
    bound = windows.merge(keys, on="run").merge(runs[["i", "from_at", "until_at"]], on="i")
    alone = bound[list(MEASURES)].isna().all(axis=1).groupby(bound["gpu"]).transform("all")
    clocked = bound["sm_clock_mhz"].notna().groupby(bound["gpu"]).transform("all")
    bound = bound.assign(
        energy=bound["energy_mj"].fillna(bound["power_mw"] * bound["covered_ms"] / 1000),
        busy=bound["busy_ms"].fillna(bound["sm_ms"].where(alone & ~clocked)),
        cyc=bound["sm_cycles"].fillna((bound["sm_ms"] * bound["sm_clock_mhz"] * 1000).where(alone & clocked)),
        pipe=bound[["tensor_ms", "int_ms", "dram_ms"]].max(axis=1),
        cov=bound["covered_ms"].astype(float),
    ).sort_values(["i", "gpu", "start_at", "end_at", "run"])
    place = [bound["i"], bound["gpu"]]
    before = bound.groupby(place)["end_at"].cummax().groupby(place).shift(1).fillna(-np.inf)
    bound["a"] = np.maximum(np.maximum(bound["start_at"], bound["from_at"]), before)
    bound["b"] = np.minimum(bound["end_at"], bound["until_at"])
    bound = bound[bound["b"] > bound["a"]]
    part = (bound["b"] - bound["a"]) / (bound["end_at"] - bound["start_at"])
    extensive = ["cov", "energy", "busy", "cyc", "pipe"]
    bound = bound.assign(**{name: bound[name] * part for name in extensive})
    bound["cov"] = np.minimum(bound["cov"], (bound["b"] - bound["a"]) * 1000)
    return bound[bound["cov"] > 0]


def active_of(cut: pd.DataFrame, idle: pd.Series) -> pd.DataFrame:
    """4. Dynamic energy and active time (work._measure)."""
    place = [cut["i"], cut["gpu"]]
    power, share, rate = cut["energy"] * 1000 / cut["cov"], cut["busy"] / cut["cov"], cut["cyc"] / cut["cov"]
    own_idle = power.where(share <= 0.01).groupby(place).transform("median")
    base = np.fmax(cut["gpu"].map(idle), own_idle)
    top = power.groupby(cut["model"]).transform("max")
    above = (power - base).clip(lower=0.0)
    level = above / np.fmax(cut["power_limit_mw"].fillna(top) - base, 1.0)
    usual = level.where(level > 0.03).groupby(place).quantile(0.9).rename("usual")
    usual_rate = rate.groupby(place).quantile(0.9).rename("usual_rate")
    found = cut[["i", "gpu"]].join(usual, on=["i", "gpu"]).join(usual_rate, on=["i", "gpu"])
    by_power = (level / found["usual"]).clip(0.0, 1.0).mask(level <= 0.03, 0.0)
    by_cycles = (rate / found["usual_rate"]).clip(0.0, 1.0).where(found["usual_rate"] > 0, rate * 0.0)
    by_cycles = by_cycles.mask(by_cycles <= 0.03, 0.0)
    believed = share.notna() & ~((share <= 0.01) & (level > 0.15))
    works = share.mask(share <= 0.01, 0.0).where(believed, by_power.fillna(by_cycles))
    return cut.assign(dyn=above * cut["cov"] / 1000, level=level, device=works.clip(0.0, 1.0) * cut["cov"])


def shares_of(lake: Path, given: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """SM time by class of process, of each window of a run (owners.uses, split.classed)."""
    rows = _night(
        lake,
        "shares",
        ["run", "window_run", "node", "gpu", "start_at", "end_at", "pid", "start_ticks", "sm_ms", "holds"],
    ).drop_duplicates(["node", "gpu", "start_at", "pid", "start_ticks", "window_run"])
    keys = given["keys"].set_index("run")["i"]
    rows = rows.assign(i=rows["window_run"].map(keys)).dropna(subset=["i"])
    people = given["people"][["node", "pid", "start_ticks", "run", "uid"]].rename(
        columns={"run": "known_run"}
    )
    rows = rows.merge(people, on=["node", "pid", "start_ticks"], how="left")
    rows["origin"] = rows["run"].fillna(rows["known_run"])
    rows = rows.merge(given["classes"], on=["i", "node", "pid", "start_ticks"], how="left")
    run_uid = rows["i"].map(given["runs"].set_index("i")["uid"])
    nobody = rows["origin"].isna()
    rows["cls"] = np.select(
        [
            rows["origin"].map(keys) == rows["i"],
            nobody & (rows["uid"].isna() | run_uid.isna()),
            rows["holds"].eq(False),
            nobody & (rows["uid"] == run_uid),
        ],
        [rows["cls"].fillna("kin"), "kin", "kin", "stray"],
        "foreign",
    )
    place = ["i", "window_run", "gpu", "start_at"]
    sums = rows.pivot_table(index=place, columns="cls", values="sm_ms", aggfunc="sum", observed=True)
    top = rows[rows["cls"] == "kin"].groupby(place)["sm_ms"].max().rename("top_kin")
    return (
        sums.reindex(columns=list(CLASSES))
        .join(top)
        .astype(float)
        .fillna(0.0)
        .add_prefix("sm_")
        .reset_index()
    )


def cells_of(active: pd.DataFrame, shares: pd.DataFrame) -> pd.DataFrame:
    """5. Active time divided among processes (split.split)."""
    rows = active.merge(
        shares.rename(columns={"window_run": "run", "gpu": "gpu_name"}),
        on=["i", "run", "gpu_name", "start_at"],
        how="left",
    )
    linked, kin, beside, stray, foreign, top = (
        rows[f"sm_{name}"].fillna(0.0) for name in (*CLASSES, "top_kin")
    )
    total = linked + kin + beside + stray + foreign
    told, device = total > 0, rows["device"]
    foreign = foreign.mask(rows["shared"], 0.0)
    doubt = beside + kin.where(linked > 0, kin - top)

    def of_active(part: pd.Series) -> pd.Series:
        return (device * part / total).where(told, 0.0)

    long = (rows["b"] - rows["a"]) / (rows["end_at"] - rows["start_at"])
    own = of_active(linked + kin + beside).where(told, device.mask(rows["shared"]))
    active_ms = own + of_active(stray) + of_active(foreign)
    blind = active_ms.isna()
    mine = (own / active_ms).where(active_ms > 0, 1.0)
    return pd.DataFrame(
        {
            **{name: rows[name] for name in ("i", "a", "b", "cov")},
            "long_s": rows["end_at"] - rows["start_at"],
            "active": active_ms.fillna(0.0),
            "own": own.fillna(0.0),
            "stray": of_active(stray).mask(blind, 0.0),
            "foreign": of_active(foreign).mask(blind, 0.0),
            "doubt": of_active(doubt).mask(blind, 0.0),
            "raw_stray": np.fmin(stray * long, device),
            "raw_foreign": np.fmin(foreign * long, device),
            "blind": rows["cov"].where(blind, 0.0),
            "dyn": rows["dyn"].fillna(0.0),
            "own_dyn": (rows["dyn"] * mine).fillna(0.0),
            "dyn_cov": rows["cov"].where(rows["dyn"].notna(), 0.0),
            "cyc": rows["cyc"].fillna(0.0),
            "own_cyc": (rows["cyc"] * mine).fillna(0.0),
            "cyc_cov": rows["cov"].where(rows["cyc"].notna(), 0.0),
            "pipe": rows["pipe"].fillna(0.0),
            "pipe_cov": rows["cov"].where(rows["pipe"].notna(), 0.0),
            "level": rows["level"].fillna(0.0) * rows["cov"],
        }
    )


def whole(ms: pd.Series) -> pd.Series:
    """Whole thousandths, as floats below 2^53: their sum knows no order."""
    return np.floor(ms * 1000 + 0.5)


def tally_of(cells: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    """6. µs by run and kind of span (ledger.tally)."""
    rows = cells[["i", "a", "b", "cov", "blind", "own", "stray", "foreign"]].merge(
        spans, on="i", suffixes=("", "_span")
    )
    shared = np.minimum(rows["b"], rows["b_span"]) - np.maximum(rows["a"], rows["a_span"])
    rows, shared = rows[shared > 0], shared[shared > 0]
    part = shared / (rows["b"] - rows["a"])
    names = ["cov", "blind", "own", "stray", "foreign"]
    return (
        rows[["i", "kind"]]
        .assign(**{n: whole(rows[n] * part) for n in names})
        .groupby(["i", "kind"])
        .sum()
        .reset_index()
    )


def spread(rows: pd.DataFrame, low: pd.Series, high: pd.Series) -> pd.DataFrame:
    """The rows, one for each whole `k` from `low` up to `high`, which is not one of them."""
    n = (high - low).clip(lower=0).astype("int64")
    found = rows.loc[rows.index.repeat(n)].copy()
    first = np.repeat(low.to_numpy().astype("int64"), n)
    found["k"] = first + np.arange(len(found)) - np.repeat((n.cumsum() - n).to_numpy(), n)
    return found


def binned(cells: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """7. Sums per run and slot (grid.grids)."""
    rows = cells.merge(plan[["i", "from_at", "width", "n"]], on="i")
    rows["x"], rows["y"] = ((rows[end] - rows["from_at"]) / rows["width"] for end in ("a", "b"))
    rows = spread(rows, np.floor(rows["x"] + 1e-9), np.floor(rows["y"] - 1e-9) + 1)
    part = (np.minimum(rows["y"], rows["k"] + 1.0) - np.maximum(rows["x"], rows["k"])) / (
        rows["y"] - rows["x"]
    )
    k = np.minimum(rows["k"].clip(lower=0), rows["n"] - 1)
    return (
        pd.DataFrame({"i": rows["i"], "k": k, **{c: whole(rows[c] * part) for c in SUMS}})
        .groupby(["i", "k"])
        .sum()
        / 1000
    )


def overlaps(rows: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """Stretches [a, b) cut at the run's slots, with the part of each slot that they take."""
    rows = rows.merge(plan[["i", "from_at", "width", "n"]], on="i", suffixes=("", "_run"))
    rows["x"], rows["y"] = ((rows[end] - rows["from_at"]) / rows["width"] for end in ("a", "b"))
    rows = spread(rows, np.trunc(rows["x"]).clip(lower=0), np.minimum(rows["n"], np.trunc(rows["y"]) + 1))
    rows["part"] = np.minimum(rows["y"], rows["k"] + 1) - np.maximum(rows["x"], rows["k"])
    return rows


def slots_of(sums: pd.DataFrame, given: dict[str, pd.DataFrame], plan: pd.DataFrame) -> pd.DataFrame:
    """8. Sums, progress and the share of training of each slot (blocks.units_per_slot, kinds_per_slot)."""
    arcs = given["arcs"][given["arcs"]["units"] > 0].merge(plan[["i", "gap", "pace"]], on="i")
    usual = np.maximum(arcs["gap"], arcs["pace"] * arcs["units"])
    longer = arcs["until_at"] - arcs["from_at"] > np.where(arcs["named"], 1.2, 3.0) * usual
    begin = arcs["from_at"].mask(longer, arcs["until_at"] - usual)
    trained = pd.DataFrame({"i": arcs["i"], "a": begin, "b": arcs["until_at"], "units": arcs["units"]})
    pieces = overlaps(trained, plan)
    pieces = pieces[pieces["part"] > 0]
    pieces["units"] *= pieces["part"] / (pieces["y"] - pieces["x"])
    units = pieces.groupby(["i", "k"])["units"].sum()
    kinds = overlaps(given["spans"], plan)
    kinds = kinds[kinds["part"] > 1e-9]
    share = kinds["part"].where(kinds["kind"] == "train", 0.0).groupby([kinds["i"], kinds["k"]]).sum()
    share = (share / kinds.groupby(["i", "k"])["part"].sum()).rename("train")
    found = pd.concat([share, units, sums], axis=1).reindex(share.index)
    return found.fillna(0.0).reset_index()
