"""Every number that the page shows is found in the document, as the page rounds it.

A number counts as found when the document has it (a) inside one of its texts, (b) as a number, in the page's
own format for what it is, (c) as the share of a part of one of its ledgers in that ledger, or as one of the
shares and counts named below, or (d) as the length of a list. Labels of axes and coordinates are none of
its numbers.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from slurm_guard import document, sums
from slurm_guard.model import Audit
from slurm_guard.report import words
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html
from slurm_guard.report.words import Times
from tests.unit.report import builders

NUMBER = re.compile(r"(?<![\w.])[<>≥]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")
# Texts of ours with a number in them that says nothing of the night.
OURS = ("with 95 % intervals",)
EACH = pytest.mark.parametrize("name", ["night", "empty", "claimed"])


class _Shown(HTMLParser):
    """The words that a reader sees, and those that are read aloud; without style, axes and titles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._hidden: list[bool] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.texts.append(given.get("aria-label") or "")
        if tag in ("meta", "rect", "path", "circle", "br", "img", "link"):
            return
        kind = (given.get("class") or "").split()
        self._hidden.append(tag in ("style", "title") or "tick" in kind)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "rect", "path", "circle", "br", "img", "link"):
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._hidden):
            self.texts.append(data)


def _numbers(text: str) -> set[str]:
    return {found.replace("≥", "").strip("<>,") for found in NUMBER.findall(text)}


