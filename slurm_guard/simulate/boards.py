"""One simulated GPU: loads in; granted work, energy, counters and NVML's view out. Deterministic by seed."""

import math
import random
from typing import NamedTuple

from slurm_guard.simulate.physics import ModelSpec, Profile, Traits, draw_profile, draw_traits

# NVML's clocks event reasons (nvml.h).
REASON_IDLE = 0x1
REASON_POWER_CAP = 0x4
REASON_SW_THERMAL = 0x20

_POWER_OF_CLOCK = 2.2  # dynamic power ~ clock**2.2 near the top of the curve: judgement
_HOT_C = 84.0  # software thermal slowdown of data-centre boards: judgement near 83–87 °C


class Load(NamedTuple):
    """What one process asks of a board. `want_s`: most work it can use in this step, null: no end.

    `lean`: how much more than on average it works when the step ends, which is when the power sensor looks;
    it lets steps of the simulation be longer than the rhythm of the load.
    """

    pid: int
    kind: str
    demand: float  # 0..1, share of time wanted; 0: a context without work
    mem_mib: int
    profile: Profile | None = None  # null: this board's own draw for the kind
    want_s: float | None = None
    lean: float = 1.0


class Grant(NamedTuple):
    """What one process got of one step."""

    pid: int
    held_s: float  # time on the board
    work_s: float  # useful work, in GPU-seconds at the nominal clock
    energy_mj: float  # above the idle board


class Totals(NamedTuple):
    """Cumulative counters since the driver was loaded. Times are seconds of full activity."""

    energy_mj: float  # as the counter shows it: stepped by ~100 ms, with the counter's own gain
    busy_s: float
    sm_s: float
    tensor_s: float
    integer_s: float
    fp32_s: float
    fp64_s: float
    dram_s: float
    cycles_elapsed: float  # per SM
    pcie_tx_b: float
    pcie_rx_b: float
    nvlink_tx_b: float
    nvlink_rx_b: float
    sm_cycles: float  # cycles with work, per SM
    tensor_cycles: float
    integer_cycles: float


class PidUse(NamedTuple):
    """NVML's last non-zero utilisation sample of one process."""

    at_s: float  # the board's own time
    sm_pct: int
    mem_pct: int


