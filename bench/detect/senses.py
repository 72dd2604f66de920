"""What simple watchers see of a run: nine NVML readings, the log's silence, its pace, names and ports."""

from itertools import pairwise
from random import Random
from statistics import fmean, median, pstdev
from typing import Any

from bench.detect.wire import POOL_PORTS
from bench.world.physics import World

READINGS = (
    "busy", "mem_busy", "power", "power_spread", "sm_clock", "mem_used", "temp", "pcie_tx", "pcie_rx",
)  # fmt: skip
_KNOWN = ("xmrig", "ethminer", "nbminer", "minerd", "t-rex", "lolminer")
_BUSY = 0.5  # of a window
_LEAST_PACE_POINTS = 20
_BLOCKS = 12

Rows = list[dict[str, Any]]


def features(world: World, windows: Rows, rng: Random) -> list[float | None]:
    """Mean and deviation over the windows of the nine readings; null: the board does not say.

    Memory, clocks, temperature and PCIe follow from the world's loads, with factors drawn for each process:
    the audit reads none of them.
    """
    factors = {
        name: (rng.uniform(2000, 70_000), rng.uniform(0.2, 0.8), 10 ** rng.uniform(-3, 0.3))
        for name in world.processes
    }
    base_mhz, warm_c = rng.uniform(1300, 2000), rng.uniform(25, 40)
    temps: dict[int, float] = {}
    looks: list[list[float | None]] = []
    for window, row in zip(world.windows, windows, strict=True):
        tally = window.tally
        seen_s = max(1, tally.n)
        level = None if row["power_mw"] is None else row["power_mw"] / row["power_limit_mw"]
        before = temps.get(window.gpu, warm_c)
        temps[window.gpu] = before + 0.5 * (warm_c + 50 * (level or 0.5) - before)
        used = {name: s / seen_s for name, s in tally.sm_s.items()}
        clock = world.spec.clock(window.from_s)
        quantiles = row.get("power_q_mw")
        spread = None if not quantiles else (quantiles[-1] - quantiles[0]) / row["power_limit_mw"]
        pcie = sum(share * factors[name][2] for name, share in used.items())
        has = "busy" in world.spec.measured
        looks.append(
            [
                None if row["busy_ms"] is None else row["busy_ms"] / max(1, row["covered_ms"]),
                sum(share * factors[name][1] for name, share in used.items()) if has else None,
                level,
                spread,
                base_mhz * clock * (1 - 0.1 * (level or 0.5)) * rng.uniform(0.99, 1.01),
                sum(factors[name][0] for name in used) * rng.uniform(0.99, 1.01),
                temps[window.gpu] if level is not None else None,
                pcie * rng.uniform(0.9, 1.1) if has else None,
                pcie * rng.uniform(0.3, 0.5) if has else None,
            ]
        )
    return [value for column in zip(*looks, strict=True) for value in _moments(column)]


def _moments(column: tuple[float | None, ...]) -> tuple[float | None, float | None]:
    values = [value for value in column if value is not None]
    return (None, None) if not values else (round(fmean(values), 5), round(pstdev(values), 5))


def busy_while_silent_s(windows: Rows, points: Rows) -> float:
    """The longest time for which a board was busy while the log told of nothing new."""
    at = sorted({point["obs_lo_at"] for point in points if point["phase"] == "train"})
    longest: dict[str, float] = {}
    lasting: dict[str, float] = {}
    for row in sorted(windows, key=lambda row: (row["gpu"], row["start_at"])):
        busy = (row["busy_ms"] or 0) / max(1, row["covered_ms"])
        told = any(row["start_at"] - 60 <= look < row["end_at"] for look in at)
        gpu = row["gpu"]
        if busy < _BUSY or told:
            lasting[gpu] = 0.0
            continue
        lasting[gpu] = lasting.get(gpu, 0.0) + row["end_at"] - row["start_at"]
        longest[gpu] = max(longest.get(gpu, 0.0), lasting[gpu])
    return max(longest.values(), default=0.0)


def longer_steps(points: Rows) -> float:
    """How much longer steps are in the slowest twelfth of the records than in the first two."""
    told = [p for p in points if p["at"] is not None and _counter(p) is not None and p["phase"] == "train"]
    paces = [
        (b["at"] - a["at"]) / (_counter(b) - _counter(a))
        for a, b in pairwise(told)
        if _counter(b) > _counter(a) and b["segment"] == a["segment"]
    ]
    if len(paces) < _LEAST_PACE_POINTS:
        return 0.0
    size = max(1, len(paces) // _BLOCKS)
    blocks = [median(paces[k : k + size]) for k in range(0, len(paces) - size + 1, size)]
    first = median(blocks[:2])
    return max(blocks) / first - 1 if first > 0 else 0.0


def _counter(point: dict[str, Any]) -> Any:
    return next((point[name] for name in ("step", "samples", "tokens") if point[name] is not None), None)


def is_named(processes: Rows, flows: Rows) -> bool:
    """A program that every list knows, or a pool's port."""
    words = " ".join(f"{row['exe']} {row['cmdline']}" for row in processes).lower()
    ports = {int(row["peer"].rpartition(":")[2]) for row in flows}
    return any(name in words for name in _KNOWN) or bool(ports & POOL_PORTS)
