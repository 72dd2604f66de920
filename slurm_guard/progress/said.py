"""How many parameters a model has, in a log's own words: Megatron's, torchtitan's, Lightning's, Keras' …

Looked for in the first MiB alone. What is trained is not what there is (LoRA's base works at each step):
words on the trained part alone give no figure, and of two that contradict each other neither does.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from slurm_guard.progress.lines import clean
from slurm_guard.progress.safetensors import MAX_PARAMS

MAX_HITS = 10_000  # of the word …
MAX_LINES = 2_000  # … and that give a number with it; of a large model each rank prints one
LINE_B = 2_048  # of a line on either side of the word
LEAST = 1_000  # fewer are those of a function, or of one layer (judgement)
AGREE = 1.1  # figures of one model: without its positions' embeddings, rounded to three digits (judgement)
_NEEDLE = b"aram"
# Most lines with the word name a setting: only those with a number behind it, or right before it, are read.
_NUMBER_BEHIND = re.compile(rb"aram(?:eter)?s?[^\n:=|]{0,64}[:=|]{1,2}[ \t\"']{0,40}(?:\d|dense)")
_NUMBER_BEFORE = re.compile(
    rb"\d[KMBGTkmbgt]?(?:\s[KMBGT])?\s{0,20}(?:[Tt]otal |[Nn]on-trainable |[Tt]rainable )?(?:model )?[Pp]\Z"
)
_NUMBER = (
    r"(\d{1,3}(?:,\d{3}){1,5}|\d{1,15}(?:\.\d{1,9})?(?:e\+?\d{1,2})?)(?!\d|[.,]\d|\s?[kmgt]i?b\b)"
    r"\s?([kmbgt](?![a-z])|(?:thou|mill|bill|trill)\w{2,4})?"
)
_SCALE = {
    "": 1.0,
    "k": 1e3,
    "m": 1e6,
    "b": 1e9,
    "g": 1e9,
    "t": 1e12,
    "thou": 1e3,
    "mill": 1e6,
    "bill": 1e9,
    "tril": 1e12,
}
# `number of params (M): 86.57`, `n_params = 7`, `| num_parameters | 124475904`, `in billions: 0.35`
_NOUN = re.compile(
    r"param(?:eter)?s?(?:[ _]?count)?(?:\s?\(([^()]{1,40})\))?(?:\sin\s([mb]illions))?"
    r"[\"']?\s{0,40}[:=|]{1,2}\s{0,40}" + _NUMBER,
    re.IGNORECASE,
)
# `124 M     Trainable params`, `size: 8,030,261,248 total parameters`, `129 layers, 3,011,043 parameters`
_AFTER = re.compile(
    rf"(layers, |size\s?[=:]\s?)?\b{_NUMBER}\s{{0,20}}"
    r"(total |trainable |non-trainable )?(?:model )?param(?:eter)?s\Z",
    re.IGNORECASE,
)
_WORDS = re.compile(r"param(?:eter)?s\b", re.IGNORECASE)
_DENSE_SPARSE = re.compile(
    r"parameter count: dense ([\d,]{1,20}), sparse ([\d,]{1,20}?)(?:, vision ([\d,]{1,20}?))?(?:,? |,?$)"
)
_PART = re.compile(
    r"number of parameters on \(tensor, pipeline\) model parallel rank "
    r"\((\d{1,5}), (\d{1,5})\): (\d{1,15})(?!\d)"
)
_WAY = b"_model_parallel_size"
_WAYS = re.compile(rb"\b(tensor|pipeline|expert)_model_parallel_size[ .:=]{1,80}(\d{1,5})(?!\d)")
_UNLIKE_WORDS = re.compile(r"[^A-Za-z#_.\- ]")
_WORD = re.compile(r"[a-z#]+")
_COUNTS = frozenset(("total", "all", "overall", "unique", "number", "num", "n", "nb", "#", "model"))
_TRAINED = frozenset(("trainable", "trained", "learnable"))
_FROZEN = frozenset(("frozen", "nontrainable", "untrainable", "non"))
_KINDS = {"total": "total", "trainable": "trained", "non-trainable": "frozen", "": "plain"}
_WHOLE = frozenset(("total", "all", "overall", "unique"))
_OWN = _COUNTS | _TRAINED | _FROZEN | {"of", "the", "shared", "network", "net"}
# Words before these that make it the number of something else.
_OTHERS = frozenset(
    (
        "local", "active", "activated", "embedding", "decay", "decayed", "per", "lora", "adapter", "teacher",
        "student", "draft", "ref", "reference", "reward", "value", "critic", "actor", "policy", "encoder",
        "decoder", "head", "vae", "generator", "discriminator", "ema", "backbone", "layer", "block", "stage",
        "rank", "unused", "max", "min", "target", "expected", "text", "vision", "image", "audio",
        "free", "fit", "hyper",
    )
)  # fmt: skip


class Said(NamedTuple):
    """`params` null: nothing was said, or not of the whole model, or `problems` says why."""

    params: int | None
    problems: list[str]


class _Figure(NamedTuple):
    """`kind`: total, plain, trained, frozen, optimizer or expert."""

    kind: str
    n: int


UNSAID = Said(None, [])


def read_said(data: bytes) -> Said:
    """What the first bytes of a log say; a last line without its end does not count."""
    figures: list[_Figure] = []
    parts: dict[tuple[int, int], set[int]] = {}
    for text in _lines(data):
        found = list(_PART.finditer(text))
        for one in found:
            parts.setdefault((int(one[1]), int(one[2])), set()).add(int(one[3]))
        if not found:
            figures += _figures(text)
    if parts:
        whole = _added(parts, data)
        figures += [_Figure("total", whole)] if whole is not None else []
    return _settled(figures) if figures else UNSAID


def _lines(data: bytes) -> Iterator[str]:
    """The lines with a number of parameters or their like; of long ones what stands around it."""
    hit, until, n = data.find(_NEEDLE), data.rfind(b"\n"), 0
    begin = 0
    for _ in range(MAX_HITS):
        if not 0 <= hit < until or n >= MAX_LINES:
            return
        if _NUMBER_BEHIND.match(data, hit) or (
            data[hit - 2 : hit - 1] == b" " and _NUMBER_BEFORE.search(data, max(0, hit - 48), hit)
        ):
            n += 1
            begin = max(data.rfind(b"\n", begin, hit) + 1, begin, hit - LINE_B)
            end = data.find(b"\n", hit, hit + LINE_B)
            cut = end < 0
            end = min(hit + LINE_B, until) if cut else end
            line = data[begin:end]
            yield clean(line.rstrip(b"0123456789.,") if cut else line)[0]  # a number may go on behind the cut
            begin = end
            hit = data.find(_NEEDLE, end)
        else:
            hit = data.find(_NEEDLE, hit + len(_NEEDLE))


def _figures(text: str) -> Iterator[_Figure]:
    """Every figure of one line."""
    for one in _DENSE_SPARSE.finditer(text):
        yield _Figure("total", sum(int(n.replace(",", "") or 0) for n in one.groups(default="0")))
    for one in _NOUN.finditer(text):
        kind = _kind_of(text[max(0, one.start() - 60) : one.start()], one[0])
        n = _value(one[3], one[4] or one[2] or _unit(one[1]))
        if kind is not None and n is not None and (n or kind == "frozen"):
            yield _Figure(kind, n)
    for hit in _WORDS.finditer(text):
        after = _AFTER.search(text, max(0, hit.start() - 64), hit.end())
        if after is not None and (after[4] or after[1]):
            n, kind = _value(after[2], after[3]), _KINDS[(after[4] or "").strip().lower()]
            if n is not None and (n or kind == "frozen"):
                yield _Figure(kind, n)


def _kind_of(before: str, noun: str) -> str | None:
    """What is counted, by the words before the noun; null: something else, or nobody knows what."""
    words = _WORD.findall(_UNLIKE_WORDS.split(before)[-1].lower())
    mine: set[str] = set()
    while words and words[-1] in _OWN:
        mine.add(words.pop())
    other = words[-1] if words else ""
    if other in ("expert", "experts", "optimizer"):
        return "optimizer" if other == "optimizer" else "expert"
    if other in _OTHERS:
        return None
    if mine & _TRAINED:
        return "frozen" if mine & _FROZEN else "trained"
    if mine & _FROZEN:
        return "frozen"
    if not mine & _COUNTS and "count" not in noun.lower():
        return None
    return "total" if mine & _WHOLE else "plain"


def _unit(words: str | None) -> str | None:
    """`(M)`, `(in millions)`: the unit that stands in brackets; null: other words do."""
    match = re.fullmatch(r"(?:in )?(k|m|b|[mb]illions?)", words or "", re.IGNORECASE)
    return match[1] if match is not None else None


def _value(number: str, unit: str | None) -> int | None:
    """The number as it is meant, 0 included; null: none that a model has."""
    value = float(number.replace(",", "")) * _SCALE[(unit or "")[:4].lower()]
    return round(value) if value == 0 or LEAST <= value <= MAX_PARAMS else None


def _added(parts: dict[tuple[int, int], set[int]], data: bytes) -> int | None:
    """Megatron's ranks print a part each; null: not all of them did, or nobody knows how many there are."""
    ways: dict[bytes, set[int]] = {}
    at = data.find(_WAY)
    for _ in range(MAX_HITS):
        if at < 0:
            break
        one = _WAYS.search(data, max(0, at - 9), at + 128)
        if one is not None:
            ways.setdefault(one[1], set()).add(int(one[2]))
        at = data.find(_WAY, at + len(_WAY))
    tensor, pipeline = ways.get(b"tensor", set()), ways.get(b"pipeline", set())
    if len(tensor) != 1 or len(pipeline) != 1 or ways.get(b"expert", {1}) != {1}:
        return None
    n_ranks, most = max(tensor) * max(pipeline), (max(tensor) - 1, max(pipeline) - 1)
    if len(parts) != n_ranks or any(t > most[0] or p > most[1] for t, p in parts):
        return None
    if any(len(said) > 1 for said in parts.values()):
        return None
    n = sum(max(said) for said in parts.values())
    return n if LEAST <= n <= MAX_PARAMS else None


def _settled(figures: list[_Figure]) -> Said:
    """One figure of all that were said."""
    by_kind: dict[str, list[int]] = {}
    for kind, n in figures:
        mine = by_kind.setdefault(kind, [])
        if kind == "optimizer":  # Keras counts it into the total that stands before
            totals = by_kind.get("total", [])
            if totals and totals[-1] > n:
                totals[-1] -= n
        else:
            mine.append(n)
    trained, frozen = set(by_kind.get("trained", ())), set(by_kind.get("frozen", ()))
    totals = by_kind.get("total", [])
    if not totals and len(trained) == len(frozen) == 1:
        totals = [min(trained) + min(frozen)]
    said = totals or by_kind.get("plain", [])
    if not said or by_kind.get("expert"):
        return UNSAID
    most = max([*said, *by_kind.get("plain", []), *trained])
    least = min(said)
    if most > AGREE * least:
        return Said(None, [f"unlike-sizes: {least} and {most} parameters are said of the model"])
    return Said(max(said), [])
