"""Small worlds for the audit's tests, from a few plain statements. Shares no code with the simulator.

    facts = build(World(gpus=1, tenants=[Tenant("train", 0, 10_800, share=0.9)], log=Log(step_s=6.0)))

One node, windows of `window_s`, an invented board (idle 60 W, limit 500 W). A tenant is a process with a
share of its GPUs' time and a level of power while it works.
"""

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from slurm_guard.audit.facts import Facts
from slurm_guard.config import AuditConfig, NetworkConfig
from slurm_guard.lake.schema import TABLES
from slurm_guard.model import Run
from tests.talk import Counted, Handed, Talk, brief_rows, flow_rows, relay_rows

AT = 1_780_000_000.0
NODE = "n1"
UID = 1000
IDLE_MW, LIMIT_MW = 60_000, 500_000
PATH = "/home/ann/train.log"


@dataclass(frozen=True)
class Tenant:
    """A process. Times in seconds from the run's start; `share` of each GPU's time, `level` of power 0..1."""

    name: str
    from_s: float
    until_s: float
    share: float = 0.9
    level: float = 0.8
    gpus: tuple[int, ...] = (0,)
    uid: int = UID
    job_id: int | None = 7  # null: of no run
    exe: str = "/usr/bin/python3"
    ppid: int = 50
    parents: tuple[str, ...] = ("bash", "slurmstepd")
    born_s: float | None = None  # null: when it first works
    period_s: float | None = None  # rhythm that its work shows
    pauses: tuple[tuple[float, float], ...] = ()
    written_b: int | None = 0  # in each window; null: not known
    bursts: tuple[tuple[float, int], ...] = ()  # (seconds, bytes) written beside that
    stored_b: int | None = 0  # in each window, for storage; null: not known
    read_b: tuple[
        tuple[float, int], ...
    ] = ()  # (from_s, bytes in each window from then on); empty: not known
    listed: bool = True  # by NVML; else it only shows by the GPU's device file, which it has open
    pipe: float | None = None  # share of its time in which the integer pipe works; null: GPM is silent
    floats: float | None = None  # … in which the floating-point pipes do; null: the GPU does not tell of them
    dram: float = 0.2  # … in which memory moves, where the GPU tells of the pipes
    script: str | None = None  # that its command line names; null: one of its own name


@dataclass(frozen=True)
class Log:
    """Steps of `step_s` from from_s to until_s, a record every `every`; `paces`: (from_s, step_s)."""

    step_s: float = 6.0
    from_s: float = 120.0
    until_s: float = 1e9
    every: int = 5
    jitter: float = 0.01
    paces: tuple[tuple[float, float], ...] = ()
    pauses: tuple[tuple[float, float], ...] = ()
    restarts: tuple[float, ...] = ()  # seconds at which the counter begins anew, or goes on from …
    goes_on: tuple[int, ...] = ()  # … these: the first where the log begins, then at each restart; missing: 0
    clock: float | None = 1e-3  # resolution of its own times, null: none
    loss_noise: float = 0.02
    losses: bool = True  # a loss in each record
    loss_seed: int | None = (
        None  # of the noise of the losses alone: the same in every world with as many records
    )
    how: str = "fd"
    writer: str = "train"
    flags: tuple[str, ...] = ()
    took_s: float | None = None  # printed step time, the same in every record
    phases: tuple[tuple[float, str], ...] = ()
    apart_s: float = 0.0  # how much later the log's own clock is
    runs: float = 1.0  # pace of the log's own clock
    tokens: int = 0  # of each step, told in each record; 0: the log counts steps alone
    saves: tuple[float, ...] = ()  # seconds at which it says that it saved a checkpoint
    lump: int = 1  # records that its writer keeps back until they reach the disk together
    source: str = "kv"  # its reader
    params: int | None = None  # of the model, with those that every token passes, and who says so
    dense: int | None = None
    params_from: str = "header"


