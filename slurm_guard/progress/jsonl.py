"""JSON object lines, bare or after a marker: metrics.jsonl, fairseq's `| {…}`, `:::MLLOG {…}`, `DLLL {…}`."""

import json
import re
from array import array
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from slurm_guard.progress import keys
from slurm_guard.progress.csvhead import is_metric
from slurm_guard.progress.datarows import (
    SIZES,
    are_lengths,
    are_short,
    are_tasks,
    count_falls,
    or_epochs,
    outer,
)
from slurm_guard.progress.parts import is_evaluation, predicts, says_part, usual_part, with_predictions
from slurm_guard.progress.protocol import MAX_CLAIMS, MAX_SEGMENT, MICRO, NOTHING, Claim
from slurm_guard.progress.values import (
    find_stamp,
    parse_stamp,
    to_count,
    to_float,
    to_instant,
    to_loss,
    to_seconds,
)

# For an object that the segment cap cut short: top-level looking pairs only.
_CUT = re.compile(r'"([A-Za-z_@][\w@/ .]{0,40})": ?"?(-?[\d.]{1,24}(?:[eE][-+]?\d{1,3})?)"?(?=[,}])')
_PHASES = ("phase", "mode", "split")
_STEP_OF_TOTAL = "global_step/max_steps"  # ms-swift


# What an agent is told in each step of a task as well: they tell a training only where it is no task's.
_REWARDS = re.compile(r"(?:^|[/_. -])(?:reward|rew|return|error|err)s?(?:$|[/_. -])", re.IGNORECASE)


def _null(word: str) -> None:
    """NaN, Infinity: json.dumps writes them for losses that are. No measurement, and the record counts."""
    return


_DECODER = json.JSONDecoder(parse_constant=_null)


def parse_object(text: str) -> dict[str, Any] | None:
    """The object, or null. Raises nothing: depth and digit bombs are answers too."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class JsonLines:
    """One object a line, with a counter under a usual name at its top, or under `data`/`metadata`."""

    name = "jsonl"
    needles: tuple[bytes, ...] = (b'{"', b'{ "')

    def __init__(self) -> None:
        self._others: dict[int, tuple[str, int]] = {}  # offset -> the second clock there
        self._predicted: set[int] = set()  # offsets of rows that say that they predict
        self._parts: dict[int, array[int]] = {}  # records by the length of DLLogger's steps: epoch, iteration
        self._cumulative: set[str] = set()  # of samples and tokens: those with a name that says so
        self._metered: set[str] = set()  # clocks with a metric of trainings beside them …
        self._rewarded: set[str] = set()  # … and those with one that agents have, too

    def read(self, text: str, offset: int) -> Claim | None:
        begin = text.find("{")
        if begin < 0 or begin > 200:
            return None
        if begin == 1 and text[0] == "[":
            return NOTHING  # an array of records: which of them counts is not said
        end = text.rfind("}")
        body = parse_object(text[begin : end + 1]) if end > begin else None
        if body is None and begin == 0 and len(text) >= MAX_SEGMENT - 4:
            body = {match[1]: match[2] for match in _CUT.finditer(text)}
        if not body:
            return None
        marker = text[:begin]
        if "DLLL" in marker:
            return self._dlllog(body, offset)
        roles = _roles_of(tuple(body))
        claim = _claim_of(body, roles, offset)
        if claim is None:
            return _mark_of(body, roles, offset)
        may_predict = roles.parts and claim.phase == "train" and len(self._predicted) < MAX_CLAIMS
        if may_predict and predicts((usual, body[name]) for usual, name in roles.parts):
            self._predicted.add(offset)
        if len(roles.steps) > 1 and len(self._others) < MAX_CLAIMS:
            key, step = _first(body, tuple(pair for pair in roles.steps if pair[0] != claim.key))
            if step is not None:
                self._others[offset] = (key, step)
        if claim.key in SIZES and not keys.CUMULATIVE.isdisjoint(
            name for name, _ in getattr(roles, claim.key)
        ):
            self._cumulative.add(claim.key)
        if roles.metered:
            self._metered.add(claim.key)
        elif roles.rewarded:
            self._rewarded.add(claim.key)
        if claim.at is None:
            at, naive = find_stamp(marker)
            claim = claim._replace(at=at, naive=naive)
        return claim

    def are_short(self, key: str, claims: list[Claim]) -> bool:
        """Whether the records of the clock `key` are tasks' and not trainings', one after the other."""
        if key in self._metered:
            return False
        return are_short(claims) and (key not in self._rewarded or are_tasks(claims))

    def settle(self, claims: list[Claim]) -> list[Claim]:
        if are_lengths(claims) and claims[0].key not in self._cumulative and count_falls(claims) == 0:
            return []
        if self._predicted:
            claims = with_predictions(claims, self._predicted)
        usual = max(self._parts, key=lambda n: (len(self._parts[n]), n), default=0)
        if usual > 1:
            sums = {at for n, some in self._parts.items() if n < usual for at in some}
            claims = _from_one([claim for claim in claims if claim.offset not in sums])
        return or_epochs(outer(claims, self._others))

    def _dlllog(self, body: dict[str, Any], offset: int) -> Claim | None:
        """NVIDIA DLLogger: `step` is [epoch, iteration, …], shorter for what it sums up at an epoch's end."""
        step = body.get("step")
        n_parts = len(step) if isinstance(step, list) else 1
        self._parts.setdefault(min(n_parts, MOST_PARTS), array("q")).append(offset)
        return _dlllog(body, offset)


