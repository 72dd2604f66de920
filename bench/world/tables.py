"""Rows of the lake as the sampler, the hooks and the node's log reader would have written them."""

import json
import math
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import polars as pl

from bench.world.meters import Tally
from bench.world.physics import UID, Window, World
from bench.world.spec import Process, Record
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Run
from slurm_guard.sampler.rhythm import describe

EPOCH_AT = 1_780_000_000.0
_BOOT = "0123abcd"
_RECORD_B = 120
_LOOK_S = 60.0  # how often the sampler looks at files
_GAP_LIMIT_S = 5.0


@dataclass(slots=True)
class Tables:
    """The lake's tables as they fill."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def frames(self) -> dict[str, pl.DataFrame]:
        """Every table of the schema; what a row does not say is null."""
        return {
            name: pl.DataFrame(self.rows[name], schema=schema, orient="row")
            for name, schema in TABLES.items()
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where the run lived."""

    node: str
    job_id: int
    config: str = ""  # that its programs were started with; empty: none

    @property
    def key(self) -> str:
        """The node's run key."""
        return f"c/{self.job_id}/{self.node}/{_BOOT}/{int(EPOCH_AT * 1000)}"

    def row(self, **cells: Any) -> dict[str, Any]:
        """A row of this node and run."""
        return {"cluster": "c", "node": self.node, "run": self.key, **cells}

    def gpu(self, index: int) -> str:
        """The board's UUID."""
        return f"G-{self.node}-{index}"


def write_run(tables: Tables, world: World, place: Place) -> Run:
    """Add what is known of a run that has lived; returns what accounting has of it."""
    spec, rows = world.spec, tables.rows
    counts = _flushes_by_window(world)
    lives = _lives(world)
    for window in world.windows:
        _write_window(tables, world, (place, lives), window, counts.get(window.from_s, 0))
    began = (process for process in world.processes.values() if process.born_s < spec.length_s)
    rows["processes"] += [_process(world, place, process) for process in began]
    _write_flows(tables, world, place)
    gpus = list(spec.all_gpus)
    rows["tickets"].append(place.row(at=EPOCH_AT, job_id=place.job_id, boot_id=_BOOT, uid=UID, gpus=gpus))
    if spec.cut_back_s <= 0:
        seal = {"ended_by": "epilog", "n_segments": 1, "n_windows": 1}
        rows["seals"].append(place.row(at=EPOCH_AT + spec.length_s + 5, **seal))
    if spec.has_log:
        _write_logs(tables, world, place)
    return _accounted(world, place)


def _accounted(world: World, place: Place) -> Run:
    spec = world.spec
    return Run(
        id=f"c/{place.job_id}/{int(EPOCH_AT)}",
        cluster="c",
        job_id=place.job_id,
        job=str(place.job_id),
        user="u",
        uid=UID,
        account="lab",
        partition="gpu",
        qos="normal",
        name="train",
        state="COMPLETED",
        submit_at=EPOCH_AT - 60,
        start_at=EPOCH_AT,
        end_at=EPOCH_AT + spec.length_s,
        from_at=EPOCH_AT + spec.cut_front_s,
        until_at=EPOCH_AT + spec.length_s - spec.cut_back_s,
        suspended_s=0,
        nodes=(place.node,),
        n_gpus=spec.n_gpus,
        gpu_type=spec.board.lower(),
        comment=None,
        work_dir="/home/u",
        stdout=None,
    )


# -- what the sampler reads


Lives = dict[tuple[int, str], tuple[float, float]]


def _lives(world: World) -> Lives:
    """(GPU, process) -> from its first to its last work there: so long it has a context."""
    found: Lives = {}
    for window in world.windows:
        for name, sm_s in window.tally.sm_s.items():
            if sm_s > 0:
                first, _ = found.get((window.gpu, name), (window.from_s, 0.0))
                found[window.gpu, name] = (first, window.until_s)
    return found


