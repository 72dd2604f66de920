"""GPU work with PyTorch and CuPy, as programs of an ordinary user: `python work.py KIND OPTIONS`.

A real training (a small decoder-only language model), Hugging Face's own Trainer, a neighbour and work inside
of the training of known amount, and a program that prints steps which it does not make. This file knows no
package of ours: it is copied beside the jobs. Everything that ran is written to `--truth`, a JSON line each:
wall clock, what, how many units, so that the true share can be counted afterwards in units times the time
that a unit takes on a GPU that does nothing else (`calibrate`).
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PERIOD_S = 0.2  # of the neighbour's duty
N_UPDATES = 24  # after each generation
_MINE = r"""
extern "C" __global__ void mine(unsigned int* out, int rounds) {
    unsigned int x = blockIdx.x * blockDim.x + threadIdx.x + 1u;
    for (int i = 0; i < rounds; i++) {
        x ^= x << 13; x ^= x >> 17; x ^= x << 5; x = x * 1664525u + 1013904223u;
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = x;
}
"""
# A warp reads a line of 128 bytes at a place that the line before decides, as mining by memory does.
_GATHER = r"""
typedef unsigned int word;
extern "C" __global__ void gather(const word* table, word lines, word* out, int rounds) {
    unsigned int thread = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31u;
    unsigned int x = (thread >> 5) * 2654435761u + 1u, mix = lane;
    for (int i = 0; i < rounds; i++) {
        x = x * 1664525u + 1013904223u;
        mix = (mix ^ table[(size_t)__umulhi(x, lines) * 32u + lane]) * 16777619u;
        x ^= __shfl_sync(0xffffffffu, mix, i & 31);
    }
    out[thread] = mix;
}
"""


class Truth:
    """What ran, for whoever judges the audit."""

    def __init__(self, path: str | None) -> None:
        self._file = None if path is None else Path(path).open("a", buffering=1)  # noqa: SIM115

    def __call__(self, what: str, units: int) -> None:
        if self._file is not None:
            self._file.write(json.dumps({"at": time.time(), "what": what, "units": units}) + "\n")


def hashing(rounds: int = 120_000) -> Callable[[], None]:
    """A unit of integer work that fills the GPU for some milliseconds, as mining does; returns when done."""
    import cupy

    kernel = cupy.RawKernel(_MINE, "mine")
    blocks, threads = 132 * 16, 128
    out = cupy.zeros(blocks * threads, dtype=cupy.uint32)
    stream = cupy.cuda.Stream(non_blocking=True)

    def unit() -> None:
        with stream:
            kernel((blocks,), (threads,), (out, rounds))
        stream.synchronize()

    return unit


def products() -> Callable[[], None]:
    """A unit of dense matrix work (bf16), as a second training does; returns when done."""
    import torch

    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)

    def unit() -> None:
        for _ in range(4):
            a @ a
        torch.cuda.synchronize()

    return unit


def gathers(rounds: int = 8_000, lines: int = 1 << 25) -> Callable[[], None]:
    """A unit of dependent reads all over 4 GiB, as mining that is bound by memory does; returns when done."""
    import cupy

    kernel = cupy.RawKernel(_GATHER, "gather")
    table = cupy.arange(lines * 32, dtype=cupy.uint32)
    blocks, threads = 132 * 8, 256
    out = cupy.zeros(blocks * threads, dtype=cupy.uint32)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()

    def unit() -> None:
        with stream:
            kernel((blocks,), (threads,), (table, cupy.uint32(lines), out, rounds))
        stream.synchronize()

    return unit


def updates() -> Callable[[], None]:
    """A unit is a step of another, smaller training."""
    model = Training(width=1024, layers=4, length=512)

    def unit() -> None:
        model.step()

    return unit


UNITS: dict[str, Callable[[], Callable[[], None]]] = {
    "hashing": hashing,
    "products": products,
    "gathers": gathers,
    "updates": updates,
}


class Training:
    """Forward, backward and update of a decoder-only model on random tokens; synchronised once a step."""

    def __init__(
        self,
        width: int = 2048,
        layers: int = 12,
        batch: int = 8,
        length: int = 1024,
        dtype: str = "bfloat16",
    ) -> None:
        import torch
        from torch import nn

        self.torch, self.tokens = torch, batch * length
        number = getattr(torch, dtype)
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            width, width // 128, 4 * width, dropout=0.0, norm_first=True, batch_first=True
        )
        body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.embed = nn.Embedding(16384, width).cuda().to(number)
        self.body = body.cuda().to(number)
        self.mask = nn.Transformer.generate_square_subsequent_mask(length).cuda().to(number)
        self.optimiser = torch.optim.AdamW([*self.embed.parameters(), *self.body.parameters()], lr=1e-4)
        self.data = torch.randint(16384, (batch, length + 1), device="cuda")

    def _loss(self) -> Any:
        hidden = self.body(self.embed(self.data[:, :-1]), mask=self.mask, is_causal=True)
        logits = hidden @ self.embed.weight.T
        return self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.data[:, 1:].flatten())

    def step(self) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        loss = self._loss()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())  # waits for the GPU, as loops that log the loss do

    def evaluate(self) -> float:
        with self.torch.no_grad():
            return float(self._loss())

    def generate(self, prompt: int) -> int:
        """Replace the data by the model's own tokens behind random prompts, one at a time, without a cache;
        how many it made."""
        rows, length = self.data.shape
        data = self.torch.randint(16384, (rows, prompt), device="cuda")
        with self.torch.no_grad():
            for n in range(prompt, length):
                hidden = self.body(self.embed(data), mask=self.mask[:n, :n], is_causal=True)
                odds = (hidden[:, -1] @ self.embed.weight.T).float().softmax(-1).nan_to_num(1.0)
                data = self.torch.cat([data, self.torch.multinomial(odds, 1)], dim=1)
        self.data = data
        return int(rows * (length - prompt))


def _training(options: argparse.Namespace) -> Training:
    return Training(options.width, options.layers, options.batch, options.length, options.dtype)


def train(options: argparse.Namespace) -> None:
    """The loop. `--extra` of its time goes to other work from `--extra-after` seconds on; `--stall`: a
    loader that makes it wait for that share of the time, at random; `--evaluate`: every so many seconds, for
    two."""
    truth, draw = Truth(options.truth), random.Random(options.seed)
    model = _training(options)
    extra = UNITS[options.extra_kind]() if options.extra > 0 else None
    begun_s = time.perf_counter()
    evaluated_s, spent_s, owed_s, step = begun_s, 0.0, 0.0, 0
    log = Path(options.log).open("a", buffering=1) if options.log else sys.stdout  # noqa: SIM115
    while (now_s := time.perf_counter()) - begun_s < options.seconds:
        if options.stall > 0:
            time.sleep(draw.expovariate((1 - options.stall) / options.stall / max(0.02, spent_s)))
        from_s = time.perf_counter()
        loss = model.step()
        spent_s, step = time.perf_counter() - from_s, step + 1
        truth("step", 1)
        if options.bare:
            print(f"{from_s:.6f} {spent_s:.6f}", flush=True)
        elif step % options.every == 0:
            row = {"step": step, "loss": round(loss, 4), "tokens": step * model.tokens, "time": time.time()}
            log.write(json.dumps(row) + "\n")
        if extra is not None and now_s - begun_s >= options.extra_after:
            owed_s += spent_s * options.extra / (1 - options.extra)
            while owed_s > 0:
                unit_s = time.perf_counter()
                extra()
                owed_s -= time.perf_counter() - unit_s
                truth("extra", 1)
        if options.evaluate > 0 and now_s - evaluated_s >= options.evaluate:
            until_s = time.perf_counter() + 2.0
            while time.perf_counter() < until_s:
                model.evaluate()
                truth("evaluation", 1)
            evaluated_s = time.perf_counter()
            log.write(json.dumps({"step": step, "eval_loss": round(loss, 4), "time": time.time()}) + "\n")


def rollouts(options: argparse.Namespace) -> None:
    """Two phases in turn, in one process: tokens made by the model, then updates on them; a line of the log
    each time round, as programs for reinforcement learning write it."""
    truth, model, step = Truth(options.truth), _training(options), 0
    log = Path(options.log).open("a", buffering=1) if options.log else sys.stdout  # noqa: SIM115
    begun_s = time.perf_counter()
    while time.perf_counter() - begun_s < options.seconds:
        truth("generation", model.generate(options.length // 8))
        for _ in range(N_UPDATES):
            loss = model.step()
            truth("step", 1)
        step += 1
        row = {"step": step, "loss": round(loss, 4), "tokens": step * model.tokens, "time": time.time()}
        log.write(json.dumps(row) + "\n")


def trainer(options: argparse.Namespace) -> None:
    """Hugging Face's own Trainer on random tokens, evaluations and checkpoints included."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

    truth = Truth(options.truth)

    class Told(TrainerCallback):  # type: ignore[misc,unused-ignore]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            truth("step", 1)
            if time.perf_counter() > until_s:
                control.should_training_stop = True

    tokens = torch.randint(16384, (4096, 1024))
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    shape = GPT2Config(vocab_size=16384, n_embd=1024, n_layer=16, n_head=16)
    arguments = TrainingArguments(
        output_dir=options.folder,
        bf16=True,
        per_device_train_batch_size=16,
        max_steps=100_000,
        logging_steps=options.every,
        eval_strategy="steps",
        eval_steps=4 * options.every,
        save_steps=8 * options.every,
        save_total_limit=1,
        report_to=["tensorboard"],
        disable_tqdm=True,
    )
    until_s = time.perf_counter() + options.seconds
    Trainer(
        GPT2LMHeadModel(shape), arguments, train_dataset=rows, eval_dataset=rows[:256], callbacks=[Told()]
    ).train()


def neighbour(options: argparse.Namespace) -> None:
    """Other work for `--duty` of each period, counted in the time that a unit takes alone (`--unit-ms`)."""
    truth, unit = Truth(options.truth), UNITS[options.extra_kind]()
    unit()
    wanted, done = 0.0, 0
    next_s = time.perf_counter()
    until_s = next_s + options.seconds
    while time.perf_counter() < until_s:
        wanted += options.duty * PERIOD_S * 1000 / options.unit_ms
        before = done
        while done < int(wanted) and time.perf_counter() < until_s:
            unit()
            done += 1
        if done > before:
            truth("extra", done - before)
        next_s += PERIOD_S
        time.sleep(max(0.0, next_s - time.perf_counter()))


def printer(options: argparse.Namespace) -> None:
    """Prints steps from a timer as `train` does, while the GPU does other work all the time."""
    truth, unit, draw = Truth(options.truth), UNITS[options.extra_kind](), random.Random(options.seed)
    begun_s, step, due_s = time.perf_counter(), 0, time.perf_counter()
    log = Path(options.log).open("a", buffering=1) if options.log else sys.stdout  # noqa: SIM115
    while time.perf_counter() - begun_s < options.seconds:
        unit()
        truth("extra", 1)
        if time.perf_counter() >= due_s:
            step, due_s = (
                step + options.every,
                due_s + options.pretended_s * options.every * draw.gauss(1, 0.01),
            )
            loss = 9.7 / (1 + step / 400) + draw.gauss(0, 0.02)
            row = {"step": step, "loss": round(loss, 4), "tokens": step * 8192, "time": time.time()}
            log.write(json.dumps(row) + "\n")


def calibrate(_: argparse.Namespace) -> None:
    """What a unit takes on a GPU that does nothing else, ms: the median of 50, as one JSON line."""
    found = {}
    for name, make in UNITS.items():
        unit, times = make(), []
        for _round in range(60):
            begun_s = time.perf_counter()
            unit()
            times.append(1000 * (time.perf_counter() - begun_s))
        found[name] = sorted(times[10:])[25]
        del unit  # its memory is the next one's
    print(json.dumps(found))


def idle(options: argparse.Namespace) -> None:
    """Holds a context and does nothing."""
    import torch

    torch.zeros(1 << 20, device="cuda")
    time.sleep(options.seconds)


_KINDS = {
    "train": train,
    "trainer": trainer,
    "rollouts": rollouts,
    "neighbour": neighbour,
    "printer": printer,
    "calibrate": calibrate,
    "idle": idle,
}


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="file; else standard output")
    parser.add_argument("--truth")
    parser.add_argument("--folder", default=".")
    parser.add_argument("--every", type=int, default=10, help="steps between two lines of the log")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--extra", type=float, default=0.0, help="share of the loop's time for other work")
    parser.add_argument("--extra-after", type=float, default=0.0)
    parser.add_argument("--extra-kind", choices=UNITS, default="hashing")
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--evaluate", type=float, default=0.0, help="seconds between two evaluations")
    parser.add_argument("--duty", type=float, default=1.0)
    parser.add_argument("--unit-ms", type=float, default=2.0)
    parser.add_argument("--pretended-s", type=float, default=0.1, help="seconds of a step that is not made")
    parser.add_argument("--bare", action="store_true", help="print each step's begin and seconds, no log")
    return parser.parse_args(words)


def main(words: list[str]) -> None:
    options = parse(words)
    Path(options.folder).mkdir(parents=True, exist_ok=True)
    _KINDS[options.kind](options)


if __name__ == "__main__":
    main(sys.argv[1:])
