"""An honest training loop: real gradient steps on the CPU, real logs, GPU work on the simulated boards.

A small network learns a fixed teacher; each optimiser step takes one step's GPU work, so a neighbour on
the board makes the loop slower, as it would be. Stdout as Megatron-LM, Hugging Face or key=value prints it.
"""

import argparse
import math
import os
import random
import shlex
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

sys.path.insert(0, str(Path(__file__).resolve().parent))
from gpu import Gpu  # type: ignore[import-not-found]  # in this folder: a job knows no package of ours


class Student:
    """Two layers that learn to imitate a fixed teacher by plain gradient descent with momentum."""

    def __init__(self, seed: int, width: int = 64) -> None:
        draw = np.random.default_rng(seed)
        self.draw = draw
        self.teacher = draw.normal(size=(16, 4))
        self.w1 = draw.normal(size=(16, width)) / 4
        self.w2 = draw.normal(size=(width, 4)) / math.sqrt(width)
        self.v1, self.v2 = np.zeros_like(self.w1), np.zeros_like(self.w2)

    def step(self, batch: int, rate: float = 0.05) -> float:
        """One forward, backward and update; the batch's mean squared error before it."""
        x = self.draw.normal(size=(batch, 16))
        hidden = np.tanh(x @ self.w1)
        error = hidden @ self.w2 - np.sin(x @ self.teacher)
        back = (error @ self.w2.T) * (1 - hidden**2)
        self.v2 = 0.9 * self.v2 - rate * (hidden.T @ error) / batch
        self.v1 = 0.9 * self.v1 - rate * (x.T @ back) / batch
        self.w1, self.w2 = self.w1 + self.v1, self.w2 + self.v2
        return float((error**2).mean())

    def evaluate(self) -> float:
        """Error on a batch that is not learnt from."""
        x = self.draw.normal(size=(256, 16))
        return float(((np.tanh(x @ self.w1) @ self.w2 - np.sin(x @ self.teacher)) ** 2).mean())


def megatron(step: int, total: int, loss: float, took_s: float, batch: int) -> str:
    stamp = datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    return (
        f" [{stamp}] iteration {step:8d}/{total:8d} | consumed samples: {step * batch:12d} | "
        f"elapsed time per iteration (ms): {took_s * 1000:.1f} | learning rate: 1.000E-04 | "
        f"global batch size: {batch:5d} | lm loss: {loss:.6E} | loss scale: 1.0 | grad norm: 1.003 |"
    )


def huggingface(step: int, total: int, loss: float, took_s: float, batch: int) -> str:
    """The Trainer's dict, which has no step, behind tqdm's bar, which has; Slurm puts both into one file."""
    epoch = round(step / HF_STEPS_PER_EPOCH, 2)
    entry = {"loss": round(loss, 4), "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": epoch}
    share, full = 100 * step // total, "█" * (10 * step // total)
    left = max(0, int((total - step) * took_s))
    spent = f"{int(step * took_s) // 60:02d}:{int(step * took_s) % 60:02d}"
    bar = f"\r{share:3d}%|{full:<10}| {step}/{total} [{spent}<{left // 60:02d}:{left % 60:02d}"
    return f"{bar}, {took_s:5.2f}s/it]\n{entry}"


def keyvalue(step: int, total: int, loss: float, took_s: float, batch: int) -> str:
    tokens = step * batch * 512
    return f"time={time.time():.3f} step={step} tokens={tokens} loss={loss:.4f} step_time={took_s:.3f}"


