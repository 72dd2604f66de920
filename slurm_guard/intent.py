"""What the owner declared at submit time, found inside whatever else the texts hold. Claims, never evidence.

Three ways to write it, in `--extra` or `--comment` (extra wins, key by key):

    guard={"v":1,"kind":"pretrain","target":"tokens:2e12","egress":["s3.example.org:443"]}
    {"team":"nlp","guard":{"kind":"finetune","budget":"400 gpu-h"}}
    guard:kind=pretrain;target=steps:50000;progress=logs/metrics.jsonl

The same language is read inside slurmctld by packaging/lua/slurm_guard_intent.lua, byte for byte: blanks are
ASCII's, and what a text may hold is said by ranges, not by a version of Unicode's tables.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

VERSION = 1
MAX_TEXT = 8192  # Slurm refuses more than 1024 bytes of either text; the rest is margin
_MAX_DEPTH = 64  # of JSON: judgement
_MAX_ITEMS = 64  # destinations of one declaration: judgement
KEYS = {"v": "v", "kind": "kind", "task": "kind", "target": "target", "egress": "egress"}
KEYS |= {"budget": "budget", "progress": "progress"}
# Kinds that promise something that the audit can hold. Words that owners use; others are as good a claim.
TRAINING = frozenset(
    {"train", "training", "pretrain", "pretraining", "finetune", "finetuning", "fine-tune", "fine-tuning"}
    | {"sft", "rl", "rlhf", "dpo", "grpo", "distill", "distillation"}
)
SERVING = frozenset({"inference", "serve", "serving"})
UNITS = ("steps", "samples", "tokens", "epochs")
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,3})?)([kMGTP]?)")
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}
_MOST_DIGITS = 40  # of an amount that is text: judgement
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_PLACE = re.compile(r"[A-Za-z0-9_.*:\[\]/-]{1,255}")
_SET = re.compile(r"(?<![A-Za-z0-9_])guard\s*=\s*(?=\{)", re.ASCII)
_MEMBER = re.compile(r"\"guard\"\s*:\s*(?=\{)", re.ASCII)
_PAIRS = re.compile(r"(?<![A-Za-z0-9_])guard:(\S+)", re.ASCII)
_BLANKS = " \t\n\r\f\v"
# Controls, other blanks than the common one, marks of direction, private use, and what stands for bytes that
# are no text.
_ODD = re.compile(
    "[\x00-\x1f\x7f-\xa0\xad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\uf8ff\ufeff"
    "\ufff0-\uffff\U000e0000-\U0010ffff]"
)


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
    """The claims of both texts, extra's before comment's; never raises, whatever stands in them."""
    problems: list[str] = []
    texts = (("comment", comment), ("extra", extra))
    found = {name: find_claims(name, text, problems) for name, text in texts}
    sources = [name for name in ("extra", "comment") if found[name]]
    claims = {**found["comment"], **found["extra"]}
    return check_claims(claims, " and ".join(sources) or None, problems)


def check_claims(claims: dict[str, Any], source: str | None, problems: list[str]) -> Intent:
    """The claims in their types; what is wrong with one joins `problems`, and the claim is not made."""
    if claims.get("v", VERSION) not in (VERSION, str(VERSION)):
        problems.append(f"v: this release reads version {VERSION}")
    return Intent(
        source=source,
        kind=_kind(claims.get("kind"), problems),
        target=_target(claims.get("target"), problems),
        egress=_egress(claims.get("egress"), problems),
        budget_gpu_h=_budget(claims.get("budget"), problems),
        progress=_progress(claims.get("progress"), problems),
        problems=tuple(problems),
    )


def find_claims(name: str, text: str | None, problems: list[str]) -> dict[str, Any]:
    """The raw claims of one text under their canonical keys; `name` is what problems call the text."""
    if not text or "guard" not in text:
        return {}
    if len(text) > MAX_TEXT:
        problems.append(f"{name}: longer than {MAX_TEXT} characters")
        return {}
    try:
        at = json_at(text)
        raw = None if at is None else read_json(text, at)[0]
    except (ValueError, RecursionError):
        problems.append(f"{name}: what follows guard is not JSON")
        return {}
    return _canonical(name, raw if raw is not None else _find_pairs(text), problems)


def json_at(text: str) -> int | None:
    """Where the object after `guard=` or under the key `guard` begins."""
    match = _SET.search(text) or _MEMBER.search(text)
    return None if match is None else match.end()


def read_json(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins there and where it ends; ValueError or RecursionError: there is none."""
    value, end = json.JSONDecoder(parse_constant=_refuse).raw_decode(text, at)
    if _is_deep(value, _MAX_DEPTH):
        raise ValueError("too deep")
    return value, end


def _is_deep(value: Any, left: int) -> bool:
    if left == 0:
        return True
    inner = value.values() if type(value) is dict else value if type(value) is list else ()
    return any(_is_deep(one, left - 1) for one in inner)


def _refuse(name: str) -> float:
    raise ValueError(name)


def pairs_in(text: str) -> re.Match[str] | None:
    """`guard:k=v;k=v`, up to the first blank; the pairs are its first group."""
    return _PAIRS.search(text)


def _find_pairs(text: str) -> dict[str, Any]:
    match = pairs_in(text)
    if match is None:
        return {}
    pairs = (item.partition("=") for item in match[1].split(";") if item)
    return {key: value for key, _, value in pairs}


def _canonical(name: str, raw: Any, problems: list[str]) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for key, value in raw.items():
        if key in KEYS:
            claims[KEYS[key]] = value
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
    if unit in UNITS and amount is not None and amount > 0:
        return unit, amount
    problems.append("target: must be " + ", ".join(f"{name}:N" for name in UNITS))
    return None


def _amount(value: Any) -> float | None:
    """A finite number not below zero, also as text with k, M, G, T or P."""
    try:
        if type(value) in (int, float):
            amount = float(value)
        elif type(value) is str and (match := _AMOUNT.fullmatch(value.strip(_BLANKS))) is not None:
            amount = float(match[1]) * _FACTORS[match[2]] if len(match[0]) <= _MOST_DIGITS else math.inf
        else:
            return None
    except OverflowError:  # a whole number beyond any float
        return None
    return amount if 0 <= amount < math.inf else None


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
    amount = _amount(_without_unit(value) if type(value) is str else value)
    if amount is None:
        problems.append("budget: must be a number of GPU-hours")
    return amount


def _without_unit(text: str) -> str:
    text = text.strip(_BLANKS)
    for unit in ("gpu-h", "gpuh", "h"):
        if text.endswith(unit):
            return text.removesuffix(unit)
    return text


def _progress(value: Any, problems: list[str]) -> str | None:
    if value is None:
        return None
    if type(value) is str and 0 < len(value) <= 1024 and not _ODD.search(value):
        return value
    problems.append("progress: must be the path of a file")
    return None
