"""The network benchmark's tables as Markdown, put between the marks of a page."""

import argparse
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.net.plays import Played, code_digest
from bench.net.score import is_right, is_void
from bench.net.shape import BRIDGE, DEVICE, FORWARD, NONE, REVIEW, Situation
from bench.pace import wilson

BEGIN, END = "<!-- plays -->", "<!-- end of plays -->"
HELD_BEGIN, HELD_END = "<!-- held out -->", "<!-- end of held out -->"
_KINDS = (
    (BRIDGE, "Bridges"),
    (FORWARD, "Forwarders"),
    (DEVICE, "Through a device"),
    (REVIEW, "For a person to look at"),
    (NONE, "Honest"),
)


def write_page(
    path: Path, situations: list[Situation], played: list[Played], options: argparse.Namespace
) -> None:
    """Put the tables of these plays into the page, those of what was held out between marks of their own.
    Raises ValueError where the page has no marks."""
    begin, end = (HELD_BEGIN, HELD_END) if options.held_out else (BEGIN, END)
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"{path} has no {begin} and {end}")
    text = "\n\n".join((_made(options), *tables(situations, played)))
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def tables(situations: list[Situation], played: list[Played]) -> list[str]:
    """Shapes first, the delay, then every situation by its shape. Void plays are counted alone."""
    real = [p for p in played if not is_void(p)]
    n_void = len(played) - len(real)
    parts = [_shapes(real), f"{n_void} of {len(played)} plays were void.", _delay(real)]
    for shape, head in _KINDS:
        of_shape = [s for s in situations if s.shape == shape]
        if of_shape:
            parts += [f"### {head}", _situations(of_shape, real, shape)]
    return [part for part in parts if part]


def _made(options: argparse.Namespace) -> str:
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True).stdout
    held = " --held-out" if options.held_out else ""
    return (
        f"`python -m bench network{held} --look-s {options.look_s:g} --seconds {options.seconds:g} "
        f"--n {options.n} --seed {options.seed} --at-once {options.at_once}`, {time.strftime('%Y-%m-%d')}, "
        f"commit {commit.strip()} (code {code_digest()}), {os.cpu_count()} cores, {platform.machine()}, "
        f"Linux {platform.release().partition('-')[0]}. Intervals are Wilson's, 95 %."
    )


def _shapes(real: list[Played]) -> str:
    lines = ["| shape | plays | told | precision | recall | F1 |", "| --- | --: | --: | --- | --- | --: |"]
    for shape in (BRIDGE, FORWARD, DEVICE):
        of = [p for p in real if p.shape == shape]
        said = [p for p in real if shape in p.seen and p.shape in (shape, NONE)]
        hits = sum(shape in p.seen for p in of)
        if of:
            f1 = 2 * hits / (len(of) + len(said))
            rates = f"{_rate(hits, len(said))} | {_rate(hits, len(of))}"
            lines.append(f"| {shape} | {len(of)} | {hits} | {rates} | {f1:.3f} |")
    honest = [p for p in real if p.shape == NONE]
    wrong = sum(not is_right(p) for p in honest)
    if honest:
        lines.append(f"| honest, called either | {len(honest)} | {wrong} | | {_rate(wrong, len(honest))} | |")
    return "\n".join(lines)


def _rate(hits: int, n: int) -> str:
    low, high = wilson(hits, n) if n else (0.0, 1.0)
    return f"{hits / max(1, n):.3f} ({100 * low:.1f} – {100 * high:.1f} %)"


def _delay(real: list[Played]) -> str:
    told = [p for p in real if p.shape == BRIDGE and BRIDGE in p.seen and p.looks_late is not None]
    if not told:
        return ""
    late = [p.looks_late or 0 for p in told]
    seconds = [p.event_s for p in told if p.event_s is not None]
    after = (
        f"; in seconds {median(seconds):.0f} in the median, {max(seconds):.0f} at worst" if seconds else ""
    )
    n = sum(p.shape == BRIDGE for p in real)
    counts = ", ".join(f"{sum(x <= k for x in late)} within {k}" for k in (1, 2, 3, 5))
    return (
        "From the look in which a bridge's first exchange began to the one by which the event was out, of "
        f"{n}: {counts} looks, the worst {max(late)}{after}."
    )


def _situations(of_shape: list[Situation], real: list[Played], shape: str) -> str:
    heads = ["situation", "what it is", "told rightly"]
    cells: list[Callable[[list[Played]], str]] = []
    if shape == BRIDGE:
        heads += ["told at all", "looks to the event, median / worst", "seconds"]
        cells = [
            _told,
            lambda of: _spread([p.looks_late for p in of]),
            lambda of: _spread([p.event_s for p in of]),
        ]
    elif shape == NONE:
        heads += ["told as a relay"]
        cells = [_told]
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for situation in of_shape:
        of = [p for p in real if p.name == situation.name]
        right = f"{sum(is_right(p) for p in of)} of {len(of)}"
        row = [f"`{situation.name}`", situation.words, right, *(cell(of) for cell in cells)]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _told(of: list[Played]) -> str:
    return str(sum(bool(p.seen) for p in of))


def _spread(values: list[int | None] | list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.0f} / {max(known):.0f}" if known else "–"