@dataclass(frozen=True)
class World:
    """One run on one node, and whatever else is there."""

    length_s: float = 10_800.0
    gpus: int = 1
    board_gpus: int = 2  # on the node
    tenants: tuple[Tenant, ...] = ()
    log: Log | None = None
    window_s: float = 60.0
    fs_hz: float = 1.0
    noise: float = 0.01
    watch_s: float = 0.0  # the node is watched this long after the run
    ticket: bool = True
    comments: tuple[str | None, str | None] = (None, None)  # at the begin, at the end
    seal: bool = True
    heard: bool = True
    split: bool = True  # NVML gives per-process times
    timed: bool = True  # … else it lists processes alone, as on an instance of MIG
    model: str = "H100"  # of its boards
    mig: str | None = None
    meters: tuple[str, ...] = ("energy", "busy")  # … "cycles", "gpm", "clock"; what the boards give
    seed: int = 1
    config: AuditConfig = field(default_factory=lambda: AuditConfig(least_gpu_h=0.2))
    talk: tuple[Talk, ...] = ()
    handed: tuple[Handed, ...] = ()
    counted: tuple[Counted, ...] = ()
    nets: tuple[str | None, str | None] = (None, None)  # snapshots of the network, at the begin, at the end
    saved: tuple[tuple[float, int, int], ...] = ()  # (seconds, step, bytes) of checkpoints found on disk
    names: dict[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)  # as a resolver told them
    network: NetworkConfig = field(default_factory=NetworkConfig)


def run_of(world: World, job_id: int = 7, uid: int = UID) -> Run:
    """Accounting's row of the world's run."""
    return Run(
        f"c/{job_id}/{int(AT)}", "c", job_id, str(job_id), "ann", uid, "lab", "gpu", "normal", "train",
        "COMPLETED", AT - 60, AT, AT + world.length_s, AT, AT + world.length_s, 0, (NODE,), world.gpus,
        "h100", None, "/home/ann", None,
    )  # fmt: skip


def key(job_id: int | None, at: float = AT) -> str | None:
    """The node's run key."""
    return None if job_id is None else f"c/{job_id}/{NODE}/0123abcd/{int(at * 1000)}"


def frames_of(rows: dict[str, list[dict[str, Any]]]) -> dict[str, pl.DataFrame]:
    """Every table; what a row leaves out is null."""
    base = {"cluster": "c", "node": NODE}
    return {
        name: pl.DataFrame([{**base, **row} for row in rows.get(name, [])], schema=schema, orient="row")
        if rows.get(name)
        else pl.DataFrame(schema=schema)
        for name, schema in TABLES.items()
    }


def build(world: World) -> Facts:
    """The world as the audit is given it."""
    rng = random.Random(world.seed)
    rows: dict[str, list[dict[str, Any]]] = {}
    if world.heard:
        _windows(world, rng, rows)
        _processes(world, rows)
        _marks(world, rows)
        _network(world, rows)
        if world.log is not None:
            _points(world, world.log, rng, rows)
        _saved(world, rows)
    runs = {7: run_of(world)}
    for tenant in world.tenants:
        if tenant.job_id is not None and tenant.job_id not in runs:
            other = run_of(replace(world, gpus=1), tenant.job_id, tenant.uid)
            runs[tenant.job_id] = other
            _ticket(rows, tenant.job_id, [world.board_gpus - 1])
    until = AT + world.length_s + world.watch_s + 3600
    frames = frames_of(rows)
    return Facts(
        "c", AT - 60, until, "0", tuple(runs.values()), frames, world.config, (), world.network, world.names
    )


def pid_of(world: World, name: str) -> int:
    """A tenant's pid by its name."""
    return 100 + [t.name for t in world.tenants].index(name)


def _works(tenant: Tenant, a: float, b: float) -> float:
    """Seconds of [a, b) in which the tenant may work."""
    on = max(0.0, min(b, tenant.until_s) - max(a, tenant.from_s))
    off = sum(max(0.0, min(b, y) - max(a, x)) for x, y in tenant.pauses)
    return max(0.0, on - off)


def _windows(world: World, rng: random.Random, rows: dict[str, list[dict[str, Any]]]) -> None:
    n = int((world.length_s + world.watch_s) / world.window_s)
    for k in range(n):
        a, b = k * world.window_s, (k + 1) * world.window_s
        for gpu in range(world.board_gpus):
            holder = 7 if gpu < world.gpus and a < world.length_s and world.ticket else None
            others = [t.job_id for t in world.tenants if t.job_id not in (7, None)]
            if others and gpu == world.board_gpus - 1 and a < world.length_s:
                holder = others[0]
            _window(world, rng, rows, (a, b, gpu, holder))


