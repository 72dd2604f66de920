"""Faults of NVML and the boards (knobs of the boards' library: tests/rig/nvml/knobs.h)."""

import time
from collections.abc import Callable

from tests.rig.faults.case import Case, Fault

AWAY_S = 6.0


def _slow(case: Case) -> None:
    """Each call to the witness's own GPU takes 100 ms."""
    case.begin(wait_s=4.0)
    gpu = case.gpu()
    case.bench.knob(f"slow {gpu} 100")
    try:
        time.sleep(AWAY_S)
    finally:
        case.bench.knob()
    case.finish()


def _hang(case: Case) -> None:
    """A call to another GPU never returns; the witness's own answers, and must be seen to the end."""
    case.begin(wait_s=4.0)
    other = (case.gpu() + 1) % 4
    case.bench.knob(f"hang {other}")
    try:
        time.sleep(AWAY_S + 2.0)
    finally:
        case.bench.knob()
    case.finish()


def _away(case: Case, word: Callable[[int], str]) -> None:
    """Neither the GPU nor anybody can be asked; afterwards the sampler looks again in its own time."""
    case.begin(wait_s=4.0)
    with case.unseen(case.bench.look_again_s):
        case.bench.knob(word(case.gpu()))
        time.sleep(AWAY_S)
        case.bench.knob()
    case.finish()


def _lost(case: Case) -> None:
    _away(case, lambda gpu: f"lost {gpu}")


def _unloaded(case: Case) -> None:
    _away(case, lambda _gpu: "absent")


def _late(case: Case) -> None:
    """The driver is not there when the sampler starts, and comes in mid-job."""
    bench = case.bench
    bench.end_sampler()
    bench.knob("absent")
    with case.unseen(bench.look_again_s):
        case.begin(wait_s=4.0)
        bench.knob()
    case.finish()


def _reset(case: Case) -> None:
    """The driver is loaded anew: its counters begin at zero."""
    case.begin(wait_s=5.0)
    case.bench.knob(f"counters {case.gpu()}")
    case.finish()
    case.bench.knob()


FAULTS = (
    Fault(
        "nvml-slow",
        "NVML",
        f"100 ms a call on the witness's GPU, {AWAY_S:.0f} s",
        _slow,
        ("none", "event:nvml", "event:stalled", "why:"),
    ),
    Fault(
        "nvml-hung",
        "NVML",
        f"a call to the neighbour's GPU hangs for {AWAY_S + 2:.0f} s",
        _hang,
        ("event:nvml-hung",),
    ),
    Fault(
        "nvml-lost",
        "NVML",
        f"the witness's GPU is lost for {AWAY_S:.0f} s",
        _lost,
        ("why:lost", "event:gpu-lost", "event:nvml"),
    ),
    Fault(
        "nvml-unloaded",
        "NVML",
        f"driver not loaded for {AWAY_S:.0f} s",
        _unloaded,
        ("why:river", "event:nvml"),
    ),
    Fault(
        "nvml-late",
        "NVML",
        "driver not loaded when the sampler starts, there in mid-job",
        _late,
        ("event:gpu-found", "event:nvml"),
        steps=100,  # the sampler looks again after 30 s
    ),
    Fault(
        "driver-reload",
        "NVML",
        "counters begin at zero in mid-job",
        _reset,
        ("why:counter", "event:counter", "why:back", "event:gpu-map-changed"),
    ),
)
