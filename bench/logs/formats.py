"""A record of every append-only format, as its framework writes it. Stands alone: the writer is a job's program."""

import json
import struct
import time
import zlib
from collections.abc import Callable


def _stamp(at: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return time.strftime(form, time.gmtime(at))


def _megatron(k: int, at: float) -> str:
    return (
        f" [{_stamp(at)}.{int(at % 1 * 1e6):06d}] iteration {k:8d}/ 900000 | consumed samples: {k * 64:12d} | "
        f"elapsed time per iteration (ms): {1900 + k % 7}.{k % 10} | lm loss: {_loss(k):.6E} | grad norm: 1.003 |"
    )


def _loss(k: int) -> float:
    return 2.0 + 9.0 / (1 + k / 40) + (k * 7919 % 97) / 970


def _wandb(k: int, at: float) -> bytes:
    """One row of history as a whole chunk's data (see `Wandb`)."""
    items = {
        "_step": k,
        "_timestamp": at,
        "_runtime": k * 36.0,
        "loss": _loss(k),
        "grad_norm": 1.0,
        "lr": 1e-4,
    }
    items.update(
        {f"perf/throughput_{name}": 123.456789 for name in ("tokens", "samples", "tflops", "batches")}
    )
    row = b"".join(
        _field(1, _field(2, name.encode()) + _field(16, json.dumps(value).encode()))
        for name, value in items.items()
    )
    return _field(2, row)


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Wandb:
    """Puts records into blocks of 32 KiB behind the header, as wandb-core does."""

    def __init__(self) -> None:
        self.size = 0

    def head(self) -> bytes:
        self.size = 7
        return b":W&B" + struct.pack("<H", 0xBEE1) + b"\0"

    def frame(self, record: bytes) -> bytes:
        out, first = bytearray(), True
        while True:
            left = 32_768 - (self.size + len(out)) % 32_768
            if left < 7:
                out += b"\0" * left
                continue
            piece, record = record[: left - 7], record[left - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            out += struct.pack("<IHB", zlib.crc32(bytes([kind]) + piece), len(piece), kind) + piece
            first = False
            if not record:
                break
        self.size += len(out)
        return bytes(out)


def _monitor(k: int, at: float, began_at: float) -> str:
    return f"{k % 50}.0,20,{at - began_at:.3f}"


Line = Callable[[int, float], str]
# name in the job's folder -> a line for record k, dated `at`. The names are those that the frameworks give.
LINES: dict[str, Line] = {
    "slurm-7.out": _megatron,
    "train.log": lambda k, at: f"time={at:.3f} step={k} tokens={k * 4096} loss={_loss(k):.4f} step_time=0.1234{k % 10}",
    "metrics.jsonl": lambda k, at: json.dumps({"step": k, "loss": _loss(k), "ts": at}),
    "guard/progress.jsonl": lambda k, at: json.dumps({"v": 1, "ts": at, "rank": 0, "step": k, "loss": _loss(k)}),
    "mlruns/1/2/metrics/loss": lambda k, at: f"{int(at * 1000)} {_loss(k)} {k}",
    "progress.txt": lambda k, at: f"{_stamp(at)}\tJob ID: 7\t# GPUs: 8\tSaved checkpoint\tIteration: {k}\t"
    f"Job throughput: 180.1 TFLOP/s/GPU\tTokens (in billions): {k / 100:.2f}",
    "log.txt": lambda k, at: ":::MLLOG "
    + json.dumps(
        {"namespace": "", "time_ms": int(at * 1000), "event_type": "INTERVAL_END", "key": "block_stop",
         "value": None, "metadata": {"samples_count": k * 512}}
    ),
    "training.log": lambda k, at: f"{_stamp(at)} | INFO | train_inner | "
    + json.dumps({"epoch": 1, "loss": f"{_loss(k):.3f}", "num_updates": str(k), "wps": "0"}),
    "log.jsonl": lambda k, at: "DLLL "
    + json.dumps({"timestamp": str(at), "type": "LOG", "step": [0, k], "data": {"loss": _loss(k)}}),
    "result.json": lambda k, at: json.dumps(
        {"training_iteration": k, "timestamp": int(at), "timesteps_total": k * 4000, "pid": 42, "hostname": "n1"}
    ),
    "train_log.txt": lambda k, at: f"{{'loss': {_loss(k):.4f}, 'learning_rate': 1e-05, 'epoch': {k / 200:.3f}}}",
    "stats.jsonl": lambda k, at: json.dumps({"iteration": k, "loss": _loss(k)}),
    "deepspeed.log": lambda k, at: f"[{_stamp(at)},171] [INFO] [timer.py:199:stop] epoch=0/micro_step={k * 4}/"
    f"global_step={k}, RunningAvgSamplesPerSec=173.4, CurrSamplesPerSec=17{k % 10}.1",
    "titan.log": lambda k, at: f"[titan] {_stamp(at)},171 - root - INFO - \x1b[31mstep: {k:2d}  \x1b[32mloss: "
    f"{_loss(k):.4f}  \x1b[33mmemory: 12.3GiB(25%)  \x1b[34mtps: 12,345\x1b[0m",
    "olmo.log": lambda k, at: f"{_stamp(at)}.935\th1:0\tolmo.train:990\tINFO\t[step={k}/900000,epoch=0]",
    "lingua/metrics.jsonl": lambda k, at: json.dumps(
        {"global_step": k, "loss/out": _loss(k), "created_at": f"{_stamp(at, '%Y-%m-%dT%H:%M:%S')}.123456+00:00"}
    ),
    "clearml/metrics.jsonl": lambda k, at: json.dumps(
        [{"timestamp": int(at * 1000), "type": "training_stats_scalar", "task": "offline-1", "iter": k,
          "metric": "loss", "variant": "train", "value": _loss(k)}]
    ),
    "live/plots/metrics/loss.tsv": lambda k, at: f"{int(at * 1000)}\t{k}\t{_loss(k)}",
    # without a time
    "trainer_log.jsonl": lambda k, at: json.dumps(
        {"current_steps": k, "total_steps": 900_000, "loss": _loss(k), "epoch": k / 200, "elapsed_time": "0:01:02"}
    ),
    "maxtext.out": lambda k, at: f"completed step: {k}, seconds: 5.667, TFLOP/s/device: 134.924, "
    f"Tokens/s/device: 8672.758, total_weights: 196608, loss: {_loss(k):.3f}",
    "nanogpt.out": lambda k, at: f"iter {k}: loss {_loss(k):.4f}, time 19138.{k % 100:02d}ms, mfu 31.{k % 10}%",
    "log.csv": lambda k, at: f"{k},{_loss(k):.4f},0.5",
    "ds/Train_Samples_train_loss.csv": lambda k, at: f"{k * 512},{_loss(k)}",
    "log.lammps": lambda k, at: f"{k * 100:10d}   1.65{k % 90:02d}131     -4.7577       5.6728",
    "namd.out": lambda k, at: f"ENERGY: {k * 500:7d}      2101.1001      1802.2002      1403.3003        94.4004"
    "         -72005.5005      4506.6006         0.0000         0.0000     11007.7007         -51090.2        298.8",
    "OSZICAR": lambda k, at: f"RMM: {k:3d}    -0.{340_000 + k}00000E+02   -0.10000E-01   -0.90000E-02  3136   0.1E+00",
    "md.log": lambda k, at: f"           Step           Time\n   {k * 5000:12d}   {k * 10:12d}.00000\n",
    "rsl.out.0000": lambda k, at: "Timing for main: time "
    f"{_stamp(1_769_256_000 + 60.0 * k, '%Y-%m-%d_%H:%M:%S')} on domain   1:    0.8{k % 10}032 elapsed seconds",
}  # fmt: skip
HEADS = {
    "live/plots/metrics/loss.tsv": "timestamp\tstep\tloss\n",
    "log.csv": "epoch,loss,accuracy\n",
    "ds/Train_Samples_train_loss.csv": "step,Train/Samples/train_loss\n",
    "log.lammps": "Per MPI rank memory allocation (min/avg/max) = 3.154 | 3.154 | 3.154 Mbytes\n"
    "   Step          Temp          E_pair         Press\n",
    "md.log": "   nsteps                         = 900000000\n",
}
TABLES = ("progress.csv", "0.monitor.csv")  # a heading, then rows
BINARY = ("run-a1b2.wandb",)
# Whose writers leave it to a buffer of 8 KiB (stdout, unless it is flushed) or of 32 KiB (wandb-core's blocks);
# the others' flush each record (read in their sources). TensorBoard's waits for 120 s.
BUFFERED = {
    "slurm-7.out": 8192,
    "train.log": 8192,
    "training.log": 8192,
    "train_log.txt": 8192,
    "run-a1b2.wandb": 32768,
    **dict.fromkeys(
        ("deepspeed.log", "titan.log", "olmo.log", "maxtext.out", "nanogpt.out", "namd.out"), 8192
    ),
    **dict.fromkeys(("log.lammps", "OSZICAR", "md.log", "rsl.out.0000"), 8192),
}
EVENTS = "runs"  # the folder of TensorBoard's event file
# Their records claim no time.
CLOCKLESS = (
    "train_log.txt", "stats.jsonl", "trainer_log.jsonl", "maxtext.out", "nanogpt.out", "log.csv",
    "ds/Train_Samples_train_loss.csv", "log.lammps", "namd.out", "OSZICAR", "md.log", "rsl.out.0000",
)  # fmt: skip
# Dated to the second by a clock without a zone.
ZONELESS = ("slurm-7.out", "progress.txt", "training.log", "deepspeed.log", "titan.log", "olmo.log")


class File:
    """One log file's content, record after record."""

    def __init__(self, name: str, began_at: float, zone_s: float = 0.0) -> None:
        self.name, self.began_at = name, began_at
        self.shift_s = zone_s if name in ZONELESS else 0.0  # what its program's zone adds to UTC
        self._wandb = Wandb()

    def head(self) -> bytes:
        """What stands above the first record."""
        if self.name in BINARY:
            return self._wandb.head()
        if self.name == "progress.csv":
            return b"episode_reward_mean,training_iteration,timesteps_total,timestamp,loss\n"
        if self.name == "0.monitor.csv":
            return f'#{{"t_start": {self.began_at}, "env_id": "CartPole-v1"}}\nr,l,t\n'.encode()
        return HEADS.get(self.name, "").encode()

    def record(self, k: int, at: float) -> bytes:
        """Record k, dated `at`."""
        at += self.shift_s
        if self.name in BINARY:
            return self._wandb.frame(_wandb(k, at))
        if self.name == "progress.csv":
            return f"{k % 50}.0,{k},{k * 4000},{int(at)},{_loss(k):.4f}\n".encode()
        if self.name == "0.monitor.csv":
            return (_monitor(k, at, self.began_at) + "\n").encode()
        return (LINES[self.name](k, at) + "\n").encode()


def names() -> list[str]:
    """Every file but the event file, which its own library writes."""
    return [*LINES, *TABLES, *BINARY]
