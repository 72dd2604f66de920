"""Made logs for the progress benchmark: lines as each program prints them, and a job's stdout around them.

Every stream is drawn from a seed. The lines between are what Slurm jobs print (warnings, NCCL, data sets,
timers, tables), a part of them with the words that readers look for, because real logs have those, too.
"""

import random
from collections.abc import Callable, Iterator

Line = Callable[[int], str]
MATCHING = 0.2  # share of lines that are records

RECORDS: dict[str, Line] = {
    "megatron": lambda n: (
        f" [2026-08-01 {n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}.123456] iteration {n:8d}/ 5000000 | "
        f"consumed samples: {n * 128:12d} | elapsed time per iteration (ms): 19138.8 | throughput per GPU "
        f"(TFLOP/s/GPU): 80.2 | learning rate: 6.976744E-08 | global batch size:   128 | lm loss: 1.04{n % 10}E+01 |"
        " loss scale: 1.0 | grad norm: 4.381 | number of skipped iterations:   0 | number of nan iterations:   0 |"
    ),
    "mllog": lambda n: (
        f':::MLLOG {{"namespace": "", "time_ms": {1745906900799 + n * 5000}, "event_type": "INTERVAL_END", '
        f'"key": "block_stop", "value": null, "metadata": {{"file": "/w/train.py", "lineno": 212, '
        f'"samples_count": {n * 64}}}}}'
    ),
    "vllm": lambda n: (
        f"(APIServer pid=3646) INFO 05-19 {n // 360 % 24:02d}:{n // 6 % 60:02d}:{n % 6}1 [loggers.py:271] Engine 000: "
        f"Avg prompt throughput: {n % 77}.0 tokens/s, Avg generation throughput: 1055.3 tokens/s, Running: 18 "
        "reqs, Waiting: 43 reqs, GPU KV cache usage: 95.9%, Prefix cache hit rate: 12.1%"
    ),
    "hf": lambda n: (
        f"{{'loss': '2.0{n % 100:02d}', 'grad_norm': '43.1', 'learning_rate': '1.2e-06', 'epoch': '{n / 10000:.4f}'}}"
    ),
    "keras": lambda n: (
        f"Epoch {n // 500 + 1}/20000"
        if n % 500 == 0
        else f"{n % 500}/500 [======>.......] - ETA: 5s - loss: 2.3{n % 10} - accuracy: 0.4{n % 10}"
    ),
    "jsonl": lambda n: (
        f'{{"step": {n}, "loss": 2.{n % 100:02d}, "lr": 0.0003, "grad_norm": 1.2, "tokens": {n * 4096}, '
        f'"ts": {1795475142 + n}.2}}'
    ),
    "fairseq": lambda n: (
        f"2021-03-08 {n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d} | INFO | train_inner | "
        f'{{"epoch": 1, "loss": "16.475", "ppl": "91120.8", "wps": "0", "ups": "0.02", "wpb": "16384", "bsz": "8", '
        f'"num_updates": "{n}", "lr": "2e-05", "gnorm": "20.751", "wall": "48"}}'
    ),
    "nanogpt": lambda n: f"iter {n}: loss 2.{n % 100:02d}34, time 512.31ms, mfu 41.2{n % 10}%",
    "torchtitan": lambda n: (
        f"\x1b[31m[titan] 2026-08-01 10:{n // 60 % 60:02d}:{n % 60:02d},123 - root - INFO - \x1b[31mstep: {n:6d}  "
        f"\x1b[32mloss:  8.1{n % 100:02d}  \x1b[38;2;180;60;0mgrad_norm:  1.2021  \x1b[38;2;54;234;195mmemory: "
        "12.30GiB(25.04%)  \x1b[34mtps: 12,345  \x1b[36mtflops: 123.40  \x1b[35mmfu: 12.32%\x1b[39m"
    ),
    "deepspeed": lambda n: (
        f"[2023-04-18 01:{n // 60 % 60:02d}:{n % 60:02d},171] [INFO] [timer.py:199:stop] "
        f"epoch=0/micro_step={n * 4}/global_step={n}, RunningAvgSamplesPerSec=173.4, CurrSamplesPerSec=171.5, "
        "MemAllocated=4.32GB, MaxMemAllocated=12.61GB"
    ),
    "olmo": lambda n: (
        f"2025-12-27 22:{n // 60 % 60:02d}:{n % 60:02d}.935\tnode001:0\tolmo.train:990\tINFO\t[step={n}/1000000,epoch=0]"
    ),
    "verl": lambda n: (
        f"step:{n} - global_seqlen/min:139 - actor/kl_loss:0.002 - actor/pg_loss:-0.001 - critic/rewards/mean:0.6{n % 10}"
        " - perf/total_num_tokens:812345 - timing_s/step:52.3 - perf/mfu/actor:0.3"
    ),
    "maxtext": lambda n: (
        f"completed step: {n}, seconds: 5.6{n % 100:02d}, TFLOP/s/device: 134.924, Tokens/s/device: 8672.758, "
        "total_weights: 196608, loss: 10.374"
    ),
    "imagenet": lambda n: (
        f"Epoch: [{n // 5005}][{n % 5005:4d}/5005]\tTime  0.215 ( 0.231)\tData  0.001 ( 0.012)\t"
        f"Loss 4.1{n % 1000:03d}e+00 (5.1e+00)\tAcc@1  14.06 (  9.1)"
    ),
    "tqdm": lambda n: (
        f"training: {n % 1000 // 10:3d}%|{'#' * (n % 1000 // 100):10s}| {n % 1000}/1000 [00:58<14:40,  1.70it/s]"
    ),
    "gromacs": lambda n: (
        f"           Step           Time\n{n * 5000:15d}{n * 10:12d}.00000\n"
        if n % 20
        else f"Writing checkpoint, step {n * 5000} at Thu Oct 29 18:46:40 2015"
    ),
    "lammps": lambda n: (
        "Per MPI rank memory allocation (min/avg/max) = 3.1 | 3.1 | 3.1 Mbytes\n"
        "   Step          Temp          E_pair         E_mol          TotEng         Press"
        if n == 0
        else f"{n * 100:7d}   1.6842865     -4.8082494      0             -2.2820513      5.{n % 1000:03d}     "
    ),
    "namd": lambda n: (
        f"ENERGY: {n * 100:7d}      1234.1234      2345.2345       345.3456        45.4567        "
        "-123456.5678      9876.6789         0.0000         0.0000     23456.7890"
    ),
    "espresso": lambda n: f"     iteration # {n % 30 + 1:2d}     ecut=    60.00 Ry     beta= 0.70",
    "vasp": lambda n: (
        f"DAV: {n % 20 + 1:3d}    -0.52636024{n % 100:02d}E+03   -0.26E-02   -0.13E-03  1234   0.3E-01    0.1E-01"
    ),
    "wrf": lambda n: (
        f"Timing for main: time 2016-03-{n // 86400 % 28 + 1:02d}_{n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d} "
        "on domain   1:    0.32042 elapsed seconds"
    ),
}  # fmt: skip

