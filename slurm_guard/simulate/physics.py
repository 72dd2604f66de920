"""What GPU models and kinds of kernel are like: specifications, and wide priors that boards draw from.

Every number is an assumption of the *simulation* and is unknown to the audit (rulings 27). Where a range has
a source it is named; the rest is judgement, drawn wide. Powers are watts, shares 0..1.
"""
# ruff: noqa: E501  (the two tables read best with one row a line)

import random
from typing import NamedTuple

Range = tuple[float, float]


class ModelSpec(NamedTuple):
    """One GPU model. `idle_w`: nothing on the board; `context_w`: what a held context adds."""

    key: str
    name: str  # as NVML says it
    mem_mib: int
    tdp_w: float
    idle_w: Range
    context_w: Range
    max_clock_mhz: int
    idle_clock_mhz: int
    mem_clock_mhz: int
    n_sm: int
    pcie_gbs: float
    nvlink_gbs: float  # one way, all links
    gpm: bool  # Hopper and later
    averaged: bool  # power reading is a 1 s average (documented: Ampere and later, except GA100)
    pci_device_id: int


# Idle: H100 69.9 W, H200 77.7 W, context-free (public nvidia-smi captures); the others judgement near data sheets.
# Context: judgement; the memory clock stays up, which costs 30–60 W on HBM3 boards.
MODELS: dict[str, ModelSpec] = {
    spec.key: spec
    for spec in (
        ModelSpec("v100", "Tesla V100-SXM2-32GB", 32768, 300, (36, 48), (10, 24), 1530, 135, 877, 80, 14, 130, False, False, 0x1DB510DE),
        ModelSpec("a100", "NVIDIA A100-SXM4-80GB", 81920, 400, (48, 66), (14, 36), 1410, 210, 1593, 108, 28, 260, False, False, 0x20B210DE),
        ModelSpec("h100", "NVIDIA H100 80GB HBM3", 81559, 700, (62, 82), (35, 65), 1980, 345, 2619, 132, 56, 400, True, True, 0x233010DE),
        ModelSpec("h200", "NVIDIA H200", 143771, 700, (68, 90), (35, 65), 1980, 345, 3201, 132, 56, 400, True, True, 0x233510DE),
        ModelSpec("b200", "NVIDIA B200", 183359, 1000, (125, 190), (45, 90), 1965, 120, 3996, 148, 110, 800, True, True, 0x290110DE),
    )
}  # fmt: skip


class Profile(NamedTuple):
    """What one kernel kind does to a board while it holds it; shares of the board's maximum."""

    power: float  # of the range between idle and TDP, at the nominal clock
    sm: float
    tensor: float
    integer: float
    fp32: float
    fp64: float
    dram: float
    pcie: float
    nvlink: float
    clock_exp: float  # work ~ clock**this: 1 compute-bound, near 0 memory-bound


class _Prior(NamedTuple):
    power: Range
    sm: Range
    tensor: Range
    integer: Range
    fp32: Range
    fp64: Range
    dram: Range
    pcie: Range
    nvlink: Range
    clock_exp: Range


_NONE: Range = (0.0, 0.0)
# Training near TDP, communication near idle: arXiv 2508.14318; spin 30–50 % of the limit: rulings 17; serving
# draws less than training (Alibaba duty cycles); hash: integer pipes full, tensor empty (no vendor figure: judgement).
_PRIORS: dict[str, _Prior] = {
    "train": _Prior((0.68, 0.97), (0.75, 0.95), (0.30, 0.65), (0.08, 0.22), (0.10, 0.30), _NONE, (0.30, 0.62), (0.005, 0.05), (0.05, 0.40), (0.75, 1.0)),
    "eval": _Prior((0.50, 0.85), (0.65, 0.92), (0.25, 0.60), (0.06, 0.20), (0.06, 0.22), _NONE, (0.30, 0.65), (0.005, 0.06), (0.0, 0.15), (0.6, 1.0)),
    "infer": _Prior((0.28, 0.66), (0.40, 0.85), (0.06, 0.34), (0.05, 0.18), (0.05, 0.20), _NONE, (0.45, 0.88), (0.002, 0.03), (0.0, 0.20), (0.2, 0.7)),
    "hash": _Prior((0.48, 0.95), (0.90, 1.0), _NONE, (0.45, 0.85), (0.02, 0.12), _NONE, (0.02, 0.25), (0.0, 0.001), _NONE, (0.9, 1.0)),
    "spin": _Prior((0.18, 0.44), (0.05, 0.95), _NONE, (0.02, 0.12), (0.0, 0.03), _NONE, (0.01, 0.06), (0.0, 0.004), (0.0, 0.10), (0.0, 0.3)),
    "membound": _Prior((0.40, 0.68), (0.45, 0.85), (0.0, 0.06), (0.05, 0.20), (0.08, 0.30), (0.0, 0.15), (0.75, 0.95), (0.0, 0.02), (0.0, 0.10), (0.05, 0.4)),
    "fp64": _Prior((0.50, 0.92), (0.65, 0.95), (0.0, 0.08), (0.10, 0.28), (0.05, 0.25), (0.30, 0.75), (0.15, 0.55), (0.001, 0.03), (0.0, 0.10), (0.7, 1.0)),
    "compile": _Prior((0.12, 0.45), (0.20, 0.75), (0.05, 0.30), (0.05, 0.15), (0.05, 0.20), _NONE, (0.10, 0.40), (0.01, 0.08), _NONE, (0.4, 0.9)),
}  # fmt: skip

KINDS = tuple(_PRIORS)


class Traits(NamedTuple):
    """One board's own draw: no two boards are alike, and none is the data sheet."""

    idle_w: float
    context_w: float
    silicon: float  # factor on dynamic power
    energy_gain: float  # error of the energy counter
    power_noise: float  # relative, of one reading
    leak_per_c: float  # dynamic and idle power per °C above 40
    ambient_c: float
    heat_c_per_w: float
    heat_tau_s: float
    contention: float  # work lost when another context is active, even if time is left
    switch_cost: float  # share of time lost to slicing between contexts
    pid_bias: float  # NVML's per-process figures do not add up to the board's
    pid_noise: float
    context_mib: int


def draw_profile(kind: str, rng: random.Random) -> Profile:
    """A kind of kernel as one program runs it. Raises KeyError for an unknown kind."""
    return Profile(*(rng.uniform(*span) for span in _PRIORS[kind]))


def draw_traits(spec: ModelSpec, rng: random.Random) -> Traits:
    """One board of a model. Spread of healthy boards: 1 % after qualification, 20 % before (arXiv 2605.17879)."""
    return Traits(
        idle_w=rng.uniform(*spec.idle_w),
        context_w=rng.uniform(*spec.context_w),
        silicon=min(1.10, max(0.90, rng.gauss(1.0, 0.02))),
        energy_gain=min(1.05, max(0.95, rng.gauss(1.0, 0.012))),
        power_noise=rng.uniform(0.004, 0.02)
        * (2.0 if spec.averaged else 1.0),  # sensor sees 25 % of the time
        leak_per_c=rng.uniform(0.0004, 0.0018),
        ambient_c=rng.uniform(24.0, 36.0),
        heat_c_per_w=rng.uniform(22.0, 32.0) / spec.tdp_w,
        heat_tau_s=rng.uniform(20.0, 70.0),
        contention=rng.uniform(0.0, 0.12),
        switch_cost=rng.uniform(0.005, 0.06),
        pid_bias=rng.uniform(0.80, 1.10),
        pid_noise=rng.uniform(0.02, 0.12),
        context_mib=rng.randint(280, 620),
    )