class Board:
    """A GPU that steps through time. `time_s` counts from its start; nothing here reads a clock."""

    def __init__(
        self,
        spec: ModelSpec,
        seed: int,
        index: int = 0,
        util_period_s: float = 1 / 6,
        traits: Traits | None = None,
    ) -> None:
        self.spec = spec
        self.index = index
        self.rng = random.Random(f"{seed}/{spec.key}/{index}")  # noqa: S311  (a simulation wants a seed)
        self.traits = draw_traits(spec, self.rng) if traits is None else traits
        self.uuid = _uuid(self.rng)
        self.util_period_s = util_period_s
        self.limit_w = spec.tdp_w
        self.time_s = 0.0
        self.temp_c = self.traits.ambient_c + self.traits.idle_w * self.traits.heat_c_per_w
        self.power_w = self.mean_w = self.average_w = self.traits.idle_w
        self.clock_mhz = spec.idle_clock_mhz
        self.reasons = REASON_IDLE
        self.util_pct = self.mem_util_pct = 0
        self.mem_mib: dict[int, int] = {}  # pid -> MiB with its context
        self.pid_use: dict[int, PidUse] = {}
        self._sums = [0.0] * len(Totals._fields)
        self._energy_true_mj = 0.0
        self._energy_shown_mj = 0.0
        self._since_tick_s = 0.0
        self._drift = 0.0
        self._profiles: dict[str, Profile] = {}
        self._period_s = 0.0
        self._period_busy = self._period_mem = 0.0
        self._period_pids: dict[int, list[float]] = {}

    def totals(self) -> Totals:
        """The counters as NVML would show them now."""
        return Totals(self._energy_shown_mj, *self._sums[1:])

    def used_mib(self) -> int:
        """Memory held by all contexts."""
        return sum(self.mem_mib.values())

    def profile(self, kind: str) -> Profile:
        """This board's own draw for a kind of kernel; the same kind always runs alike on it."""
        if kind not in self._profiles:
            self._profiles[kind] = draw_profile(kind, self.rng)
        return self._profiles[kind]

    def step(self, dt_s: float, loads: list[Load]) -> list[Grant]:
        """Advance by `dt_s` under `loads`; one grant a load, in the same order."""
        traits = self.traits
        extra = traits.context_mib
        self.mem_mib = {}
        for load in loads:
            self.mem_mib[load.pid] = max(self.mem_mib.get(load.pid, 0), load.mem_mib + extra)
        profiles = [load.profile or self.profile(load.kind) for load in loads]
        shares, yields = self._arbitrate(loads)
        for i, load in enumerate(loads):
            if load.want_s is not None:
                shares[i] = min(shares[i], max(0.0, load.want_s) / dt_s / yields[i])
        ratio, watts = self._power(shares, profiles, [load.lean for load in loads])
        grants = []
        for i, load in enumerate(loads):
            held = shares[i] * dt_s
            work = held * yields[i] * ratio ** profiles[i].clock_exp
            grants.append(Grant(load.pid, held, work, watts[i] * dt_s * 1000.0))
        self._count(dt_s, shares, profiles, ratio)
        self._utilisation(dt_s, loads, shares, profiles)
        self._heat_and_energy(dt_s)
        self.time_s += dt_s
        return grants

    def _arbitrate(self, loads: list[Load]) -> tuple[list[float], list[float]]:
        """Slices go to processes; several loads of one process are streams that share its slice."""
        traits = self.traits
        pids = {load.pid for load in loads}
        demands = [load.demand for load in loads]
        if len(pids) == 1:
            total = sum(demands)
            return ([d / total for d in demands] if total > 1.0 else demands), [1.0] * len(loads)
        if len(pids) == len(loads):
            return share_out(demands, traits.contention, traits.switch_cost)
        asked = {pid: sum(load.demand for load in loads if load.pid == pid) for pid in pids}
        order = sorted(pids)
        shares, yields = share_out([asked[pid] for pid in order], traits.contention, traits.switch_cost)
        given = {pid: (share, gain) for pid, share, gain in zip(order, shares, yields, strict=True)}
        split = [
            given[load.pid][0] * load.demand / asked[load.pid] if asked[load.pid] > 0.0 else 0.0
            for load in loads
        ]
        return split, [given[load.pid][1] for load in loads]

    def _power(
        self, shares: list[float], profiles: list[Profile], leans: list[float]
    ) -> tuple[float, list[float]]:
        """Clock ratio and dynamic watts per load; sets mean and last power, clock and throttle reasons."""
        traits, spec = self.traits, self.spec
        span = spec.tdp_w - traits.idle_w
        leak = 1.0 + traits.leak_per_c * (self.temp_c - 40.0)
        base = (traits.idle_w + (traits.context_w if shares else 0.0)) * leak
        watts = [s * p.power * span * traits.silicon * leak for s, p in zip(shares, profiles, strict=True)]
        wanted, reasons, ratio = sum(watts), 0, 1.0
        if self.temp_c > _HOT_C:
            reasons |= REASON_SW_THERMAL
            ratio = max(0.4, 1.0 - 0.05 * (self.temp_c - _HOT_C))
        room = max(self.limit_w - base, 0.05 * span)
        if wanted * ratio**_POWER_OF_CLOCK > room:
            reasons |= REASON_POWER_CAP
            ratio = (room / wanted) ** (1.0 / _POWER_OF_CLOCK)
        scale = ratio**_POWER_OF_CLOCK
        self._drift = 0.95 * self._drift + 0.05 * self.rng.gauss(0.0, traits.power_noise)
        self.mean_w = max(1.0, (base + wanted * scale) * (1.0 + self._drift))
        last = sum(w * lean for w, lean in zip(watts, leans, strict=True)) * scale
        self.power_w = max(1.0, min(self.limit_w, base + last) * (1.0 + self._drift))
        self.clock_mhz = round(spec.max_clock_mhz * ratio) if shares else spec.idle_clock_mhz
        self.reasons = reasons if wanted > 0.0 else REASON_IDLE
        return ratio, [w * scale for w in watts]

    def _count(self, dt_s: float, shares: list[float], profiles: list[Profile], ratio: float) -> None:
        spec, sums = self.spec, self._sums
        for share, p in zip(shares, profiles, strict=True):
            held = share * dt_s
            if held == 0.0:
                continue
            sums[1] += held
            sums[2] += held * p.sm
            sums[3] += held * p.tensor
            sums[4] += held * p.integer
            sums[5] += held * p.fp32
            sums[6] += held * p.fp64
            sums[7] += held * p.dram
            cycles = held * spec.max_clock_mhz * 1e6 * ratio
            sums[13] += cycles * p.sm
            sums[14] += cycles * p.tensor
            sums[15] += cycles * p.integer
            bus, link = held * p.pcie * spec.pcie_gbs * 1e9, held * p.nvlink * spec.nvlink_gbs * 1e9
            sums[9] += bus * 0.4
            sums[10] += bus
            sums[11] += link
            sums[12] += link
        sums[8] += dt_s * (spec.max_clock_mhz * ratio if shares else spec.idle_clock_mhz) * 1e6

    def _utilisation(
        self, dt_s: float, loads: list[Load], shares: list[float], profiles: list[Profile]
    ) -> None:
        """NVML's samples: the share of the last period with any kernel, and per process, in whole percent."""
        self._period_s += dt_s
        if not loads and not self._period_pids:
            self.util_pct = self.mem_util_pct = 0
            self._period_s = 0.0
            self.pid_use.clear()
            return
        for load, share, profile in zip(loads, shares, profiles, strict=True):
            held = share * dt_s
            self._period_busy += held
            self._period_mem += held * profile.dram
            used = self._period_pids.setdefault(load.pid, [0.0, 0.0])
            used[0] += held
            used[1] += held * profile.dram
        if self._period_s < self.util_period_s * 0.999:
            return
        several = sum(1 for used in self._period_pids.values() if used[0] > 0.0) > 1
        full = 1.0 - (self.traits.switch_cost if several else 0.0)  # switching counts as busy
        self.util_pct = min(100, round(100.0 * self._period_busy / self._period_s / full))
        self.mem_util_pct = min(100, round(100.0 * self._period_mem / self._period_s))
        at = self.time_s + dt_s
        gauss, traits = self.rng.gauss, self.traits
        bias = traits.pid_bias if several else 1.0
        for pid, (busy, mem) in self._period_pids.items():
            seen = 100.0 / self._period_s * bias * max(0.0, gauss(1.0, traits.pid_noise))
            if busy > 0.0 and round(busy * seen) > 0:
                self.pid_use[pid] = PidUse(at, min(100, round(busy * seen)), min(100, round(mem * seen)))
        for pid in [pid for pid in self.pid_use if pid not in self.mem_mib]:
            del self.pid_use[pid]
        self._period_s = self._period_busy = self._period_mem = 0.0
        self._period_pids = {}

    def _heat_and_energy(self, dt_s: float) -> None:
        traits = self.traits
        target = traits.ambient_c + self.mean_w * traits.heat_c_per_w
        self.temp_c += (target - self.temp_c) * -math.expm1(-dt_s / traits.heat_tau_s)
        self.average_w += (self.power_w - self.average_w) * -math.expm1(-dt_s / 0.5)  # about a 1 s average
        self._energy_true_mj += self.mean_w * dt_s * 1000.0 * traits.energy_gain
        self._since_tick_s += dt_s
        if self._since_tick_s >= 0.0999:  # NVML's counter moves about every 100 ms (arXiv 2208.06102)
            self._since_tick_s = 0.0
            self._energy_shown_mj = self._energy_true_mj

    def shown_power_w(self) -> float:
        """One reading of the power sensor: averaged on newer boards, with its own noise."""
        power = self.average_w if self.spec.averaged else self.power_w
        return max(1.0, power * (1.0 + self.rng.gauss(0.0, self.traits.power_noise)))


