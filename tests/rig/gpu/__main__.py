"""The board process: plays the GPUs of one node from what live processes say they are running (README.md)."""

import argparse
import contextlib
import os
import signal
import time
from pathlib import Path
from types import FrameType

from slurm_guard.simulate.boards import Board, Load
from slurm_guard.simulate.physics import MODELS
from tests.rig.gpu.build import build_nvml
from tests.rig.gpu.grants import GrantFiles, TruthFile
from tests.rig.gpu.loads import Client, LoadFolder
from tests.rig.gpu.state import MAX_BOARDS, StateFile

TICK_S = 0.05
MAX_STEP_S = 1.0  # after a stall the boards do not catch up more than this: time on a real GPU is lost too


class Node:
    """All boards of one node, and who works on them."""

    def __init__(self, boards: list[Board], folder: Path) -> None:
        self.boards = boards
        self.loads = LoadFolder(folder / "loads", len(boards))
        self.grants = GrantFiles(folder / "grants")
        self.truth = TruthFile(folder / "truth.jsonl")
        self._work: dict[tuple[int, int], dict[int, float]] = {}  # (pid, start ticks) -> GPU -> work so far
        self._seq = 0

    def tick(self, dt_s: float, at: float) -> None:
        """One step of all boards, and everybody's grants."""
        clients = self.loads.clients()
        for client in clients:
            self._work.setdefault((client.pid, client.start_ticks), {})
        for board in self.boards:
            self._step(board, dt_s, [client for client in clients if board.index in client.wish.gpus])
        alive = {(client.pid, client.start_ticks) for client in clients}
        self._work = {key: work for key, work in self._work.items() if key in alive}
        self._seq += 1
        for client in clients:
            self.grants.write(client, self._seq, at, self._work[client.pid, client.start_ticks])
        self.grants.forget(alive)

    def _step(self, board: Board, dt_s: float, clients: list[Client]) -> None:
        loads = []
        for client in clients:
            wish = client.wish
            done = self._work[client.pid, client.start_ticks].get(board.index, 0.0)
            want = None if wish.budget_s is None else max(0.0, wish.budget_s - done)
            demand = 0.0 if want == 0.0 else wish.demand
            loads.append(Load(client.pid, wish.kind, demand, wish.mem_mib, None, want))
        for client, grant in zip(clients, board.step(dt_s, loads), strict=True):
            work = self._work[client.pid, client.start_ticks]
            work[board.index] = work.get(board.index, 0.0) + grant.work_s
            self.truth.add(board.index, client, grant)

    def close(self) -> None:
        self.grants.close()
        self.truth.close()
        self.loads.close()


def prepare(folder: Path) -> None:
    """The folders with their modes; load files of an earlier life are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, mode in (("loads", 0o1733), ("grants", 0o711)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(mode)  # mkdir's mode is cut by the umask
    (folder / "ready").unlink(missing_ok=True)
    for path in (folder / "loads").iterdir():
        with contextlib.suppress(OSError):
            path.unlink()


def run(folder: Path, boards: list[Board]) -> None:
    """Tick until SIGTERM or SIGINT."""
    stop: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    node = Node(boards, folder)
    with StateFile(folder / "boards.state", boards) as state:
        last = time.monotonic()
        flushed = last
        while not stop:
            now, at = time.monotonic(), time.time()
            node.tick(min(MAX_STEP_S, max(1e-3, now - last)), at)
            last = now
            state.write(at, at - boards[0].time_s)
            if now - flushed >= 1.0:
                node.truth.flush(at, boards)
                flushed = now
            if not (folder / "ready").exists():
                (folder / "ready").write_text("".join(f"{board.uuid}\n" for board in boards), "ascii")
            time.sleep(max(0.0, last + TICK_S - time.monotonic()))
        node.truth.flush(time.time(), boards)
    node.close()
    (folder / "ready").unlink(missing_ok=True)


def main() -> None:
    """Parse the line, build the library if it is not there, play."""
    parser = argparse.ArgumentParser(prog="tests.rig.gpu", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument(
        "--model",
        default="h100",
        help="one of %(choices)s, or a comma-separated mix".replace("%(choices)s", ", ".join(MODELS)),
    )
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    keys = args.model.split(",")
    if not 1 <= args.count <= MAX_BOARDS or any(key not in MODELS for key in keys):
        parser.error(f"between 1 and {MAX_BOARDS} boards of {', '.join(MODELS)}")
    os.umask(0o022)
    prepare(args.dir)
    build_nvml(args.dir)
    run(args.dir, [Board(MODELS[keys[i % len(keys)]], args.seed, i) for i in range(args.count)])


if __name__ == "__main__":
    main()