def _write_window(
    tables: Tables, world: World, at: tuple[Place, Lives], window: Window, n_records: int
) -> None:
    spec, (place, lives) = world.spec, at
    span = {"start_at": EPOCH_AT + window.from_s, "end_at": EPOCH_AT + window.until_s}
    holder = place.key if window.from_s < spec.length_s else None
    gpu = {"gpu": place.gpu(window.gpu)}
    board = {"gpu_index": window.gpu, "model": spec.board, "shared": False, "why": json.dumps({})}
    limit_mw = int(world.boards[window.gpu].limit_w * 1000)
    cells = {**gpu, **board, **span, "power_limit_mw": limit_mw, "procs_truncated": False}
    width_ms = int((window.until_s - window.from_s) * 1000)
    row = place.row(**cells, **_sums(window.tally, width_ms, spec.measured))
    tables.rows["windows"].append({**row, "run": holder})
    if not spec.measured & {"shares", "list"}:
        return
    logger = world.loggers()[-1]
    here = [n for (gpu, n), (a, b) in lives.items() if gpu == window.gpu and a <= window.from_s < b]
    for name in window.tally.sm_s if "shares" in spec.measured else here:
        process, sm_s = world.processes[name], window.tally.sm_s.get(name, 0.0)
        sm_ms = int(sm_s * 1000 * process.sm_factor * max(0.0, 1 + 0.03 * world.rng.gauss(0, 1)))
        if sm_ms <= 0 and "shares" in spec.measured:
            continue
        written_b = int(window.written_b.get(name, 0)) + (n_records * _RECORD_B if name == logger else 0)
        share = {**gpu, **span, "window_run": holder, "pid": process.pid, "start_ticks": 1}
        share["sm_ms"] = sm_ms if "shares" in spec.measured else None
        more = {"mem_mib": spec.held_mib, "cpu_ms": width_ms // 2}
        known_b = written_b if spec.is_written_known else None
        written = {"written_b": known_b, "stored_b": known_b}
        row = place.row(**share, **more, **written)
        tables.rows["shares"].append({**row, "run": place.key if process.of_run else None})


def _sums(tally: Tally, width_ms: int, measured: frozenset[str]) -> dict[str, Any]:
    """A window's measurements; what the board does not measure is null."""
    covered_ms = tally.n * 1000
    has_power = bool(measured & {"energy", "power"})
    has_busy = "busy" in measured
    rhythm = describe(tally.looks, _GAP_LIMIT_S)
    periods = None if rhythm is None else rhythm.periods
    return {
        "n": tally.n,
        "covered_ms": covered_ms,
        "gap_ms": width_ms - covered_ms,
        "energy_mj": int(tally.energy_j * 1000) if "energy" in measured else None,
        "power_mw": int(tally.energy_j / tally.n * 1000) if has_power else None,
        "busy_ms": int(tally.busy_s / tally.n * covered_ms) if has_busy else None,
        "sm_cycles": int(tally.cycles) if "cycles" in measured else None,
        "fs_hz": None if rhythm is None else rhythm.fs_hz,
        "power_q_mw": rhythm.power_q_mw if rhythm is not None and has_power else None,
        "busy_q_pct": rhythm.busy_q_pct if rhythm is not None and has_busy else None,
        "period_s": None if periods is None else [period for period, _ in periods],
        "period_strength": None if periods is None else [strength for _, strength in periods],
        **(_pipes(tally) if "pipes" in measured else {}),
    }


def _pipes(tally: Tally) -> dict[str, Any]:
    """What GPM tells: time of the SMs and of their pipes."""
    tensor_ms, int_ms, fp32_ms, dram_ms = (int(1000 * s) for s in tally.pipe_s)
    more = json.dumps({"FP32_UTIL": fp32_ms, "FP16_UTIL": 0, "FP64_UTIL": 0})
    sm_ms = int(1000 * sum(tally.sm_s.values()))
    return {"sm_ms": sm_ms, "tensor_ms": tensor_ms, "int_ms": int_ms, "dram_ms": dram_ms, "more": more}


def _flushes_by_window(world: World) -> dict[float, int]:
    """How many records were written in each window, by the window's begin."""
    spec, width_s = world.spec, world.spec.window_s
    counts: dict[float, int] = {}
    for flushed_s in _flushes(spec.log_buffer_b, world.records, spec.length_s):
        begin_s = flushed_s // width_s * width_s
        counts[begin_s] = counts.get(begin_s, 0) + 1
    return counts


def _process(world: World, place: Place, process: Process) -> dict[str, Any]:
    program = process.program
    row = place.row(
        how="cgroup",
        pid=process.pid,
        start_ticks=1,
        start_at=EPOCH_AT + process.born_s,
        uid=process.uid,
        ppid=world.processes["r0.0"].pid if program.ppid is None else program.ppid,
        parents=list(program.parents),
        exe=program.exe,
        exe_flags=["tmp"] if program.exe.startswith("/tmp") else [],
        comm=process.name,
        cmdline=f"{program.cmdline} --config {place.config}" if place.config else program.cmdline,
        cgroup="/job",
        gpus=[place.gpu(gpu) for gpu in process.gpus],
        first_seen_at=EPOCH_AT + process.born_s,
        last_seen_at=EPOCH_AT + max(process.born_s, process.last_s),
        gone=True,
    )
    return {**row, "run": place.key if process.of_run else None}


def _write_flows(tables: Tables, world: World, place: Place) -> None:
    """A connection is seen from both its ends."""
    seen = {"first_seen_at": EPOCH_AT, "last_seen_at": EPOCH_AT + world.spec.length_s, "gone": True}
    ends = ("127.0.0.1:5000", "127.0.0.1:6000")
    for side in (side for side in world.spec.sides if side.has_flow):
        for name, local, peer in ((side.name, *ends), (world.loggers()[0], *reversed(ends))):
            flow = {"exe": "x", "proto": "tcp", "local": local, "peer": peer, "state": "ESTAB", "inode": 1}
            tables.rows["flows"].append(place.row(pid=world.processes[name].pid, **flow, **seen))


# -- logs


def _write_logs(tables: Tables, world: World, place: Place) -> None:
    spec, processes = world.spec, world.processes
    holders = [processes[name].pid for name in world.loggers()]
    if spec.is_log_inherited:
        holders = [process.pid for process in processes.values() if process.of_run]
    holders += [processes[side.name].pid for side in spec.sides if side.holds_log and not side.in_rank]
    how = "stdout" if spec.is_log_inherited else spec.log_how
    records = [record for record in world.records if record.at_s <= spec.length_s]
    files = count()
    _write_log(tables, world, place, (next(files), how, holders), records)
    for name, of_side in world.side_records.items():
        _write_log(tables, world, place, (next(files), "fd", [processes[name].pid]), of_side)


def _write_log(
    tables: Tables,
    world: World,
    place: Place,
    opened: tuple[int, str, list[int]],
    records: list[Record],
) -> None:
    """One log file: who holds it, and its lines with the looks between which they reached the disk."""
    file, how, pids = opened
    read = {"read": 1, "read_at": EPOCH_AT + world.spec.length_s + 10, "file": file, "track": ""}
    size = _RECORD_B * len(records)
    kind = {"path": f"/home/u/{place.node}.{file}.log", "how": how, "source": "kv", "bind_conf": 0.95}
    state = {
        "size": size,
        "ino": 1000 * place.job_id + file,
        "n": len(records),
        "read_b": size,
        "problems": [],
    }
    tables.rows["logs"].append(place.row(**read, **kind, **state, pids=sorted(set(pids))))
    for place_in_file, (record, flushed_s) in enumerate(
        zip(records, _flushes(world.spec.log_buffer_b, records, world.spec.length_s), strict=True)
    ):
        offset = _RECORD_B * (place_in_file + 1)
        row = place.row(**read, **_point(world, record, flushed_s), offset=offset, flags=[])
        tables.rows["points"].append(row)


def _flushes(buffer_b: int, records: list[Record], end_s: float) -> list[float]:
    """When each record reached the disk: once the buffer is full, or at the end."""
    instants = [end_s] * len(records)
    begin = 0
    for place, record in enumerate(records):
        if (place + 1 - begin) * _RECORD_B >= buffer_b:
            instants[begin : place + 1] = [record.at_s] * (place + 1 - begin)
            begin = place + 1
    return instants


def _point(world: World, record: Record, flushed_s: float) -> dict[str, Any]:
    spec = world.spec
    clock_s = spec.log_clock_s
    look_s = flushed_s // _LOOK_S * _LOOK_S
    told = {"step": record.step, "samples": record.samples, "tokens": record.tokens}
    counters = {
        name: int(value) if value is not None and name in spec.log_fields else None
        for name, value in told.items()
    }
    loss = None
    if record.step is not None:
        loss = 2.0 / (1 + record.step / 200) + 0.5 + spec.loss_noise * world.rng.gauss(0, 1)
    off_s = spec.log_clock_off_s + spec.log_clock_drift * record.at_s
    # A clock that is off still shows its own whole ticks.
    at_s = None if clock_s is None else math.floor((record.at_s + off_s) / clock_s) * clock_s
    return {
        "segment": record.segment,
        "at": None if at_s is None else EPOCH_AT + at_s,
        "obs_lo_at": EPOCH_AT + look_s,
        "obs_hi_at": EPOCH_AT + min(look_s + _LOOK_S, spec.length_s + 3),
        "loss": loss,
        "phase": record.phase,
        **counters,
    }
