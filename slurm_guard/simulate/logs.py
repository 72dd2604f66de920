"""What training programs write: real formats, with the buffering that real programs have."""

import json
import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple, Protocol

from slurm_guard.simulate.tensorboard import encode_scalars, encode_version


class StepNews(NamedTuple):
    """One optimiser step as the program knows it. `at`: its own clock, UTC epoch seconds."""

    step: int
    total: int
    at: float
    took_s: float
    loss: float
    samples: int  # consumed so far
    tokens: int


@dataclass
class Growth:
    """A file as it grew: (instant at which the bytes came to disk, bytes)."""

    path: str  # relative to the job's folder
    how: str  # fd, stdout, guard
    _parts: list[bytes] = field(default_factory=list)
    _times: list[float] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)

    def add(self, at: float, data: bytes) -> None:
        """Bytes that came to disk at an instant, in order."""
        self._parts.append(data)
        self._times.append(at)
        self._sizes.append(len(data) + (self._sizes[-1] if self._sizes else 0))

    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)

    def size_at(self, at: float) -> tuple[int, float | None]:
        """(bytes on disk at an instant, when the last of them came; null: none yet)."""
        place = bisect_right(self._times, at)
        return (self._sizes[place - 1], self._times[place - 1]) if place else (0, None)


class LogFormat(Protocol):
    """Turns steps and phases into text; null: nothing is written for it."""

    every: int

    def step(self, news: StepNews) -> bytes | None: ...

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None: ...


class Writer:
    """One log file: a format, and a buffer that is flushed by size, by age, or at once."""

    def __init__(self, growth: Growth, form: LogFormat, buffer_b: int = 0, age_s: float = math.inf) -> None:
        self.growth = growth
        self.form = form
        self._buffer_b, self._age_s = buffer_b, age_s
        self._held = b""
        self._since: float | None = None

    def step(self, news: StepNews) -> None:
        if news.step % self.form.every == 0:
            self._write(self.form.step(news), news.at)

    def phase(self, name: str, at: float, news: StepNews) -> None:
        self._write(self.form.phase(name, at, news), at)

    def text(self, text: str, at: float) -> None:
        self._write(text.encode(), at)

    def tick(self, at: float) -> None:
        """Let time pass: a buffer that is old enough goes to disk."""
        if self._since is not None and at - self._since >= self._age_s:
            self.flush(at)

    def flush(self, at: float) -> None:
        if self._held:
            self.growth.add(at, self._held)
        self._held, self._since = b"", None

    def _write(self, data: bytes | None, at: float) -> None:
        if data is None:
            return
        self._held += data
        self._since = at if self._since is None else self._since
        if len(self._held) > self._buffer_b:
            self.flush(at)
        self.tick(at)


def _clock(at: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime(form)


@dataclass
class Megatron:
    """Megatron-LM's `print_rank_last` line."""

    every: int = 10
    batch: int = 512

    def step(self, news: StepNews) -> bytes:
        rate = 3.0e-4 * min(1.0, news.step / 200)
        return (
            f" [{_clock(news.at, '%Y-%m-%d %H:%M:%S.%f')}] iteration {news.step:8d}/{news.total:8d} |"
            f" consumed samples: {news.samples:12d} |"
            f" elapsed time per iteration (ms): {news.took_s * 1000:.1f} |"
            f" learning rate: {rate:.6E} | global batch size: {self.batch:5d} | lm loss: {news.loss:.6E} |"
            f" loss scale: 1.0 | grad norm: {0.3 + 0.4 * news.loss:.3f} |"
            " number of skipped iterations:   0 | number of nan iterations:   0 |\n"
        ).encode()

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        if name == "checkpoint":
            return f"saving checkpoint at iteration {news.step:7d} to checkpoints\n".encode()
        return None


@dataclass
class HuggingFace:
    """The Trainer's dict on stdout behind tqdm's bar on stderr, both in Slurm's one file."""

    every: int = 10
    steps_per_epoch: int = 800

    def step(self, news: StepNews) -> bytes:
        epoch = news.step / self.steps_per_epoch
        body = {
            "loss": round(news.loss, 4),
            "grad_norm": round(0.5 + news.loss, 4),
            "learning_rate": 2e-05 * (1 - news.step / news.total),
            "epoch": round(epoch, 2),
        }
        share = 100 * news.step // max(1, news.total)
        spent, left = _span(news.took_s * news.step), _span(news.took_s * (news.total - news.step))
        bar = f"\r{share:3d}%|{'█' * (share // 10):<10}| {news.step}/{news.total} [{spent}<{left}"
        bar += f", {news.took_s:5.2f}s/it]"
        return f"{bar}\n{body}\n".encode()

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        if name == "eval-end":
            epoch = round(news.step / self.steps_per_epoch, 2)
            body = {
                "eval_loss": round(news.loss * 1.04, 4),
                "eval_runtime": round(at - news.at, 2),
                "epoch": epoch,
            }
            return f"{body}\n".encode()
        if name == "eval":
            return f"***** Running Evaluation *****\n  Num examples = {4096}\n  Batch size = 8\n".encode()
        return None


def _span(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


@dataclass
class KeyValue:
    """A hand-written logger with time stamps."""

    every: int = 500

    def step(self, news: StepNews) -> bytes:
        return (
            f"{_clock(news.at)} INFO trainer: step={news.step} loss={news.loss:.4f} "
            f"tokens={news.tokens} lr={1e-4:.2e} sec_per_step={news.took_s:.3f}\n"
        ).encode()

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        words = {"eval": "running validation", "checkpoint": f"saved ckpt-{news.step}.pt"}
        return f"{_clock(at)} INFO trainer: {words[name]}\n".encode() if name in words else None


@dataclass
class GuardFile:
    """The SLURM_GUARD_PROGRESS file."""

    every: int = 1

    def step(self, news: StepNews) -> bytes:
        body = {"step": news.step, "total": news.total, "tokens": news.tokens, "loss": round(news.loss, 4)}
        return (json.dumps({"ts": round(news.at, 3), **body}) + "\n").encode()

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        if name not in ("eval", "checkpoint", "init", "end"):
            return None
        return (json.dumps({"ts": round(at, 3), "phase": name, "step": news.step}) + "\n").encode()


@dataclass
class TensorBoard:
    """An event file of scalars; the version record comes with the first step."""

    every: int = 1
    begun: bool = False

    def step(self, news: StepNews) -> bytes:
        head = b"" if self.begun else encode_version(news.at - news.took_s)
        self.begun = True
        values = {"train/loss": news.loss, "train/tokens": float(news.tokens)}
        return head + encode_scalars(news.at, news.step, values)

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        return encode_scalars(at, news.step, {"eval/loss": news.loss * 1.03}) if name == "eval-end" else None


@dataclass
class Solver:
    """Residuals of an in-house flow solver: a format that no reader knows."""

    every: int = 1
    rng: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def step(self, news: StepNews) -> bytes:
        parts = "  ".join(f"{self.rng.uniform(1, 9):.4f}E-{4 + news.step % 5:02d}" for _ in range(5))
        return f" {parts}  CFL {self.rng.uniform(0.5, 0.9):.3f}\n".encode()

    def phase(self, name: str, at: float, news: StepNews) -> bytes | None:
        return None