def _window(
    world: World,
    rng: random.Random,
    rows: dict[str, list[dict[str, Any]]],
    what: tuple[float, float, int, Any],
) -> None:
    a, b, gpu, holder = what
    here = [(t, _works(t, a, b)) for t in world.tenants if gpu in t.gpus]
    times = [t.share * on * 1000 * (1 + world.noise * rng.gauss(0, 1)) for t, on in here]
    span = (b - a) * 1000
    scale = min(1.0, span / sum(times)) if sum(times) > 0 else 1.0
    times = [v * scale for v in times]
    energy = IDLE_MW * span / 1000 * (1 + 0.002 * rng.gauss(0, 1))
    for (tenant, _), ms in zip(here, times, strict=True):
        energy += tenant.level * (LIMIT_MW - IDLE_MW) * ms / 1000 * (1 + 0.003 * rng.gauss(0, 1))
    pipe = sum(t.pipe * ms for (t, _), ms in zip(here, times, strict=True) if t.pipe is not None)
    piped = any(t.pipe is not None for t in world.tenants)
    periods = [t.period_s for (t, on) in here if t.period_s is not None and on > 0.9 * (b - a)]
    run = key(holder)
    where = {"run": run, "gpu": f"GPU-{gpu}", "start_at": AT + a, "end_at": AT + b}
    rows.setdefault("windows", []).append({
        **where, "gpu_index": gpu, "model": world.model, "mig": world.mig, "shared": False,
        "n": int(span / 1000 * world.fs_hz), "covered_ms": int(span), "gap_ms": 0,
        "power_limit_mw": LIMIT_MW, "fs_hz": world.fs_hz,
        "period_s": periods, "period_strength": [0.9] * len(periods), "procs_truncated": False, "why": "{}",
        **_meters(world, energy, times, span), "int_ms": int(pipe) if piped else None,
        **_floats(world, [t for t, _ in here], times),
        **_held(world, rows, where, [t for t, on in here if on > 0]),
    })  # fmt: skip
    if not world.split:
        return
    for (tenant, on), ms in zip(here, times, strict=True):
        if on > 0 and tenant.listed:
            rows.setdefault("shares", []).append({
                "run": key(tenant.job_id), "window_run": run, "gpu": f"GPU-{gpu}", "start_at": AT + a,
                "end_at": AT + b, "pid": pid_of(world, tenant.name), "start_ticks": 1,
                "sm_ms": int(0.9 * ms) if world.timed else None,
                "mem_mib": 8000, "cpu_ms": int(on * 900), **_moved(tenant, a, b),
            })  # fmt: skip


def _moved(tenant: Tenant, a: float, b: float) -> dict[str, int | None]:
    """What the process read and wrote in a window."""
    burst_b = sum(n for t, n in tenant.bursts if a <= t < b)
    written_b = None if tenant.written_b is None else tenant.written_b + burst_b
    read_b = next((n for t, n in reversed(tenant.read_b) if a >= t), None)
    return {"written_b": written_b, "stored_b": tenant.stored_b, "read_b": read_b}


def _floats(world: World, here: list[Tenant], times: list[float]) -> dict[str, Any]:
    """The pipes as Hopper tells of them: half of the floating-point time in the tensor cores, half in
    FP32."""
    if all(t.floats is None for t in world.tenants):
        return {}
    ms = sum((t.floats or 0.0) * ms for t, ms in zip(here, times, strict=True))
    more = {"FP16_UTIL": 0, "FP32_UTIL": int(ms / 2), "FP64_UTIL": 0}
    whole = {
        "sm_ms": int(0.95 * sum(times)),
        "dram_ms": int(sum(t.dram * ms for t, ms in zip(here, times, strict=True))),
    }
    return {**whole, "tensor_ms": int(ms / 2), "more": json.dumps(more)}


