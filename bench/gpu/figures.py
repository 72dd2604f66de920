"""Medians with their spread."""

from statistics import median, quantiles


def spread(values: list[float], unit: str) -> dict[str, float | None]:
    """Median, 99th percentile and the largest; null without values."""
    if not values:
        return {f"{name}_{unit}": None for name in ("p50", "p99", "worst")}
    p99 = quantiles(values, n=100)[98] if len(values) > 1 else values[0]
    found = {"p50": median(values), "p99": min(p99, max(values)), "worst": max(values)}
    return {f"{name}_{unit}": round(value, 3) for name, value in found.items()}
