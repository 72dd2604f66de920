"""Nights that were played, kept as JSON lines: a benchmark goes on where it was left, and in any order."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from random import Random
from time import monotonic

from bench.detect.night import Order, Record, play

ROOT = Path(__file__).resolve().parents[2]
_MADE_BY = ("slurm_guard/audit", "bench/world", "bench/detect")  # other code, other records
_ONLY = ("night.py", "equip.py", "classes.py", "scenarios.py", "own_diverting.py", "own_honest.py", "wire.py",
         "senses.py", "violations.py", "past.py", "companions.py", "pairs.py", "fresh_diverting.py",
         "fresh_honest.py", "fresh_inside.py", "fresh_slow.py", "held_out.py", "held_out_honest.py",
         "held_out_inside.py", "held_out_slow.py", "third_beside.py", "third_honest.py", "third_inside.py",
         "third_process.py", "third_slow.py")  # fmt: skip


def code_digest() -> str:
    """Of all that decides a record: the audit, the world and what draws it."""
    found = hashlib.sha256()
    for folder in _MADE_BY:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if folder != "bench/detect" or path.name in _ONLY:
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def load(path: Path) -> dict[str, list[Record]]:
    """Whole nights of the file by key; a night that was cut off is left out, other code's are an error."""
    nights: dict[str, list[Record]] = {}
    if not path.exists():
        return nights
    code = code_digest()
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed
        if row["code"] != code:
            raise SystemExit(f"{path} was made by other code ({row['code']}, now {code}): name another file")
        nights[row["night"]] = row["records"]
    return nights


def play_all(orders: list[Order], path: Path | None, jobs: int, minutes: float) -> dict[str, list[Record]]:
    """Records of these nights by key. Nights in the file are taken from it, others are added to it.

    No night is begun after `minutes`. The processes are as nice as can be.
    """
    done = {} if path is None else load(path)
    wanted = {order.key for order in orders}
    left = [order for order in orders if order.key not in done]
    code = code_digest()
    for key, records in _played(left, jobs, monotonic() + 60 * minutes):
        done[key] = records
        if path is not None:
            line = json.dumps({"night": key, "code": code, "records": records}) + "\n"
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
    return {key: records for key, records in sorted(done.items()) if key in wanted}


def shuffled(orders: Iterable[Order], seed: str) -> list[Order]:
    """Round by round, and in a round in an order that favours nobody: a part of it is a sample of it."""
    every = sorted(orders, key=lambda order: (order.night, order.key))
    rng = Random(f"order/{seed}")
    places = {order.key: rng.random() for order in every}
    return sorted(every, key=lambda order: (order.night, places[order.key]))


def _played(orders: list[Order], jobs: int, until_s: float) -> Iterator[tuple[str, list[Record]]]:
    if jobs == 1:
        os.nice(19)
        for order in orders:
            if monotonic() > until_s:
                return
            yield order.key, play(order)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=os.nice, initargs=(19,)) as pool:
        queue = iter(orders)
        running: dict[Future[list[Record]], str] = {}
        while True:
            while len(running) < 2 * jobs and monotonic() <= until_s:
                following = next(queue, None)
                if following is None:
                    break
                running[pool.submit(play, following)] = following.key
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