def _held(
    world: World, rows: dict[str, list[dict[str, Any]]], where: dict[str, Any], here: list[Tenant]
) -> dict[str, Any]:
    """What the look for open device files adds to a window; worlds where all are listed have none, as nodes
    of an older release."""
    if all(t.listed for t in world.tenants):
        return {}
    mine = [t for t in here if key(t.job_id) == where["run"] is not None]
    others = [t for t in here if not t.listed and t not in mine]
    rows.setdefault("held", []).extend(
        {
            **{name: where[name] for name in ("gpu", "start_at", "end_at")},
            "run": key(tenant.job_id),
            "window_run": where["run"],
            "pid": pid_of(world, tenant.name),
            "start_ticks": 1,
            "uvm": True,
        }
        for tenant in others
    )
    return {"n_held": len(others), "n_own": len(mine), "held_truncated": False}


def _meters(world: World, energy: float, times: list[float], span: float) -> dict[str, Any]:
    """What the boards can say of a window's work; null: nothing."""
    found: dict[str, Any] = {}
    if "energy" in world.meters:
        power = int(energy * 1000 / span)
        shape = [int(power * f) for f in (0.97, 0.99, 1.0, 1.01, 1.03)]
        found |= {"energy_mj": int(energy), "power_mw": power, "power_q_mw": shape}
    if "busy" in world.meters:
        found |= {"busy_ms": int(sum(times)), "busy_q_pct": [int(100 * sum(times) / span)] * 5}
    if "gpm" in world.meters:
        found["sm_ms"] = int(0.9 * sum(times))
    if "clock" in world.meters:
        found["sm_clock_mhz"] = 1400
    if "cycles" in world.meters:
        found["sm_cycles"] = int(1.4e6 * sum(times))
    return found


def _processes(world: World, rows: dict[str, list[dict[str, Any]]]) -> None:
    for tenant in world.tenants:
        born = tenant.from_s if tenant.born_s is None else tenant.born_s
        rows.setdefault("processes", []).append({
            "run": key(tenant.job_id), "how": "cgroup", "pid": pid_of(world, tenant.name), "start_ticks": 1,
            "start_at": AT + born, "uid": tenant.uid, "ppid": tenant.ppid, "parents": list(tenant.parents),
            "exe": tenant.exe, "exe_flags": [], "comm": tenant.name,
            "cmdline": f"python {tenant.name}.py" if tenant.script is None else f"python {tenant.script}",
            "cgroup": "/job", "gpus": [f"GPU-{g}" for g in tenant.gpus], "first_seen_at": AT + tenant.from_s,
            "last_seen_at": AT + tenant.until_s, "gone": True,
        })  # fmt: skip