HF_STEPS_PER_EPOCH = 400
STYLES: dict[str, Callable[[int, int, float, float, int], str]] = {
    "megatron": megatron, "hf": huggingface, "kv": keyvalue,
}  # fmt: skip


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90.0, help="about how long to train")
    parser.add_argument("--style", choices=[*STYLES, "none"], default="megatron", help="what stdout says")
    parser.add_argument("--events", help="folder for TensorBoard event files")
    parser.add_argument("--guard", action="store_true", help="write $SLURM_GUARD_PROGRESS as well")
    parser.add_argument("--work", type=float, default=0.8, help="GPU-seconds of work a step, on each GPU")
    parser.add_argument("--update-share", type=float, default=0.1, help="share of it that updates weights")
    parser.add_argument("--startup", type=float, default=4.0, help="seconds of loading and compiling")
    parser.add_argument("--log-every", type=int, default=1)
    parser.add_argument("--checkpoint-every", type=float, default=30.0, help="seconds between checkpoints")
    parser.add_argument("--eval-every", type=int, default=0, help="steps between evaluations; 0: none")
    parser.add_argument("--eval-work", type=float, default=3.0, help="an evaluation's work, in steps")
    parser.add_argument("--hang-after", type=float, help="seconds after which a collective waits for ever")
    parser.add_argument(
        "--inside", action="store_true", help="$RIG_HOLD's work in this process, step by step"
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mem-mib", type=int, default=24000)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _inside() -> argparse.Namespace:
    """What else this process does on the GPU; the audit reads command lines, so it stands in $RIG_HOLD."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="hash")
    parser.add_argument("--demand", type=float, default=0.4, help="of a step's work, after each step")
    parser.add_argument("--after", type=float, default=0.0, help="seconds before it begins")
    return parser.parse_args(shlex.split(os.environ.get("RIG_HOLD", "")))


class Loop:
    """The training loop and everything it writes."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.gpu = Gpu()
        self.began = time.monotonic()
        self.random = random.Random(args.seed)
        self.student = Student(args.seed)
        # A target that is not quite reached in the time: most jobs end at their limit, not at their goal.
        self.total = max(10, int(1.2 * args.seconds / args.work))
        self.inside = _inside() if args.inside else None
        self.events = SummaryWriter(args.events, flush_secs=2) if args.events else None

    def run(self) -> None:
        """Start up, then step until the time is over."""
        args, until = self.args, time.monotonic() + self.args.seconds
        print(f"loading data and compiling, {len(self.gpu.indices)} GPUs", flush=True)
        time.sleep(args.startup * 0.5)
        self.gpu.memory(args.mem_mib)
        self.gpu.work(args.startup * 0.25, "compile", 0.6)
        saved = began = time.monotonic()
        step = 0
        while time.monotonic() < until:
            if args.hang_after is not None and time.monotonic() - began > args.hang_after:
                self.gpu.hold("spin", 1.0, args.mem_mib)
                time.sleep(max(0.0, until - time.monotonic()))
                break
            step += 1
            self.one_step(step)
            if args.eval_every and step % args.eval_every == 0:
                self.evaluate(step)
            if time.monotonic() - saved > args.checkpoint_every:
                saved = time.monotonic()
                self.checkpoint(step)
        self.finish(step)

    def one_step(self, step: int) -> None:
        """The GPU's part, the CPU's part, and what is logged of it."""
        began = time.monotonic()
        jitter = min(1.15, max(0.85, self.random.gauss(1.0, 0.02)))  # batches differ in length
        work, late = self.args.work * jitter, self.args.update_share
        self.gpu.work(work * (1 - late), "train", 0.97)
        loss = self.student.step(self.args.batch)
        if late > 0:
            self.gpu.work(work * late, "membound", 0.9)  # gradients and weights pass through memory once
        if self.inside is not None and time.monotonic() - self.began > self.inside.after:
            self.gpu.work(work * self.inside.demand, self.inside.kind, 0.97)
        time.sleep(0.04 + self.random.expovariate(1 / 0.02))  # the data loader
        if step % self.args.log_every == 0:
            self.log(step, loss, time.monotonic() - began)

    def log(self, step: int, loss: float, took_s: float) -> None:
        if self.args.style != "none":
            print(STYLES[self.args.style](step, self.total, loss, took_s, self.args.batch), flush=True)
        if self.events is not None:
            self.events.add_scalar("train/loss", loss, step)
        if self.args.guard:
            with Path(os.environ["SLURM_GUARD_PROGRESS"]).open("a", encoding="ascii") as out:
                out.write(f"step={step} total={self.total} tokens={step * self.args.batch * 512}\n")

    def evaluate(self, step: int) -> None:
        began = time.monotonic()
        self.gpu.work(self.args.eval_work * self.args.work, "eval", 0.9)
        loss, took_s = self.student.evaluate(), time.monotonic() - began
        if self.args.style == "hf":
            epoch = round(step / HF_STEPS_PER_EPOCH, 2)
            print({"eval_loss": round(loss, 4), "eval_runtime": round(took_s, 3), "epoch": epoch}, flush=True)
        elif self.args.style == "megatron":
            told = f"lm loss value: {loss:.6E} | lm loss PPL: {math.exp(loss):.6E} |"
            print(f" validation loss at iteration {step} | {told}", flush=True)
        else:
            print(f"validation at step {step}: eval_loss={loss:.4f}", flush=True)

    def checkpoint(self, step: int) -> None:
        """The GPU waits while weights are written."""
        np.savez(f"checkpoint-{step}.npz", w1=self.student.w1, w2=self.student.w2)
        time.sleep(1.0)
        print(f"saved checkpoint at step {step}", flush=True)

    def finish(self, step: int) -> None:
        if self.events is not None:
            self.events.close()
        self.gpu.release()
        print(f"training finished after {step} steps", flush=True)


if __name__ == "__main__":
    Loop(parse()).run()
