"""What a GPU answers and what each call costs; how finely its energy counter and power meter move."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pynvml

from bench.gpu.figures import spread
from slurm_guard.sampler.nvml import NvmlReader

Row = dict[str, Any]
N_CALLS = 200


def facts() -> list[Row]:
    """Per GPU: the fields and metrics that the sampler's own reader gets, and why not the others."""
    reader = NvmlReader()
    rows = []
    for gpu in reader.gpus():
        for _ in range(3):  # GPM needs two samples
            reader.read(gpu)
            time.sleep(0.5)
        reader.processes(gpu)
        found = reader.facts(gpu)
        if found is not None:
            answers, why = sorted(found.answers), dict(sorted(found.why.items()))
            rows.append({**gpu._asdict(), "answers": answers, "why": why})
    reader.close()
    return rows


def costs() -> list[Row]:
    """Microseconds of each call that the sampler makes, on the first GPU: median, 99th percentile, worst, and
    the mean of this thread's own CPU time: the rest of the time it waited."""
    pynvml.nvmlInit()
    rows = []
    for name, call in _calls(pynvml.nvmlDeviceGetHandleByIndex(0)):
        times, error = [], None
        cpu_s = time.thread_time()
        for _ in range(N_CALLS):
            begun = time.perf_counter()
            try:
                call()
            except pynvml.NVMLError as refused:
                error = str(refused)
            times.append(1e6 * (time.perf_counter() - begun))
        cpu_us = 1e6 * (time.thread_time() - cpu_s) / N_CALLS
        rows.append({"call": name, **spread(times, "us"), "cpu_us": round(cpu_us, 1), "error": error})
    pynvml.nvmlShutdown()
    return rows


def _calls(gpu: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "utilization", lambda: pynvml.nvmlDeviceGetUtilizationRates(gpu)
    yield "energy", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    yield "energy by field value", lambda: pynvml.nvmlDeviceGetFieldValues(gpu, [83])
    yield "power", lambda: pynvml.nvmlDeviceGetPowerUsage(gpu)
    yield "memory", lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu)
    yield "sm clock", lambda: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM)
    yield "temperature", lambda: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)
    yield "event reasons", lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu)
    yield "field values, 6", lambda: pynvml.nvmlDeviceGetFieldValues(gpu, [185, 186, 197, 198, 138, 139])
    yield "compute processes", lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    yield "graphics processes", lambda: pynvml.nvmlDeviceGetGraphicsRunningProcesses(gpu)
    yield "process utilization", lambda: pynvml.nvmlDeviceGetProcessUtilization(gpu, 0)
    try:
        sample = pynvml.nvmlGpmSampleAlloc()
    except (pynvml.NVMLError, AttributeError):
        return
    yield "GPM sample", lambda: pynvml.nvmlGpmSampleGet(gpu, sample)


def counters(poll_s: float) -> list[Row]:
    """How often energy and power change while polled as fast as may be, and by how much. Best under load."""
    pynvml.nvmlInit()
    gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    rows = [
        _moves("energy, mJ", lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu), poll_s),
        _moves("power, mW", lambda: pynvml.nvmlDeviceGetPowerUsage(gpu), poll_s),
    ]
    pynvml.nvmlShutdown()
    return rows


def _moves(name: str, read: Callable[[], int], poll_s: float) -> Row:
    begun_s = moved_s = time.perf_counter()
    gaps, steps, polls = [], [], 0
    try:
        last = read()
        while (now_s := time.perf_counter()) - begun_s < poll_s:
            value, polls = read(), polls + 1
            if value != last:
                gaps.append(1000 * (now_s - moved_s))
                steps.append(float(abs(value - last)))
                last, moved_s = value, now_s
    except pynvml.NVMLError as error:
        return {"counter": name, "error": str(error)}
    found = {"counter": name, "polls_per_s": round(polls / poll_s), "changes": len(gaps), "error": None}
    return {**found, **spread(gaps, "ms"), **spread(steps, "step")}