def _network(world: World, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Connections of the run, and one to the login node by which the node's own address is known."""
    pids = {tenant.name: pid_of(world, tenant.name) for tenant in world.tenants}
    rows["flows"] = flow_rows(world.talk, key(7), AT, pids)
    rows["briefs"] = brief_rows(world.counted, key(7), AT)
    rows["relays"] = relay_rows(world.handed, key(7), AT, pids)


def _ticket(rows: dict[str, list[dict[str, Any]]], job_id: int, gpus: list[int]) -> None:
    rows.setdefault("tickets", []).append(
        {"run": key(job_id), "at": AT, "job_id": job_id, "boot_id": "0123abcd", "uid": UID, "gpus": gpus}
    )


def _marks(world: World, rows: dict[str, list[dict[str, Any]]]) -> None:
    if world.ticket:
        _ticket(rows, 7, list(range(world.gpus)))
        rows["tickets"][-1]["comment"] = world.comments[0]
        rows["tickets"][-1]["net"] = world.nets[0]
        at = AT + world.length_s
        rows.setdefault("ends", []).append(
            {
                "run": key(7),
                "at": at,
                "job_id": 7,
                "boot_id": "0123abcd",
                "uid": UID,
                "comment": world.comments[1],
                "net": world.nets[1],
            }
        )
    if world.seal and world.ticket:
        at = AT + world.length_s + 5
        rows.setdefault("seals", []).append(
            {"run": key(7), "at": at, "ended_by": "epilog", "n_segments": 1, "n_windows": 1}
        )


def steps_of(log: Log, length_s: float, rng: random.Random) -> list[tuple[float, int, int]]:
    """(seconds, step, segment) of every record."""
    found: list[tuple[float, int, int]] = []
    t, step, segment = log.from_s, (*log.goes_on, 0)[0], 0
    while t < min(log.until_s, length_s):
        if segment < len(log.restarts) and t >= log.restarts[segment]:
            segment += 1
            step = log.goes_on[segment] if segment < len(log.goes_on) else 0
        pace = next((p for s, p in reversed(log.paces) if t >= s), log.step_s)
        t += pace * (1 + log.jitter * rng.gauss(0, 1))
        for a, b in log.pauses:
            if a <= t < b:
                t = b
        step += 1
        if step % log.every == 0 and t < length_s:
            found.append((t, step, segment))
    return found


def _size(log: Log) -> dict[str, Any]:
    """What tells the size of the log's model; nothing where nobody does."""
    if log.params is None:
        return {}
    return {"params": log.params, "dense": log.dense, "params_from": log.params_from}


def _points(world: World, log: Log, rng: random.Random, rows: dict[str, list[dict[str, Any]]]) -> None:
    records = steps_of(log, world.length_s, rng)
    run, read_at = key(7), AT + world.length_s + 10
    writer = pid_of(world, log.writer) if any(t.name == log.writer for t in world.tenants) else 99
    rows.setdefault("logs", []).append({
        "run": run, "read": 1, "read_at": read_at, "file": 0, "path": PATH, "how": log.how,
        "source": log.source, "track": "", "size": 100 * len(records), "ino": 5, "n": len(records),
        "read_b": 100 * len(records), "bind_conf": 0.9, "pids": [writer], "problems": [],
        **(_size(log) if log.params_from == "said" else {}),
    })  # fmt: skip
    if log.params is not None and log.params_from == "header":  # a folder with checkpoints has its own row
        rows["logs"].append({
            "run": run, "read": 1, "read_at": read_at, "file": 1, "path": "/home/ann/out", "how": "walk",
            "source": "checkpoint", "track": "checkpoint:out", "n": 0, "read_b": 90_000,
            "bind_conf": 0.5, "pids": [], "problems": [], **_size(log),
        })  # fmt: skip
    look = world.window_s
    rng = rng if log.loss_seed is None else random.Random(log.loss_seed)
    for k, (t, step, segment) in enumerate(records):
        flushed = records[min(len(records) - 1, k - k % log.lump + log.lump - 1)][0]
        at = None if log.clock is None else AT + log.apart_s + log.runs * int(t / log.clock) * log.clock
        loss = 2.0 / (1 + step / 100) + 0.5 + log.loss_noise * rng.gauss(0, 1)
        phase = next((p for s, p in log.phases if s <= t < s + 5 * log.every * log.step_s), "train")
        rows.setdefault("points", []).append({
            "run": run, "read": 1, "file": 0, "track": "", "segment": segment, "at": at,
            "obs_lo_at": AT + (flushed // look) * look, "obs_hi_at": AT + (flushed // look + 1) * look,
            "step": step, "tokens": step * log.tokens if log.tokens else None,
            "loss": loss if log.losses else None, "phase": phase, "offset": 100 * (k + 1),
            "flags": list(log.flags), "took_s": log.took_s,
        })  # fmt: skip
    for t in log.saves:
        at = AT + t
        rows.setdefault("points", []).append({
            "run": run, "read": 1, "file": 0, "track": "", "segment": 0, "at": at,
            "obs_lo_at": AT + t // look * look, "obs_hi_at": AT + (t // look + 1) * look,
            "phase": "checkpoint", "offset": 100 * sum(r[0] < t for r in records) + 50, "flags": [],
        })  # fmt: skip


def _saved(world: World, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Checkpoints that the walk found, in one folder."""
    if not world.saved:
        return
    same = {
        "run": key(7),
        "read": 1,
        "read_at": AT + world.length_s + 10,
        "file": 1,
        "track": "checkpoint:out",
    }
    rows.setdefault("logs", []).append({
        **same, "path": "/home/ann/out", "how": "walk", "source": "checkpoint", "size": world.saved[-1][2],
        "n": len(world.saved), "read_b": 0, "bind_conf": 0.5, "pids": [], "problems": [],
    })  # fmt: skip
    for t, step, _ in world.saved:
        rows.setdefault("points", []).append({
            **same, "segment": 0, "obs_lo_at": AT + t - 5, "obs_hi_at": AT + t, "step": step, "offset": step,
            "phase": "train", "flags": ["weak"],
        })  # fmt: skip
