"""Valid files of every format, as their records: what the edits hurt. Each maker takes a Course."""

import json
import sqlite3
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.unit.progress.event_files import event, field, record, scalar, tensor, version
from tests.unit.progress.wandb_files import exited, log, row, written_in

FIXTURES = Path(__file__).parents[1] / "fixtures" / "progress"
T0 = 1_785_568_777.0  # 2026-08-01 07:19:37 UTC


class Course(NamedTuple):
    """A training: records, its first step, steps from record to record, and a seed for what else varies."""

    n: int
    first: int
    stride: int
    seed: int

    def steps(self) -> list[int]:
        """The counter of each record."""
        return [self.first + k * self.stride for k in range(self.n)]


Maker = Callable[[Course], list[bytes]]


def _lines(template: Callable[[int, int, str], str]) -> Maker:
    """A maker of one line a record: template(step, k, stamp)."""

    def make(course: Course) -> list[bytes]:
        return [
            (template(step, k, _stamp(T0 + 7 * k)) + "\n").encode() for k, step in enumerate(course.steps())
        ]

    return make


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


def _fixture(name: str) -> Maker:
    """A kept file's lines; the course only says how much of it."""

    def make(course: Course) -> list[bytes]:
        whole = (FIXTURES / name).read_bytes().splitlines(keepends=True)
        return whole * (1 + course.n // 8)

    return make


def _bar(step: int, total: int, k: int) -> str:
    share = min(100, 100 * step // max(1, total))
    return f"\r{share:3d}%|{'█' * (share // 10):<10}| {step}/{total} [00:{k % 60:02d}<01:40,  1.02s/it]"


def _hf(quotes: str) -> Maker:
    def make(course: Course) -> list[bytes]:
        total = course.steps()[-1] + 5
        out = []
        for k, step in enumerate(course.steps()):
            q = quotes
            said = f"{{'loss': {q}{3 / (k + 1):.4f}{q}, 'learning_rate': {q}1e-05{q}, 'epoch': {q}{k / 50:.2f}{q}}}"
            bar = _bar(step, total, k) if course.seed % 2 else ""
            out.append(f"{bar}\n{said}\n".encode())
        return [*out, f"{{'train_runtime': {quotes}919.0{quotes}, 'epoch': {quotes}3.0{quotes}}}\n".encode()]

    return make


def _keras(course: Course) -> list[bytes]:
    out = []
    for epoch in range(1, 2 + course.n // 6):
        out.append(f"Epoch {epoch}/9\n".encode())
        for k in range(1, 6):
            bar = "=" * k + ">" + "." * (5 - k)
            out.append(f"\r{k * 10}/50 [{bar}] - ETA: 5s - loss: {3 / k:.4f}".encode())
        out.append(b"\r50/50 [======] - 5s 50ms/step - loss: 2.1\n")
    return out


def _mllog(kind: str) -> Maker:
    def make(course: Course) -> list[bytes]:
        out = [_ml("run_start", {}, 0)]
        for k, step in enumerate(course.steps()):
            name = {"samples": "samples_count", "epoch": "epoch_num", "step": "step_num"}[kind]
            value = k if kind == "epoch" else step
            out += [_ml("block_start", {name: value}, k), _ml("block_stop", {name: value}, k)]
        return [*out, _ml("eval_start", {}, course.n), _ml("run_stop", {"status": "success"}, course.n)]

    return make


def _ml(event_name: str, meta: dict[str, object], k: int) -> bytes:
    body = {
        "namespace": "",
        "time_ms": int(T0 * 1000) + k * 7000,
        "key": event_name,
        "value": None,
        "metadata": meta,
    }
    return f":::MLLOG {json.dumps(body)}\n".encode()


def _vllm(course: Course) -> list[bytes]:
    return [
        f"(APIServer pid=9) INFO 05-19 10:{k // 6 % 60:02d}:{k % 6 * 10:02d} [loggers.py:271] Engine 000: Avg prompt "
        f"throughput: {course.first % 900}.0 tokens/s, Avg generation throughput: 105.3 tokens/s, Running: 1\n".encode()
        for k in range(course.n)
    ]


def _json(course: Course) -> list[bytes]:
    out = []
    for k, step in enumerate(course.steps()):
        body: dict[str, object] = {"step": step, "loss": 3 / (k + 1), "ts": T0 + 7 * k, "tokens": step * 4096}
        if course.seed % 3 == 1:
            body = {"epoch": k, "global_step": step, "eval_loss": 2.5, "note": 'a "b" {c} é \\ /'}
        elif course.seed % 3 == 2:
            body = {"train/step": step, "nested": {"step": 3, "x": [1, 2]}, "time": _stamp(T0 + k)}
        out.append((json.dumps(body, ensure_ascii=course.seed % 2 == 0) + "\n").encode())
    return out


def _dlll(course: Course) -> list[bytes]:
    return [
        f"DLLL {json.dumps({'timestamp': str(T0 + k), 'type': 'LOG', 'step': [k // 9, step], 'data': {'loss': 2.5}})}\n".encode()
        for k, step in enumerate(course.steps())
    ]


def _fairseq(course: Course) -> list[bytes]:
    return [
        f'{_stamp(T0 + k)} | INFO | train_inner | {{"epoch": 1, "loss": "16.4", "num_updates": "{step}", "wps": "0"}}\n'.encode()
        for k, step in enumerate(course.steps())
    ]


def _guard(course: Course) -> list[bytes]:
    out = []
    for k, step in enumerate(course.steps()):
        if course.seed % 2:
            out.append(
                f"step={step} total={step + 9} tokens={step * 512} loss={3 / (k + 1):.3f} run=a ts={T0 + k}\n"
            )
        else:
            out.append(json.dumps({"v": 1, "ts": T0 + k, "rank": 0, "phase": "train", "step": step}) + "\n")
    return [line.encode() for line in out]


def _mlflow(course: Course) -> list[bytes]:
    return [
        f"{int(T0 * 1000) + 7000 * k} {3 / (k + 1)} {step}\n".encode()
        for k, step in enumerate(course.steps())
    ]


def _csv(course: Course) -> list[bytes]:
    comma = ",;\t"[course.seed % 3]
    out = [comma.join(("epoch", "step", "note", "train_loss", "val_loss", "timestamp")) + "\n"]
    for k, step in enumerate(course.steps()):
        note = ('"a, b"', '"say ""x"""', '"two\nlines"', "", "é")[(k + course.seed) % 5]
        out.append(comma.join((str(k // 9), str(step), note, f"{3 / (k + 1):.4f}", "", str(T0 + k))) + "\n")
    return [line.encode() for line in out]


def _hfstate(course: Course) -> list[bytes]:
    history = [
        {"epoch": k / 50, "loss": 3 / (k + 1), "learning_rate": 1e-5, "step": step}
        if k % 5
        else {"epoch": k / 50, "eval_loss": 2.5, "step": step}
        for k, step in enumerate(course.steps())
    ]
    last = course.steps()[-1] + 3
    body = {"best_metric": None, "epoch": 1.0, "global_step": last, "is_world_process_zero": True}
    text = json.dumps({**body, "log_history": history, "max_steps": last * 2}, indent=2)
    return text.encode().splitlines(keepends=True)


def _events(course: Course) -> list[bytes]:
    make = tensor if course.seed % 2 else scalar
    out = [version(T0)]
    for k, step in enumerate(course.steps()):
        out.append(event(T0 + 7 * k, step, make("train/loss", 3 / (k + 1))))
        if course.seed % 3 == 0 and k % 4 == 0:
            out.append(event(T0 + 7 * k, step, make("eval/loss", 2.5), make("lr", 1e-4)))
    if course.seed % 5 == 0:
        out.insert(
            course.n // 2, record(b"\x09" + struct.pack("<d", T0) + b"\x10\x05" + field(7, b"\x08\x01"))
        )
        out.insert(2, record(b"\x09" + struct.pack("<d", T0) + field(4, b"\0" * 70_000)))  # a graph
    return out


def _wandb(course: Course) -> list[bytes]:
    rows = [
        row(k, course.seed % 2 == 0, _timestamp=T0 + 7 * k, train__global_step=step, loss=3 / (k + 1))
        for k, step in enumerate(course.steps())
    ]
    if course.seed % 3 == 0:
        rows.insert(course.n // 2, field(6, b"x" * 40_000))  # output, over a block's end
    whole = log(written_in("4242"), *rows, exited())
    return [whole[at : at + 173] for at in range(0, len(whole), 173)]


def _deepspeed(course: Course) -> list[bytes]:
    return [
        b"step,train_loss\n",
        *(f"{step},{3 / (k + 1):.4f}\n".encode() for k, step in enumerate(course.steps())),
    ]


def _dvclive(course: Course) -> list[bytes]:
    return [
        b"step\tloss\n",
        *(f"{step}\t{3 / (k + 1):.4f}\n".encode() for k, step in enumerate(course.steps())),
    ]


def _clearml(course: Course) -> list[bytes]:
    events = [
        {"timestamp": int(T0 * 1000) + 1000 * k, "type": "training_stats_scalar", "task": "offline-1", "iter": step,
         "metric": "loss", "variant": "train", "value": 3 / (k + 1)}
        for k, step in enumerate(course.steps())
    ]  # fmt: skip
    return [(json.dumps(events[at : at + 5]) + "\n").encode() for at in range(0, len(events), 5)]


def _wandb_metadata(course: Course) -> list[bytes]:
    body = {
        "os": "Linux-6.1", "python": "3.11.2", "startedAt": "2026-08-01T07:19:37Z", "program": "/w/train.py",
        "args": ["--step", str(course.first)] * course.n, "host": f"n{course.seed}", "root": "/w",
        "slurm": {"job_id": str(course.first), "job_gpus": "0", "procid": "0"},
    }  # fmt: skip
    return json.dumps(body, indent=2).encode().splitlines(keepends=True)


def _database(course: Course) -> list[bytes]:
    """MLflow's table of metrics, in slices of a page."""
    made = sqlite3.connect(":memory:")
    made.execute(
        'CREATE TABLE "metrics" ("key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,'
        " run_uuid VARCHAR(32) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL)"
    )
    rows = [
        ("loss", 3 / (k + 1), int(T0 * 1000) + 1000 * k, "a" * 32, step, 0)
        for k, step in enumerate(course.steps())
    ]
    made.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)", rows)
    made.commit()
    whole = bytes(made.serialize())
    made.close()
    return [whole[at : at + 512] for at in range(0, len(whole), 512)]


MAKERS: dict[str, tuple[Maker, ...]] = {
    "wandbmeta": (_wandb_metadata,),
    "deepspeed": (_deepspeed,),
    "dvclive": (_dvclive,),
    "clearml": (_clearml,),
    "database": (_database,),
    "tfevents": (_events,),
    "wandb": (_wandb,),
    "hfstate": (_hfstate,),
    "mlflow": (_mlflow,),
    "guard": (_guard,),
    "csv": (
        _csv,
        *map(_fixture, ("lightning_metrics.csv", "keras_log.csv", "rllib_progress.csv", "sb3_progress.csv")),
    ),
    "megatron": (
        _lines(
            lambda s, k, at: f" [{at}.123456] iteration {s:8d}/{s + 9:8d} | consumed samples: {s * 64:12d} | elapsed "
            f"time per iteration (ms): {1912.5 + k:.1f} | lm loss: 1.04E+01 | grad norm: 1.0 |"
        ),
        _lines(
            lambda s, k, at: f"{at}\tJob ID: 42\t# GPUs: 64\tSaved checkpoint\tIteration: {s}\tTokens (in billions): "
            f"{k / 7:.2f}"
        ),
        _lines(
            lambda s, k, at: f"Training epoch 0, iteration {k}/999 | lr: 1e-4 | global_step: {s} | "
            f"reduced_train_loss: 11.03 | consumed_samples: {s * 8}"
        ),
        _lines(lambda s, k, at: f" validation loss at iteration {s} | lm loss value: 2.3E+00 |"),
        _lines(lambda s, k, at: f" validation loss at iteration {s} on test set | lm loss value: 2.3E+00 |"),
    ),
    "mllog": (_mllog("samples"), _mllog("epoch"), _mllog("step")),
    "vllm": (_vllm,),
    "hf": (
        _hf(""),
        _hf("'"),
        _lines(lambda s, k, at: f"{{'loss': 1.5, 'epoch': 0.1, 'global_step/max_steps': '{s}/{s + 9}'}}"),
    ),
    "keras": (_keras,),
    "gromacs": (_fixture("md.log"), _fixture("mdrun_v.err")),
    "lammps": (_fixture("log.lammps"), _fixture("lammps_multi.out")),
    "openmm": (_fixture("openmm_stdout.out"),),
    "namd": (_fixture("namd.out"),),
    "espresso": (_fixture("pw.out"),),
    "vasp": (_fixture("OSZICAR"), _fixture("OSZICAR_md")),
    "wrf": (_fixture("rsl.out.0000"),),
    "amber": (_lines(lambda s, k, at: f" NSTEP = {s % 10**12:8d}   TIME(PS) =  {k * 2:8.3f}  TEMP(K) =   300.0"),),
    "trainers": (
        _lines(lambda s, k, at: f"[{s % 1_000_000}]\ttrain-logloss:{3 / (k + 1):.5f}\teval-logloss:0.5"),
        _lines(lambda s, k, at: f"I0801 10:00:00.123456 14 logging_writer.py:48] [{s}] loss={3 / (k + 1):.4f}, lr=0.1"),
        _lines(lambda s, k, at: f"tick {k:<5d} kimg {s % 1_000_000}.0      time 5m 12s       sec/tick 61.5"),
        _lines(lambda s, k, at: f"[{at}] Ep. 1 : Up. {s % 10**12} : Sen. {k * 25:,} : Cost 7.1 * 1,234 @ 12"),
        _lines(lambda s, k, at: f"{at} INFO: {k // 9}epoch:train:{k}-{s % 10**9}batch: iter_time=0.1, loss=2.5"),
        _lines(
            lambda s, k, at: f"{k // 9:>11}/40      2.61G      1.153         81        640: 5% ━━━╸────── "
            f"{s % 10**9}/{10**9} 8.2it/s 4.1s<5.0s"
        ),
    ),
    "monitor": (_fixture("0.monitor.csv"),),
    "jsonl": (_json, _dlll, _fairseq),
    "keyvalue": (
        _lines(lambda s, k, at: f"time={T0 + k:.3f} step={s} tokens={s * 512} loss={3 / (k + 1):.4f} step_time=0.123"),
        _lines(lambda s, k, at: f"iter {s}: loss {3 / (k + 1):.4f}, time 12.3ms, mfu 3.1%"),
        _lines(lambda s, k, at: f"| step         | {s:<8.3g} |\n| loss         | {3 / (k + 1):<8.3g} |"),
        _lines(
            lambda s, k, at: f"[titan] {at},171 - root - INFO - \x1b[31mstep: {s:2d}  \x1b[32mloss: 8.1  \x1b[33m"
            f"memory: 12.3GiB(25%)  \x1b[34mtps: 12,345\x1b[0m"
        ),
        _lines(
            lambda s, k, at: f"[{at},171] [INFO] [timer.py:199:stop] epoch=0/micro_step={k}/global_step={s}, "
            "RunningAvgSamplesPerSec=173.4"
        ),
        _lines(lambda s, k, at: f"{at}.935\th1:0\tolmo.train:990\tINFO\t[step={s}/{s + 9},epoch=0]"),
        _lines(lambda s, k, at: f"Epoch: [{k // 9}][{k % 9:3d}/9]\tTime  0.6 ( 0.7)\tLoss {3 / (k + 1):.3e}"),
        _lines(lambda s, k, at: f"completed step: {s}, seconds: 5.6, TFLOP/s/device: 134.9, loss: 10.3"),
        _lines(lambda s, k, at: f"0: [rank0]: step:{s} - global_seqlen/mean:512 - perf/mfu:0.3 - loss:1.5"),
        _lines(lambda s, k, at: f"[epoch=1][batch={s}/{s + 9}]:\n\t Train loss/train/total: 2.3"),
    ),
    "tqdm": (lambda course: [_bar(s, s + 9, k).encode() for k, s in enumerate(course.steps())],),
    "patterns": (_lines(lambda s, k, at: f"cycle {s} of {s + 9} t={at} e={3 / (k + 1):.3f}"),),
}  # fmt: skip

OTHER = Course(2, 3, 2, 0)  # the files whose records edits put into others
OTHERS: tuple[bytes, ...] = tuple(
    piece for makers in MAKERS.values() for piece in makers[0](OTHER)[:3] if len(piece) < 2_000
)
