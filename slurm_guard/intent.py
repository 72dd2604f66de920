"""What the owner declared at submit time, found inside whatever else the texts hold. Claims, never evidence.

Three ways to write it, in `--extra` or `--comment` (extra wins, key by key):

    guard={"v":1,"kind":"pretrain","target":"tokens:2e12","egress":["s3.example.org:443"]}
    {"team":"nlp","guard":{"kind":"finetune","budget":"400 gpu-h"}}
    guard:kind=pretrain;target=steps:50000;progress=logs/metrics.jsonl
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

VERSION = 1
MAX_TEXT = 8192  # Slurm refuses more than 1024 bytes of either text; the rest is margin
_MAX_ITEMS = 64  # destinations of one declaration: judgement
_KEYS = {"v": "v", "kind": "kind", "task": "kind", "target": "target", "egress": "egress"}
_KEYS |= {"budget": "budget", "progress": "progress"}
_UNITS = ("steps", "samples", "tokens", "epochs")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,3})?)([kMGTP]?)")
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_PLACE = re.compile(r"[A-Za-z0-9_.*:\[\]/-]{1,255}")


@dataclass(frozen=True, slots=True)
class Intent:
    """A declaration. Null: not declared. `problems`: what could not be understood."""

    source: str | None  # extra, comment or both; null: nothing declared
    kind: str | None  # pretrain, finetune, inference, … in the owner's word
    target: tuple[str, float] | None  # (steps|samples|tokens|epochs, amount)
    egress: tuple[str, ...] | None  # host, host:port or network; empty: declared to speak to nobody
    budget_gpu_h: float | None
    progress: str | None  # file that the run says it logs to; a claim, opened only by the job's own uid
    problems: tuple[str, ...]


def parse_intent(comment: str | None, extra: str | None) -> Intent:
    """The claims of both texts; never raises, whatever stands in them."""
    problems: list[str] = []
    found = {name: _find(name, text, problems) for name, text in (("comment", comment), ("extra", extra))}
    claims = {**found["comment"], **found["extra"]}
    sources = [name for name in ("extra", "comment") if found[name]]
    version = claims.pop("v", VERSION)
    if version not in (VERSION, str(VERSION)):
        problems.append(f"v: this release reads version {VERSION}")
    return Intent(
        source=" and ".join(sources) or None,
        kind=_kind(claims.get("kind"), problems),
        target=_target(claims.get("target"), problems),
        egress=_egress(claims.get("egress"), problems),
        budget_gpu_h=_budget(claims.get("budget"), problems),
        progress=_progress(claims.get("progress"), problems),
        problems=tuple(problems),
    )


def _find(name: str, text: str | None, problems: list[str]) -> dict[str, Any]:
    """The raw claims of one text under their canonical keys."""
    if not text or "guard" not in text:
        return {}
    if len(text) > MAX_TEXT:
        problems.append(f"{name}: longer than {MAX_TEXT} characters")
        return {}
    try:
        raw = _find_json(text)
    except (ValueError, RecursionError):
        problems.append(f"{name}: what follows guard is not JSON")
        return {}
    return _canonical(name, raw if raw is not None else _find_pairs(text), problems)


def _find_json(text: str) -> Any:
    """The object after `guard=` or under the key `guard` of an object; null when there is neither."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    match = re.search(r"(?<![A-Za-z0-9_])guard\s*=\s*(?=\{)", text)
    if match is not None:
        return decoder.raw_decode(text, match.end())[0]
    match = re.search(r"\"guard\"\s*:\s*(?=\{)", text)
    return decoder.raw_decode(text, match.end())[0] if match is not None else None


def _refuse(name: str) -> float:
    raise ValueError(name)


def _find_pairs(text: str) -> dict[str, Any]:
    """`guard:k=v;k=v`, up to the first blank."""
    match = re.search(r"(?<![A-Za-z0-9_])guard:(\S+)", text)
    if match is None:
        return {}
    pairs = (item.partition("=") for item in match[1].split(";") if item)
    return {key: value for key, _, value in pairs}


def _canonical(name: str, raw: Any, problems: list[str]) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for key, value in raw.items():
        if key in _KEYS:
            claims[_KEYS[key]] = value
        else:
            problems.append(f"{name}: no claim is called {key[:40]!a}")
    return claims


def _kind(value: Any, problems: list[str]) -> str | None:
    if value is None:
        return None
    if type(value) is str and _WORD.fullmatch(value):
        return value.lower()
    problems.append("kind: must be one word")
    return None


def _target(value: Any, problems: list[str]) -> tuple[str, float] | None:
    """`tokens:2e12`, `steps:50k`, or {"tokens": 2e12}."""
    if value is None:
        return None
    unit, amount = "", None
    if type(value) is dict and len(value) == 1:
        ((unit, raw),) = value.items()
        amount = _amount(raw)
    elif type(value) is str:
        unit, _, raw = value.partition(":")
        amount = _amount(raw)
    unit = unit if unit.endswith("s") else unit + "s"
    if unit in _UNITS and amount is not None and amount > 0:
        return unit, amount
    problems.append("target: must be " + ", ".join(f"{name}:N" for name in _UNITS))
    return None


def _amount(value: Any) -> float | None:
    """A finite number not below zero, also as text with k, M, G, T or P."""
    if type(value) in (int, float):
        value = repr(value)
    match = _AMOUNT.fullmatch(value.strip()) if type(value) is str else None
    if match is None or len(match[0]) > 40:
        return None
    amount = float(match[1]) * _FACTORS[match[2]]
    return amount if math.isfinite(amount) else None


def _egress(value: Any, problems: list[str]) -> tuple[str, ...] | None:
    """A list, or text with commas; `none` and an empty list claim that the run speaks to nobody."""
    if value is None:
        return None
    if value == "none":
        return ()
    places = value.split(",") if type(value) is str else value
    few = type(places) is list and len(places) <= _MAX_ITEMS
    if few and all(type(place) is str and _PLACE.fullmatch(place) for place in places):
        return tuple(places)
    problems.append(f"egress: must be up to {_MAX_ITEMS} of host, host:port or network")
    return None


def _budget(value: Any, problems: list[str]) -> float | None:
    """GPU-hours: a number, or text that may end in `gpu-h` or `h`."""
    if value is None:
        return None
    text = re.sub(r"\s*(?:gpu-?)?h$", "", value) if type(value) is str else value
    amount = _amount(text)
    if amount is None:
        problems.append("budget: must be a number of GPU-hours")
    return amount


def _progress(value: Any, problems: list[str]) -> str | None:
    if value is None:
        return None
    if type(value) is str and 0 < len(value) <= 1024 and value.isprintable():
        return value
    problems.append("progress: must be the path of a file")
    return None
