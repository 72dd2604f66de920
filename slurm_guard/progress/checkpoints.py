"""Checkpoints by name, size and time: `checkpoint-500/`, `step_1000.pt`. Nothing in them is read here.

A name tells a step, and the kernel when it came there; both say little, for any name can be made. So such
points are weak, and a name without bytes on disk behind it is none.
"""

import re
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from slurm_guard.progress.bracket import CTIME_SLACK_S, Frame
from slurm_guard.progress.protocol import MICRO
from slurm_guard.progress.values import AT_MAX, AT_MIN, STEP_LIMIT
from slurm_guard.wire import Point

T = TypeVar("T")
NAME = "checkpoint"
MOST = 512  # of one run that are kept (judgement)
LEAST_B = 4096  # on disk: less is a name without a model (judgement)
WHOLE_SHARE = 0.1  # of the usual size: below, a save that was cut short, or no model (judgement)
_SUFFIXES = (
    ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".npz", ".msgpack", ".h5", ".hdf5", ".keras",
    ".index", ".pkl", ".zip", ".distcp", ".nemo", ".params",
)  # fmt: skip
# `checkpoint_2024-11-26`, `checkpoints/20240101`: a day, no step.
_NO_DAY = r"(?!(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])[-_.]?(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6})?(?!\d))"
_ENDS = r"(?!\d|\.\d|e\d)"  # `1.5` and `1e5` are no whole numbers
_STEP = re.compile(
    r"(?:^|[^a-z0-9])(?:(?:global_?step|step|iter(?:ation)?|update|checkpoint|ckpt)s?[-_=]?|ba)"
    rf"{_NO_DAY}(\d{{1,15}}){_ENDS}",
    re.ASCII,
)
_BATCH = re.compile(rf"(?:^|[^a-z0-9])batch[-_=]?(\d{{1,15}}){_ENDS}", re.ASCII)  # a size, but with an epoch
# Stable-Baselines3: rl_model_10000_steps.zip. Not `epoch_3_step_900`, whose number is of the word before.
_STEPS = re.compile(r"(?:^|[-_])(\d{1,15})_steps?(?![a-z0-9]|[-_=]?\d|[-_]per)", re.ASCII)
# step1_preprocess/: a part of a pipeline. Not OLMo's step5-unsharded/ and step5-tokens0B/
_STAGE = re.compile(
    r"steps?[-_]?[1-9][-_](?!(?:un)?sharded(?!\w)|tokens\d|seed[-_]?\d|ema(?!\w)|hf(?!\w))[a-z]", re.ASCII
)
_UPDATES = re.compile(r"checkpoint_\d{1,6}_(\d{1,12})\.pt", re.ASCII)  # fairseq: epoch and updates
_EPOCH = re.compile(rf"(?:^|[^a-z0-9])ep(?:och)?s?[-_=]?{_NO_DAY}(\d{{1,6}}){_ENDS}", re.ASCII)
# fairseq's and timm's: the number is the epoch's.
_EPOCHS_ONLY = re.compile(r"checkpoint(\d{1,6})\.pt|checkpoint-(\d{1,6})\.pth\.tar", re.ASCII)
_BARE = re.compile(rf"{_NO_DAY}\d{{1,15}}", re.ASCII)  # orbax: checkpoints/1000/
_UNFINISHED = re.compile(r"(?:^|[-_.])(?:tmp|temp|partial|incomplete|orbax-checkpoint-tmp)|~$")
_SAVES = re.compile(r"checkpoint|ckpt")


class Saved(NamedTuple):
    """One checkpoint as the walk saw it. `born_at`: of the inode; null: the file system does not say."""

    step: int  # in millionths where `epoch`
    epoch: bool
    ctime_at: float
    born_at: float | None
    size_b: int  # on disk


class Kept(NamedTuple):
    """What an earlier reading told of a checkpoint, which may be gone since."""

    path: str
    step: int
    epoch: bool
    lo_at: float | None
    hi_at: float


