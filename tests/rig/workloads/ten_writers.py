"""Ten logs of one training, each as its framework keeps it: five held open, five opened anew for each record.

Into the folder named by the first argument; the second is how long, in seconds; the third an offset of all
counters, by which a job's records are told from another's.
"""

import json
import os
import struct
import sys
import time
import zlib
from pathlib import Path
from typing import IO, Any

from tensorboardX import SummaryWriter


def wandb_row(step: int) -> bytes:
    """A row of history as a whole chunk of W&B's file; it never meets a block's end here."""

    def field(number: int, payload: bytes) -> bytes:
        tag = number << 3 | 2
        head = bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
        return head + bytes([len(payload)]) + payload

    items = {"_step": step, "_timestamp": time.time(), "loss": 2.5}
    row = b"".join(
        field(1, field(2, name.encode()) + field(16, json.dumps(value).encode()))
        for name, value in items.items()
    )
    data = field(2, row)
    return struct.pack("<IHB", zlib.crc32(b"\1" + data), len(data), 1) + data


def held(folder: Path) -> dict[str, IO[bytes]]:
    """The files that stay open, but the event file."""
    files: dict[str, IO[bytes]] = {
        name: (folder / name).open("ab", buffering=0)
        for name in ("train.log", "progress.csv", "run-ten.wandb")
    }
    files["progress.csv"].write(b"episode_reward_mean,training_iteration,timestamp,loss\n")
    files["run-ten.wandb"].write(b":W&B\xe1\xbe\0")
    return files


def append(path: Path, text: str) -> None:
    """Open, write, close."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def one_record(folder: Path, files: dict[str, IO[bytes]], events: Any, step: int) -> None:
    """Everybody's record of one step."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    print(
        f" [{stamp}] iteration {step:8d}/  999999 | consumed samples: {step * 64:12d} | lm loss: 2.5E+00 |",
        flush=True,
    )
    files["train.log"].write(f"time={now:.3f} step={step} loss=2.5\n".encode())
    files["progress.csv"].write(f"1.5,{step},{int(now)},2.5\n".encode())
    files["run-ten.wandb"].write(wandb_row(step))
    events.add_scalar("train/loss", 2.5, step)
    append(folder / "metrics.jsonl", json.dumps({"step": step, "loss": 2.5, "ts": now}) + "\n")
    append(folder / "mlruns" / "1" / "2" / "metrics" / "loss", f"{int(now * 1000)} 2.5 {step}\n")
    append(folder / "log.txt", ":::MLLOG " + json.dumps(
        {"time_ms": int(now * 1000), "key": "block_stop", "value": None, "metadata": {"samples_count": step}}
    ) + "\n")  # fmt: skip
    append(folder / "progress.txt", f"{stamp}\tJob ID: 1\t# GPUs: 1\tSaved checkpoint\tIteration: {step}\n")
    append(Path(os.environ["SLURM_GUARD_PROGRESS"]), f"step={step} loss=2.5\n")


def main() -> None:
    """Write a record about every quarter of a second."""
    folder, seconds, first = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    (folder / "mlruns" / "1" / "2" / "metrics").mkdir(parents=True)
    files = held(folder)
    events = SummaryWriter(str(folder / "runs"), flush_secs=1)
    until = time.monotonic() + seconds
    step = first
    while time.monotonic() < until:
        step += 1
        one_record(folder, files, events, step)
        time.sleep(0.25)
    for file in files.values():
        file.close()
    events.close()


if __name__ == "__main__":
    main()
