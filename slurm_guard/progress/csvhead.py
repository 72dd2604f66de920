"""What the heading of a CSV or TSV says: which column counts, and whether the file is a training's log.

Strict on purpose: most CSV files that a job writes are data. A log has a column that is named like a counter
and a column that is named like a metric; what only the rows can tell, the reader judges at the end.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slurm_guard.progress import keys
from slurm_guard.progress.datarows import SIZES
from slurm_guard.progress.parts import says_part, usual_part

MAX_COLUMNS = 4096  # RLlib writes hundreds
MAX_NAME = 300
SEPARATORS = (",", "\t", ";", "|")
# Without `batch` and `update`, which are columns of data and of shop orders as well.
_STEPS = tuple(
    name
    for name in (*keys.STEP_KEYS, "steps", "total_steps")
    if name not in ("batch", "update", "global step")
)
_PREFIXES = ("train/", "trainer/", "training/", "time/")
_METRIC = re.compile(
    r"(?:^|[/_. (-])(?:loss|losses|acc|accuracy|lr|learning_?rate|grad_?norm|ppl|perplexity|reward|rew|"
    r"return|auc|f1|iou|miou|map|map50|mse|mae|rmse|psnr|ssim|fid|bleu|rouge|kl|entropy|error|err|top1|top5|wer|cer|"
    r"elbo|nll|dice|precision|recall|throughput|mfu|tokens_per_sec|samples_per_sec)(?:$|[/_. ():@-])",
    re.IGNORECASE,
)
_PARTS = ("train/", "rollout/", "val/", "eval/", "test/", "validation/", "train_", "val_", "info/learner/")


class Columns(NamedTuple):
    """Where things stand in a row. Null: there is no such column."""

    n: int
    clock: int
    key: str  # step, epoch, samples or tokens
    epoch: int | None
    samples: int | None
    tokens: int | None
    at: int | None
    loss: int | None
    took: tuple[int, str] | None
    trains: tuple[int, ...]  # metrics of training …
    evals: tuple[int, ...]  # … and of an evaluation
    parts: tuple[tuple[int, str], ...]  # that say of which part a row is, and their usual names


def separator_of(line: str) -> str:
    """The character that cuts the line into most cells."""
    return max(SEPARATORS, key=line.count)


def cells_of(line: str, separator: str) -> list[str] | None:
    """The cells of one record; null: its quotes do not close, or it is absurd."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), None)
    except csv.Error:
        return None


def columns_of(cells: Sequence[str]) -> Columns | None:
    """The columns of a log, by its heading; null: this heads no log."""
    names = [cell.strip().lower() for cell in cells]
    if not _is_heading([cell.strip() for cell in cells]):
        return None
    bare = {_bare(name): index for index, name in reversed(list(enumerate(names)))}
    samples, tokens = _first(bare, keys.SAMPLE_KEYS), _first(bare, keys.TOKEN_KEYS)
    epoch = _first(bare, keys.EPOCH_KEYS)
    clocks = (("step", _first(bare, _STEPS)), ("epoch", epoch), ("samples", samples), ("tokens", tokens))
    key, clock = next((pair for pair in clocks if pair[1] is not None), ("", None))
    if clock is None:
        return None
    metrics = [i for i, name in enumerate(names) if i != clock and is_metric(name)]
    if not metrics:
        return None
    evals = tuple(i for i in metrics if keys.is_eval(names[i]))
    at, loss = _first(bare, keys.TIME_KEYS), _first(bare, (*keys.LOSS_KEYS, "train_loss_step", "loss_step"))
    if key in SIZES and _bare(names[clock]) not in keys.CUMULATIVE and at is None and loss is None:
        return None  # `num_tokens,ppl`: of one sample each, sorted or not
    if names[clock] == "training_iteration" and samples is None:
        samples = _first(bare, ("timesteps_total", "num_env_steps_sampled_lifetime"))
    return Columns(
        len(names),
        clock,
        key,
        epoch,
        samples,
        tokens,
        at,
        loss,
        _took(bare, names[clock]),
        tuple(i for i in metrics if i not in evals),
        evals,
        tuple((i, usual_part(name)) for i, name in enumerate(names) if i != clock and says_part(name)),
    )


def _is_heading(names: list[str]) -> bool:
    """Whether every cell is a name of its own."""
    return (
        2 <= len(names) <= MAX_COLUMNS
        and len(set(names)) == len(names)
        and all(len(name) <= MAX_NAME and not name[:1].isdigit() for name in names)
        and all(names[1:])  # pandas leaves the name of its index column out
        and names[0][:1] not in ("#", "{", "[", "'")
    )


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def is_metric(name: str) -> bool:
    """Whether a column of this name, in small letters, tells what trainings tell."""
    return name.startswith(_PARTS) or _METRIC.search(name) is not None


def _first(bare: dict[str, int], names: Iterable[str]) -> int | None:
    return next((bare[name] for name in names if name in bare), None)


def _took(bare: dict[str, int], clock: str) -> tuple[int, str] | None:
    """The column with one step's time, and its name for the unit."""
    more = ("time_this_iter_s",) if clock == "training_iteration" else ()
    return next(((bare[name], name) for name in (*keys.TOOK_KEYS, *more) if name in bare), None)