_BETWEEN: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"node{r.randrange(999):03d}:{r.randrange(99999)}:{r.randrange(99999)} [{r.randrange(8)}] NCCL INFO "
    f"Channel {r.randrange(32):02d}/32 : {r.randrange(8)}[{r.randrange(8)}] -> {r.randrange(8)} via P2P/CUMEM/read",
    lambda r: f"/opt/conda/lib/python3.11/site-packages/torch/utils/checkpoint.py:{r.randrange(999)}: UserWarning: "
    "None of the inputs have requires_grad=True. Gradients will be None",
    lambda r: f"WARNING:root:Token indices sequence length is longer than the maximum ({r.randrange(9999)} > 2048)",
    lambda r: f"[2026-08-01 07:19:{r.randrange(60):02d},{r.randrange(1000):03d}] [INFO] [utils.py:{r.randrange(999)}:"
    f"see_memory_usage] MA {r.random() * 40:.2f} GB  Max_MA {r.random() * 80:.2f} GB  CA {r.random() * 80:.2f} GB",
    lambda r: f"    forward-backward ...............................: ({r.random() * 1e4:.2f}, {r.random() * 1e4:.2f})",
    lambda r: f"    optimizer-clip-main-grad .......................: ({r.random() * 1e2:.2f}, {r.random() * 1e2:.2f})",
    lambda r: f"2026-08-01 07:{r.randrange(60):02d}:{r.randrange(60):02d},{r.randrange(1000):03d} INFO data.loader: "
    f"opened shard s3://corpus/part-{r.randrange(99999):05d}.tar ({r.randrange(999)} documents)",
    lambda r: f"  warnings.warn(\"The given NumPy array is not writable, at {r.randrange(1 << 40):#x}\")",
    lambda r: f"loss scaler: reducing scale from {1 << r.randrange(20)} after overflow on rank {r.randrange(64)}",
    lambda r: f"[rank{r.randrange(8)}]:[W801 07:19:{r.random() * 60:.6f} ProcessGroupNCCL.cpp:{r.randrange(9999)}] "
    "Warning: using GPU to perform barrier as devices used by this process are currently unknown",
    lambda r: f"| layer{r.randrange(48):2d} | {r.random() * 1e3:9.3f} | {r.random() * 1e3:9.3f} | {r.random():8.5f} |",
    lambda r: f"GPU{r.randrange(8)}: {r.randrange(30, 90)}C {r.randrange(80, 700)}W {r.randrange(81559)}MiB / 81559MiB",
    lambda r: f"Each training step takes {r.random() * 9:.2f} s on average; the next epoch begins after validation",
    lambda r: f"Loading iterable dataset shard {r.randrange(9999)} of 9999 in batches of {r.randrange(64)}",
    lambda r: f"  File \"/home/u/run/train.py\", line {r.randrange(999)}, in training_step",
    lambda r: "",
)  # fmt: skip


