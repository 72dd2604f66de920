"""Amounts in words, as findings say them."""


def hours(us: float) -> float:
    """GPU-microseconds as GPU-hours."""
    return us / 3.6e9


def spoken(us: float) -> str:
    """GPU-microseconds in words: GPU-hours as everywhere, unless they are too few to compare."""
    if us >= 7.2e7:
        return f"{us / 3.6e9:,.{2 if us < 3.6e10 else 1 if us < 3.6e11 else 0}f} GPU-h"
    return f"{us / 6e7:.1f} GPU-min" if us >= 6e6 else f"{us / 1e6:.1f} GPU-s"


def lasting(duration_s: float) -> str:
    """A duration in words: 45 seconds, 8 minutes, 2.5 hours, 4.6 days."""
    if duration_s >= 172_800:
        return f"{duration_s / 86_400:.1f} days"
    if duration_s >= 5400:
        return f"{duration_s / 3600:.1f} hours"
    return f"{duration_s / 60:.0f} minutes" if duration_s >= 100 else f"{duration_s:.0f} seconds"


def counted(n: int, one: str, many: str) -> str:
    """A number with its noun: 1 process, 3 processes."""
    return f"{n} {one if n == 1 else many}"


def sized(n_b: int) -> str:
    """Bytes in words: 512 B, 20 KiB, 1.5 MiB."""
    size = float(n_b)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:,.0f} {unit}"
