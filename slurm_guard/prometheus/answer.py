"""One answer's JSON to series of readings. Whatever is in it is somebody else's text: bounded, or left out.

Only names that accounting knows become nodes, so that no label can make one up.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from slurm_guard.prometheus.dialects import (
    BLANK_FP64,
    GPU_LABELS,
    INDEX_LABELS,
    MIG_LABEL,
    MODEL_LABELS,
    N_BLANKS,
    NODE_LABELS,
    TARGET_LABELS,
    Metric,
)
from slurm_guard.readings import Series

MOST_SERIES = 1_000_000  # of one answer; 100,000 GPUs have as many of one metric: judgement
_GPU = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_INDEX = re.compile(r"[0-9]{1,4}")
_JOB = re.compile(r"[0-9]{1,10}")
_MODEL_LENGTH = 64


class BadAnswer(Exception):
    """The bytes are no answer to a range of readings."""


@dataclass(slots=True)
class Answer:
    """What could be used, and how much could not, by a few words each."""

    series: list[Series] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    split_nodes: set[str] = field(default_factory=set)  # with MIG: their boards are not whole GPUs
    warnings: list[str] = field(default_factory=list)  # the server's own words


@dataclass(frozen=True, slots=True)
class Names:
    """Slurm's names of the nodes that are asked for. `label` empty: the usual ones are tried."""

    nodes: frozenset[str]
    label: str = ""

    def node_of(self, labels: Mapping[str, str]) -> str | None:
        """The node that the labels name: as it stands, without its port, or without its domain."""
        for label in (self.label,) if self.label else NODE_LABELS:
            text = labels.get(label, "")[:300]
            host = text.rpartition(":")[0] or text
            for name in (text, host, host.partition(".")[0]):
                if name in self.nodes:
                    return name
        return None


def read_values(
    body: bytes, metric: Metric, names: Names, span: tuple[float, float], job_label: str = ""
) -> Answer:
    """Values of one metric within the span, in its column's unit."""
    answer = Answer()
    for labels, rows in _matrix(body, answer):
        place = _place(labels, names, answer)
        if place is None:
            continue
        at, value = array("d"), array("d")
        for when, text in _readings(rows, span, answer):
            number = _number(text)
            scaled = number * metric.scale
            blank = BLANK_FP64 <= number <= BLANK_FP64 + N_BLANKS
            if blank or not isfinite(scaled) or not 0.0 <= scaled <= metric.most:
                answer.left_out["readings that are none (no number, below zero, DCGM's blanks)"] += 1
                continue
            at.append(when)
            value.append(scaled)
        job = labels.get(job_label, "") if job_label else ""
        answer.series.append(Series(*place[:3], job if _JOB.fullmatch(job) else None, *place[3:], at, value))
    return answer


def read_holders(body: bytes, label: str, names: Names, span: tuple[float, float]) -> Answer:
    """Whose each GPU is. A value is the job's number; with a `label` that is, where the value is above 0."""
    answer = Answer()
    for labels, rows in _matrix(body, answer):
        place = _place(labels, names, answer)
        if place is None:
            continue
        named = labels.get(label, "") if label else ""
        if label and not _JOB.fullmatch(named):
            answer.left_out["holders that are no job's number"] += 1
            continue
        at, value = array("d"), array("d")
        for when, text in _readings(rows, span, answer):
            number = _number(text)
            if not 0.0 <= number < 1e10 or number != int(number):
                answer.left_out["holders that are no job's number"] += 1
            elif not label or number > 0:
                at.append(when)
                value.append(float(named) if label else number)
        answer.series.append(Series(*place[:3], None, *place[3:], at, value))
    return answer


def _matrix(body: bytes, answer: Answer) -> Iterable[tuple[dict[str, str], list[Any]]]:
    """(labels, readings) of each series. Raises BadAnswer."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"no JSON: {type(error).__name__}") from None
    if not isinstance(found, dict) or found.get("status") != "success":
        raise BadAnswer("its status is not success")
    warnings = found.get("warnings")
    for said in warnings[:20] if isinstance(warnings, list) else ():
        answer.warnings.append(str(said)[:200])
    data = found.get("data")
    if (
        not isinstance(data, dict)
        or data.get("resultType") != "matrix"
        or type(data.get("result")) is not list
    ):
        raise BadAnswer("it holds no ranges of readings")
    if len(data["result"]) > MOST_SERIES:
        raise BadAnswer(f"it holds {len(data['result'])} series")
    for one in data["result"]:
        labels, rows = (one.get("metric"), one.get("values")) if isinstance(one, dict) else (None, None)
        if not isinstance(labels, dict) or type(rows) is not list:
            answer.left_out["series without readings"] += 1
            continue
        yield {name: text for name, text in labels.items() if isinstance(text, str)}, rows


def _place(
    labels: Mapping[str, str], names: Names, answer: Answer
) -> tuple[str, str, str, int | None, str] | None:
    """(node, gpu, target, index, model) by the labels; null: counted why not."""
    node = names.node_of(labels)
    if node is None:
        answer.left_out["series of nodes that had no run with GPUs"] += 1
        return None
    gpu = next((labels[name] for name in GPU_LABELS if labels.get(name)), "")
    if labels.get(MIG_LABEL) or gpu.startswith("MIG-"):
        answer.split_nodes.add(node)
        answer.left_out["series of MIG instances"] += 1
        return None
    if not _GPU.fullmatch(gpu):
        answer.left_out["series that name no GPU"] += 1
        return None
    target = "\n".join(labels.get(name, "")[:300] for name in TARGET_LABELS)
    index = next((labels[name] for name in INDEX_LABELS if labels.get(name)), "")
    model = next((labels[name] for name in MODEL_LABELS if labels.get(name)), "")
    plain = "".join(c for c in model if c.isascii() and c.isprintable())[:_MODEL_LENGTH]
    return node, gpu, target, int(index) if _INDEX.fullmatch(index) else None, plain


def _readings(rows: Iterable[Any], span: tuple[float, float], answer: Answer) -> Iterable[tuple[float, str]]:
    for row in rows:
        if (
            type(row) is not list
            or len(row) != 2
            or type(row[0]) not in (int, float)
            or type(row[1]) is not str
        ):
            answer.left_out["readings of another shape"] += 1
            continue
        try:
            when = round(float(row[0]), 3)
        except (OverflowError, ValueError):
            when = float("nan")
        if not span[0] <= when <= span[1]:
            answer.left_out["readings of another time"] += 1
            continue
        yield when, row[1]


def _number(text: str) -> float:
    """NaN where it is none."""
    try:
        return float(text) if len(text) <= 40 else float("nan")
    except ValueError:
        return float("nan")