def lines_of(name: str, seed: int) -> Iterator[str]:
    """An endless log: a fifth of its lines are records of `name`; "mixed": of all programs in turn."""
    rng = random.Random(f"{name}/{seed}")
    makers = list(RECORDS.values()) if name == "mixed" else [RECORDS[name]]
    n = 0
    while True:
        for maker in makers:
            yield maker(n)
            for _ in range(round(1 / MATCHING) - 1):
                yield rng.choice(_BETWEEN)(rng)
        n += 1


def make_stream(name: str, seed: int, size_b: int) -> tuple[bytes, int]:
    """(text of about that size, its lines that are records)."""
    parts: list[str] = []
    size = n = 0
    for index, line in enumerate(lines_of(name, seed)):
        parts.append(line)
        size += len(line) + 1
        n += index % round(1 / MATCHING) == 0
        if size >= size_b:
            break
    return ("\n".join(parts) + "\n").encode(), n


def _csv(n: int) -> str:
    return (
        f"{n},{n // 1000},,{2 + n % 97 / 100:.6f},0.0003,{n % 89 / 100:.6f},,"
        if n
        else ("step,epoch,train_loss_epoch,train_loss_step,lr-AdamW,train_acc,val_acc,val_loss")
    )


def _state(n: int) -> str:
    head = (
        '{\n  "epoch": 1.0,\n  "global_step": 9000000,\n  "is_world_process_zero": true,\n  "log_history": ['
        if n == 0
        else ","
    )
    return (
        f'{head}\n    {{\n      "epoch": {n / 10000:.4f},\n      "grad_norm": 1.2{n % 100:02d},\n      "learning_rate": 5e-05,'
        f'\n      "loss": 2.{n % 1000:03d},\n      "step": {n * 10 + 10}\n    }}'
    )


# Files that hold nothing but records: (name, n-th record, what ends the file).
FILES: dict[str, tuple[str, Line, str]] = {
    "csv": ("metrics.csv", _csv, "\n"),
    "hfstate": ("trainer_state.json", _state, '\n  ],\n  "max_steps": 9000000\n}\n'),
    "mlflow": (
        "mlruns/1/0f/metrics/loss",
        lambda n: f"{1795474227384 + n * 512} {2 + n % 997 / 1000:.4f} {n}",
        "\n",
    ),
}


def make_file(name: str, size_b: int) -> tuple[str, bytes]:
    """(path, text) of a file of records alone."""
    path, record, end = FILES[name]
    lines: list[str] = []
    size = 0
    while size < size_b:
        lines.append(record(len(lines)))
        size += len(lines[-1]) + 1
    glue = "" if name == "hfstate" else "\n"
    return path, (glue.join(lines) + end).encode()