def share_out(demands: list[float], contention: float, switch_cost: float) -> tuple[list[float], list[float]]:
    """Time on the board per load, and how much of it becomes work.

    Slices are max-min fair. One load gets what it asks. Of several active ones each works slower by
    `contention` times the others' time, and slicing costs `switch_cost` of all time once the board is full:
    contention does not add up (rulings 27).
    """
    wanted = [min(1.0, max(0.0, demand)) for demand in demands]
    if sum(1 for demand in wanted if demand > 0.0) < 2:
        return wanted, [1.0] * len(wanted)
    total = sum(wanted)
    if total > 1.0:
        wanted = _water(wanted, 1.0 - switch_cost)
        total = sum(wanted)
    return wanted, [1.0 - contention * (total - share) for share in wanted]


def _water(wanted: list[float], room: float) -> list[float]:
    """Max-min fair: small wishes are met, the others share the rest alike."""
    given = [0.0] * len(wanted)
    left = sorted((i for i, demand in enumerate(wanted) if demand > 0.0), key=lambda i: wanted[i])
    while left:
        fair = room / len(left)
        i = left.pop(0)
        given[i] = min(wanted[i], fair)
        room -= given[i]
    return given


def _uuid(rng: random.Random) -> str:
    text = f"{rng.getrandbits(128):032x}"
    return f"GPU-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
