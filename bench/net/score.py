"""Rows of the network benchmark: what was right of each situation, and precision and recall of each shape."""

from typing import Any

from bench.net.plays import Played
from bench.net.shape import BRIDGE, DEVICE, FORWARD, NONE, REVIEW, Situation
from bench.pace import wilson


def rows_of(situations: list[Situation], played: list[Played]) -> list[dict[str, Any]]:
    """A row for each situation, then the shapes. Plays in which nothing came about are void."""
    rows = [_row(s, [p for p in played if p.name == s.name]) for s in situations]
    real = [p for p in played if not is_void(p)]
    shapes = [shape for shape in (BRIDGE, FORWARD, DEVICE) if any(p.shape == shape for p in real)]
    honest = [p for p in real if p.shape == NONE]
    return [row for row in rows if row["n"]] + [_of_shape(s, real) for s in shapes] + _false(honest)


def is_void(played: Played) -> bool:
    """Nothing was exchanged: the programs failed, and nothing can be concluded."""
    return played.n_uses == 0 and played.name != "tunnel_unused"


def is_right(played: Played) -> bool:
    """Told as what it is, and honest traffic as neither."""
    if played.shape == REVIEW:
        return bool(played.seen)
    return (
        played.shape in played.seen
        if played.shape != NONE
        else not {*played.seen} & {BRIDGE, FORWARD, DEVICE}
    )


def _row(situation: Situation, every: list[Played]) -> dict[str, Any]:
    played = [p for p in every if not is_void(p)]
    right = sum(is_right(p) for p in played)
    late = sorted(p.looks_late for p in played if p.looks_late is not None and p.shape == BRIDGE)
    low, high = wilson(right, len(played)) if played else (0.0, 1.0)
    return {
        "what": situation.name,
        "shape": situation.shape,
        "n": len(every),
        "void": len(every) - len(played),
        "right": right,
        "right_lo_pct": 100 * low,
        "right_hi_pct": 100 * high,
        "bridge": sum(BRIDGE in p.seen for p in played),
        "forward": sum(FORWARD in p.seen for p in played),
        "alert": sum(p.alert for p in played),
        "late_median": late[len(late) // 2] if late else None,
        "late_worst": late[-1] if late else None,
        "within_2": sum(n <= 2 for n in late) if situation.shape == BRIDGE else None,
        "busy_worst": max((p.busy_late for p in played if p.busy_late is not None), default=None)
        if situation.shape == BRIDGE
        else None,
    }


def _of_shape(shape: str, played: list[Played]) -> dict[str, Any]:
    """Recall in `right`; precision is `right` of all that were called it."""
    of = [p for p in played if p.shape == shape]
    said = [p for p in played if shape in p.seen and p.shape in (shape, NONE)]
    hits = sum(shape in p.seen for p in of)
    f1 = 2 * hits / (len(of) + len(said)) if of or said else 0.0
    precision, recall = hits / max(1, len(said)), hits / max(1, len(of))
    low, high = wilson(hits, len(of))
    late = sorted(p.looks_late for p in of if p.looks_late is not None)
    return {
        "what": f"all {shape}: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}",
        "shape": shape,
        "n": len(of),
        "void": None,
        "right": hits,
        "right_lo_pct": 100 * low,
        "right_hi_pct": 100 * high,
        "bridge": sum(BRIDGE in p.seen for p in of),
        "forward": sum(FORWARD in p.seen for p in of),
        "alert": sum(p.alert for p in of),
        "late_median": late[len(late) // 2] if late and shape == BRIDGE else None,
        "late_worst": late[-1] if late and shape == BRIDGE else None,
        "within_2": sum(n <= 2 for n in late) if shape == BRIDGE else None,
        "busy_worst": max((p.busy_late for p in of if p.busy_late is not None), default=None)
        if shape == BRIDGE
        else None,
    }


def _false(honest: list[Played]) -> list[dict[str, Any]]:
    """Honest plays called a bridge or forwarder: `right` are those that were not."""
    if not honest:
        return []
    right = sum(is_right(p) for p in honest)
    low, high = wilson(right, len(honest))
    return [
        {
            "what": "all honest",
            "shape": NONE,
            "n": len(honest),
            "void": None,
            "right": right,
            "right_lo_pct": 100 * low,
            "right_hi_pct": 100 * high,
            "bridge": sum(BRIDGE in p.seen for p in honest),
            "forward": sum(FORWARD in p.seen for p in honest),
            "alert": sum(p.alert for p in honest),
            "late_median": None,
            "late_worst": None,
            "within_2": None,
            "busy_worst": None,
        }
    ]