def counter_of(name: str, folder: str, is_folder: bool) -> tuple[int, bool] | None:
    """(step, false) or (millionths of epochs, true) of a checkpoint's name; null: it is none."""
    name = name.lower()
    if len(name) > 255 or _UNFINISHED.search(name) is not None:
        return None
    if not is_folder and not name.endswith(_SUFFIXES):
        return None
    if is_folder and _STAGE.match(name) is not None:
        return None
    if (epochs := _EPOCHS_ONLY.fullmatch(name)) is not None and not is_folder:
        return MICRO * int(epochs[1] or epochs[2]), True
    epoch = _last(_EPOCH, name)
    match = _UPDATES.fullmatch(name) or _STEPS.search(name) or _last(_STEP, name)
    if match is None and epoch is not None:
        match = _last(_BATCH, name)
    if match is None and is_folder and _SAVES.search(folder.rpartition("/")[2].lower()):
        match = _BARE.fullmatch(name)
    if match is not None:
        return int(match[match.lastindex or 0]), False
    return None if epoch is None else (MICRO * int(epoch[1]), True)


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match: `checkpoint-epoch=3-step=900`."""
    return next(iter(deque(pattern.finditer(text), 1)), None)


def parse_saved(rows: Any) -> tuple[Saved, ...]:
    """The opener's word, field by field."""
    out = []
    for row in rows[:MOST] if isinstance(rows, list) else []:
        if not isinstance(row, list) or len(row) != 5:
            continue
        step, epoch, ctime_at, born_at, size_b = row
        fits = (
            _whole(step) and isinstance(epoch, bool) and _instant(ctime_at) and _whole(size_b)
            and (born_at is None or _instant(born_at))
        )  # fmt: skip
        if fits:
            out.append(Saved(step, epoch, ctime_at, born_at, size_b))
    return tuple(out)


def parse_kept(rows: Any) -> list[Kept]:
    """The sampler's word of what earlier readings found."""
    out = []
    for row in rows[:MOST] if isinstance(rows, list) else []:
        if not isinstance(row, list) or len(row) != 5:
            continue
        path, step, epoch, lo_at, hi_at = row
        fits = (
            isinstance(path, str) and _whole(step) and isinstance(epoch, bool) and _instant(hi_at)
            and (lo_at is None or _instant(lo_at))
        )  # fmt: skip
        if fits:
            out.append(Kept(path, step, epoch, lo_at, hi_at))
    return out


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < STEP_LIMIT


def _instant(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and AT_MIN <= value < AT_MAX


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly, the first and the last among them."""
    n = len(items)
    if n <= most:
        return list(items)
    return [items[k * (n - 1) // (most - 1)] for k in range(most)]


def settle(
    names: tuple[int, str], saved: Sequence[Saved], kept: Iterable[Kept], frame: Frame
) -> tuple[list[Point], list[str]]:
    """(points, problems) of one folder. `names`: number of its row, name of its track.

    A checkpoint came to be between its inode's birth and its last change. One that is older than the run is
    not the run's, whatever was changed in it since.
    """
    file, track = names
    whole, problems = _whole_ones(saved, frame)
    epoch = sum(one.epoch for one in whole) * 2 > len(whole) or (not whole and any(k.epoch for k in kept))
    seen: dict[int, tuple[float | None, float]] = {
        one.step: (one.lo_at, one.hi_at) for one in kept if one.epoch == epoch
    }
    for one in whole:
        if one.epoch == epoch:
            lo_at = None if one.born_at is None else max(frame.ticket_at, one.born_at - CTIME_SLACK_S)
            hi_at = min(one.ctime_at, frame.read_at)
            lo, hi = seen.get(one.step, (lo_at, hi_at))
            seen[one.step] = (lo, min(hi, hi_at))  # it was there already when it was seen first
    if epoch:
        track = track.replace(":", "/epoch:", 1)
    flags = ["epoch", "weak"] if epoch else ["weak"]
    points: list[Point] = []
    segment, high = 0, -1
    ordered = sorted(seen.items(), key=lambda item: (item[1][1], item[0]))
    if len(ordered) > MOST:
        problems.append(f"many-checkpoints: {len(ordered)} are known; {MOST} of them, evenly, are told")
    for step, (lo, hi) in spread(ordered, MOST):
        fell = step < high
        segment += fell
        high = step
        low = None if lo is None else min(lo, hi)
        said = sorted([*flags, "step-back"]) if fell else flags
        points.append(
            Point(file, track, segment, None, low, hi, step, None, None, None, None, "train", step, said)
        )
    return points, problems


def _whole_ones(saved: Sequence[Saved], frame: Frame) -> tuple[list[Saved], list[str]]:
    """Those of this run that hold something."""
    problems = []
    mine = [one for one in saved if one.born_at is None or one.born_at >= frame.ticket_at - CTIME_SLACK_S]
    if len(mine) < len(saved):
        problems.append(f"before-run: {len(saved) - len(mine)} checkpoints are older than the run")
    sizes = sorted(one.size_b for one in mine)
    usual = sizes[len(sizes) // 2] if sizes else 0
    whole = [one for one in mine if one.size_b >= max(LEAST_B, WHOLE_SHARE * usual)]
    if len(whole) < len(mine):
        problems.append(f"empty-checkpoint: {len(mine) - len(whole)} names with little or nothing on disk")
    return whole, problems