MOST_PARTS = 8  # told apart. Judgement: two or three are usual


class _Roles(NamedTuple):
    """Which of an object's names say what, each the best first: (usual name, the object's own)."""

    steps: tuple[tuple[str, str], ...]
    samples: tuple[tuple[str, str], ...]
    tokens: tuple[tuple[str, str], ...]
    totals: tuple[tuple[str, str], ...]
    epochs: tuple[tuple[str, str], ...]
    losses: tuple[tuple[str, str], ...]
    times: tuple[tuple[str, str], ...]
    tooks: tuple[tuple[str, str], ...]
    phases: tuple[tuple[str, str], ...]
    parts: tuple[tuple[str, str], ...]
    evaluates: bool
    metered: bool
    rewarded: bool


@lru_cache(maxsize=128)  # the lines of a log have few sets of names; a hostile one costs what it did without
def _roles_of(names: tuple[str, ...]) -> _Roles:
    """The roles of the names. Of two that differ in case alone the later holds."""
    usual = {_bare(str(name).lower()): name for name in names}

    def known(wanted: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple((name, usual[name]) for name in wanted if name in usual)

    metrics = [name for name in usual if is_metric(name)]
    return _Roles(
        known(keys.STEP_KEYS),
        known(keys.SAMPLE_KEYS),
        known(keys.TOKEN_KEYS),
        known(keys.TOTAL_KEYS),
        known(keys.EPOCH_KEYS),
        known(keys.LOSS_KEYS),
        known(keys.TIME_KEYS),
        known(keys.TOOK_KEYS),
        known(_PHASES),
        tuple((usual_part(name), usual[name]) for name in usual if says_part(name)),
        any(map(keys.is_eval, usual)),
        any(_REWARDS.search(name) is None for name in metrics),
        bool(metrics),
    )


def _bare(name: str) -> str:
    """`train/global_step` is the global step; Stable-Baselines3's stands among times."""
    return "total_timesteps" if name == "time/total_timesteps" else name.rpartition("train/")[2]


def claim_of(body: dict[str, Any], offset: int) -> Claim | None:
    """A claim from an object's usual names, or null when it has no counter."""
    return _claim_of(body, _roles_of(tuple(body)), offset)


def _claim_of(body: dict[str, Any], roles: "_Roles", offset: int) -> Claim | None:
    key, step = _first(body, roles.steps)
    counted, total = _first(body, roles.totals)
    if step is None and isinstance(both := body.get(_STEP_OF_TOTAL), str):
        key, (step, total) = "step", _step_of_total(both)
    samples, tokens = _first(body, roles.samples)[1], _first(body, roles.tokens)[1]
    epoch = to_float(body[roles.epochs[0][1]]) if roles.epochs else None
    if epoch is not None and not 0 <= epoch < 1e6:
        epoch = None
    if step is None and samples is None and tokens is None:
        if epoch is None:
            return None
        key, step, total = "epoch", round(epoch * MICRO), None  # a total of steps or of whole epochs
    elif step is None:
        key = "samples" if samples is not None else "tokens"
        total = total if counted == "total" else None  # the others are of steps
    at, naive = _time_of(body, roles)
    return Claim(
        offset,
        key,
        step,
        samples,
        tokens,
        total,
        to_loss(body[roles.losses[0][1]]) if roles.losses else None,
        epoch,
        at,
        naive,
        _phase_of(body, roles),
        took_s=to_seconds(body[roles.tooks[0][1]], roles.tooks[0][0]) if roles.tooks else None,
    )


def _mark_of(body: dict[str, Any], roles: "_Roles", offset: int) -> Claim | None:
    """An evaluation's row without a counter says that it lasts; null: the row says none. What is a `split` or
    a `dataset` alone may stand in rows of data: there a metric has to stand beside it."""
    says_phase = any(usual == "phase" for usual, _ in roles.phases)
    if not (roles.phases or roles.parts) or not (says_phase or roles.metered or roles.losses):
        return None
    if _phase_of(body, roles) != "eval":
        return None
    at, naive = _time_of(body, roles)
    return Claim(offset, "phase", at=at, naive=naive, phase="eval", advances=False)


def _step_of_total(text: str) -> tuple[int | None, int | None]:
    """(step, total) of `10/600`."""
    step, _, total = text.partition("/")
    return to_count(step), to_count(total)


def _phase_of(body: dict[str, Any], roles: "_Roles") -> str:
    """The record's phase: as it names it, of the part that it names, or by its metrics' names."""
    for _, name in roles.phases:
        if phase := _phase(body[name]):
            return phase
    for usual, name in roles.parts:
        evaluates = is_evaluation(usual, body[name])
        if evaluates is not None:
            return "eval" if evaluates else "train"
    return "eval" if roles.evaluates and not roles.losses else "train"


def _phase(value: Any) -> str:
    """A phase that the record names, in our five words; "": none of them."""
    if not isinstance(value, str):
        return ""
    word = value.lower()[:20]
    if word in ("train", "training", "init", "checkpoint", "end", "eval"):
        return "train" if word == "training" else word
    return "eval" if keys.is_eval(word) or word.startswith("eval") else ""


def _first(body: dict[str, Any], names: tuple[tuple[str, str], ...]) -> tuple[str, int | None]:
    """The first name with a whole number."""
    for usual, name in names:
        count = to_count(body[name])
        if count is not None:
            return usual, count
    return "", None


def _time_of(body: dict[str, Any], roles: _Roles) -> tuple[float | None, bool]:
    for _, name in roles.times:
        value = body[name]
        if isinstance(value, str):
            at, naive = parse_stamp(value)
        else:
            at, naive = to_instant(value), False
        if at is not None:
            return at, naive
    return None, False


def _dlllog(body: dict[str, Any], offset: int) -> Claim | None:
    """The last part of the step is the counter."""
    step = body.get("step")
    data = body.get("data")
    at, naive = _time_of(body, _roles_of(tuple(body)))
    numbers = [to_count(part) for part in step] if isinstance(step, list) else [to_count(step)]
    if not numbers or numbers[-1] is None:
        return None
    loss = None
    if isinstance(data, dict):
        loss = next((to_loss(data[name]) for name in keys.LOSS_KEYS if name in data), None)
    epoch = float(numbers[0]) if len(numbers) > 1 and numbers[0] is not None else None
    return Claim(offset, "step", step=numbers[-1], loss=loss, epoch=epoch, at=at, naive=naive)


def _from_one(claims: list[Claim]) -> list[Claim]:
    """Iterations that are counted from 0 in each epoch, by how many were made."""
    begins = [now.step for last, now in pairwise(claims) if now.epoch != last.epoch]
    if not begins or any(step != 0 for step in begins):
        return claims
    return [claim._replace(step=(claim.step or 0) + 1) for claim in claims]