def _leaves(value: Any, key: str = "", of: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """(key, value, the record that holds it); of a list also its length, as key `n`."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield "", name, value
            yield from _leaves(part, key if key == "ledger_gpu_ms" else name, value)
    elif isinstance(value, list):
        yield "n", len(value), of
        if key not in ("power_w", "progress_per_s", "accounts"):  # drawn, and never written
            for part in value:
                yield from _leaves(part, key, of)
    elif key != "accounts":
        yield key, value, of


def _ledgers(value: Any) -> Iterator[dict[str, int]]:
    """Parts of a whole: the accounts of a run or a group, and the row of a night."""
    if isinstance(value, dict):
        if isinstance(value.get("ledger_gpu_ms"), dict):
            yield value["ledger_gpu_ms"]
        if "unexplained_lo_gpu_ms" in value:
            yield {k: v for k, v in value.items() if k.endswith("_gpu_ms") and k != "allocated_gpu_ms"}
        for part in value.values():
            yield from _ledgers(part)
    elif isinstance(value, list):
        for part in value:
            yield from _ledgers(part)


def _of_number(key: str, value: float, of: Any, page: tuple[words.Unit, Times]) -> Iterator[str]:
    """The formats in which the page may show it, by what it is."""
    unit, times = page
    if key == "value" and "clears" in of:
        yield words.amount(value, of["unit"], unit)
    elif key == "value":
        yield words.measure(value, of["unit"])
    elif key.endswith("gpu_ms"):
        yield unit.show(int(value))
        yield f"{value / 3.6e6:.1f}"
    elif key == "at" or key.endswith("_at"):
        yield from (times.full(value), times.clock(value), times.span(value, value))
    elif key in ("lo", "hi"):
        yield words.percent(value, 1)
    elif key == "expected":
        yield f"{value:.2g}"
    elif key.endswith("_pct"):
        yield words.percent(value, 100)
    elif key.endswith("units"):
        yield from (words.measure(value, name) for name in ("", "steps"))
    else:
        yield f"{value:,} {value} {value:g}"


def _of_ledgers(audit: dict[str, Any], unit: words.Unit) -> Iterator[str]:
    for ledger in _ledgers(audit):
        whole = sum(v for k, v in ledger.items() if k != "unexplained_lo_gpu_ms")
        explained = sum(ledger.get(a.value, 0) for a in sums.EXPLAINING)
        unexplained = sum(ledger.get(name, 0) for name in ("residual", "contradiction", "foreign"))
        own = sum(ledger.get(name, 0) for name in ("residual", "contradiction"))
        work = whole - ledger.get("idle", 0) - ledger.get("unobserved", 0)
        seen = whole - ledger.get("unobserved", 0)
        for part in (*ledger.values(), explained, unexplained, own, work, seen, whole):
            yield unit.show(part)
            yield words.percent(part, whole)


def _of_runs(audit: Audit, unit: words.Unit) -> Iterator[str]:
    """Shares of one run's allocation, counts of kinds, and sums that a sentence names."""
    redone = []
    for j in audit.judgements:
        whole = j.run.allocated_gpu_ms
        for part in (*vars_of(j.unexplained), j.smallest_visible_gpu_ms or 0):
            yield words.percent(part, whole)
        if j.cost.rel_sigma is not None:
            yield words.number(100 * j.cost.rel_sigma)
        if j.progress.redone is not None:
            redone.append(j.progress.redone)
            yield words.measure(redone[-1].net_units + redone[-1].redone_units, "")
        if j.timeline is not None:  # a stretch is a sum of slots that stand in the document
            from slurm_guard.report import series

            for begin, end, part in series.stretches(series.resample(j.timeline, 300)):
                yield f"{Times(Options().zone).span(begin, end)} {unit.show(part)}"
    progress = sum(j.ledger_gpu_ms.get("progress", 0) for j in audit.judgements)
    again = [r for r in redone if r.redone_units > 0]
    yield f"{len(again)} {sum(r.n_resumes for r in again)} {unit.show(sum(r.gpu_ms for r in again))}"
    yield words.percent(sum(r.gpu_ms for r in again), progress)
    for key in ("reason",):
        counted = [getattr(s, key) for s in audit.skips]
        yield " ".join(str(counted.count(value)) for value in counted)
    yield f"{sum(1 for n in audit.nodes if n.note)} {sum(1 for n in audit.nodes if n.last_heard_at)}"
    yield str(len({n for j in audit.judgements for n in j.run.nodes} | {n.node for n in audit.nodes}))
    if audit.site is not None:
        yield " ".join(words.percent(p.n_right, p.n_right + p.n_wrong) for p in audit.site.precision)


def vars_of(bounds: Any) -> Iterable[int]:
    """The three of an interval."""
    return bounds.lo_gpu_ms, bounds.mid_gpu_ms, bounds.hi_gpu_ms


def _known(audit: Audit) -> set[str]:
    unit = words.unit_for(j.run.allocated_gpu_ms for j in audit.judgements)
    times = Times(Options().zone)
    body = json.loads(document.to_json(audit))
    found: set[str] = set()
    for key, leaf, of in _leaves(body):
        if isinstance(leaf, str):
            found |= _numbers(leaf)
        elif isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            for text in _of_number(key, leaf, of, (unit, times)):
                found |= _numbers(text)
    for text in (*_of_ledgers(body, unit), *_of_runs(audit, unit)):
        found |= _numbers(text)
    n_dates = len(audit.trend) and round((audit.trend[-1].from_at - audit.trend[0].from_at) / 86_400) + 1
    return found | {str(n_dates - len(audit.trend))}


def _night(name: str) -> Audit:
    night = builders.night()
    if name == "claimed":
        judgements = tuple(
            replace(j, progress=replace(j.progress, trust="claimed-only")) for j in night.judgements
        )
        return replace(night, judgements=judgements)
    return night if name == "night" else builders.empty_night()


def _unknown(audit: Audit, html: str) -> dict[str, str]:
    known = _known(audit)
    shown = " ".join(_Shown(html).texts)
    for said in (*OURS, *words.GLOSSARY.values(), *words.TRUST.values(), words.METHOD):
        shown = shown.replace(said, "")
    places = {
        found: shown[max(0, shown.find(found) - 60) : shown.find(found) + 40] for found in _numbers(shown)
    }
    return {number: where for number, where in places.items() if number not in known}


@EACH
def test_every_number_of_the_page_is_found_in_the_document(name: str) -> None:
    audit = _night(name)

    html = render_html(build_page(audit, Options()))

    assert _unknown(audit, html) == {}


def test_figures_that_are_a_little_wrong_are_noticed() -> None:
    audit = builders.night()
    html = render_html(build_page(audit, Options()))
    figures = {n for n in _numbers(" ".join(_Shown(html).texts)) if "." in n}

    wrong = {f"{float(n.replace(',', '')) * 1.037:.{len(n.split('.')[1])}f}" for n in figures} - figures

    assert len(wrong - _known(audit)) > 0.7 * len(wrong)  # the rest are other figures of the same night


def test_a_number_that_the_document_has_not_is_noticed() -> None:
    audit = builders.night()
    html = render_html(build_page(audit, Options()))

    for made_up in ("<p>31,337.5 GPU-h</p>", '<svg aria-label="8.8888 GPU-h"></svg>'):
        assert _unknown(audit, html.replace("</main>", f"{made_up}</main>"))
