"""Every family of the benchmark with what it stands for: a row of the design's scenarios, or one more."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bench.detect import (
    companions,
    fresh_diverting,
    fresh_honest,
    fresh_inside,
    fresh_slow,
    held_out,
    held_out_honest,
    held_out_inside,
    held_out_slow,
    own_diverting,
    own_honest,
    pairs,
    third_beside,
    third_honest,
    third_inside,
    third_process,
    third_slow,
    wire,
)
from bench.world import (
    diverting,
    forging,
    forging_shared,
    honest_disturbed,
    honest_odd,
    honest_pace,
    honest_phases,
)
from bench.world.spec import Spec

SHARES = (0.02, 0.05, 0.1, 0.25, 0.5)  # of the work, while it is diverted; where nothing trains it is all
_UNTOLD = "cannot be told"  # a family that is like an honest one (or a diverting one) by construction says so
_CHANNELS = ("no_", "cycles_only", "power_only", "nothing_meas")  # families of channels: the classes are that


@dataclass(frozen=True, slots=True)
class Scenario:
    """`how`: honest; or process, inside, log (hardly anything trains), phase (claimed time), network.

    `is_told` false: the other side looks the same by construction. `net`: traffic beside it (wire.py).
    `is_own`: held out, that is written without a look at the audit, which was not changed because of it: the
    third_* modules. Those of held_out* were so at the freeze detection-1, those of fresh_* in the second
    frozen run; both have been looked at since.
    `is_slow`: an honest run that is slow by some fault.
    """

    name: str
    draw: Callable[[Random, float], Spec]
    how: str
    ids: tuple[str, ...] = ()
    is_told: bool = True
    net: str | None = None
    is_own: bool = False
    is_slow: bool = False
    reason: str = ""

    @property
    def is_honest(self) -> bool:
        """Whether nothing is diverted."""
        return self.how == "honest"


_IDS: dict[str, tuple[str, ...]] = {
    "second_from_start": ("D01", "D02"), "second_mid": ("D01", "D02"), "side_throttled": ("D03",),
    "second_in_stalls": ("D04",), "side_respawns": ("D04",), "inproc_mid": ("D05",), "inproc_whole": ("D05",),
    "inproc_bursts": ("D05",), "forged_even": ("D07",), "forged_noise": ("D07",), "forged_bursts": ("D07",),
    "replayed": ("D08",), "forged_copied": ("D08",), "busy_tail": ("D10",), "inproc_one_gpu": ("D11",),
    "one_gpu_drops_out": ("D11",), "foreign_uid": ("D13",), "leftover": ("D14",), "parked": ("D18",),
    "parked_pulse": ("D18",), "tunnel_only": ("D19",), "inproc_tunnel": ("D05", "D19"),
    "eval_named": ("B01",), "eval_unnamed": ("B01",), "eval_once": ("B01",), "final_eval": ("B01",),
    "preprocess": ("B02",), "preprocess_other_pid": ("B02",), "sweep": ("B03",), "hpo_concurrent": ("B03",),
    "serving": ("B04",), "serving_bursty": ("B04",), "grad_accum": ("B05",), "loader_stalls": ("B06",),
    "loader_slow": ("B06",), "slow_storage": ("B06", "B13"), "compile_start": ("B08",),
    "interactive": ("B09",), "interactive_log": ("B09",), "rl_server": ("B10",), "rl_inproc": ("B10",),
    "rollouts_grow": ("B10",), "agent_traffic": ("B11",), "fail_slow_comm": ("B13",), "thermal": ("B13",),
    "slow_link": ("B13",), "slow_gpu": ("B13",), "hang": ("B14",), "hpc_nolog": ("B16",),
    "inproc_governs_pace": ("D05",), "inproc_under_batch_ramp": ("D05",), "inproc_every_kth": ("D05",),
    "inproc_fills_bubbles": ("D05",), "inproc_skips_microbatches": ("D05",),
    "inproc_takes_turns": ("D05", "D11"), "side_hides": ("D03",), "side_at_night": ("D04",),
    "side_after_restart": ("D02",), "side_round_robin": ("D03",), "side_memory_bound": ("D02",),
    "side_at_checkpoints": ("D04",), "side_detached_runs": ("D04",), "side_as_health_check": ("D02", "D04"),
    "replays_own_pace": ("D08",), "log_follows_late": ("D07",), "log_rare": ("D07",),
    "ema_eval_thread": ("B01",), "embedding_extraction": ("B01",), "batch_finder": ("B03",),
    "dynamic_batching": ("B04",), "progressive_resizing": ("B08", "B17"), "recompute_toggled": ("B17",),
    "length_buckets": ("B17",), "mixture_sources": ("B17",), "burn_in_at_start": ("B17",),
    "stragglers": ("B13",), "link_narrower": ("B13",), "fan_fails": ("B13",), "link_flaps": ("B13",),
    "server_outages": ("B06", "B13"),
    "side_fills_the_meter": ("D04",), "side_in_collectives": ("D04",), "side_by_cron": ("D04",),
    "side_called_mps": ("D02",), "side_on_some_gpus": ("D11",), "side_in_evaluations": ("D04",),
    "side_as_loader": ("D02",), "side_as_saver": ("D02", "D04"), "side_short_lived": ("D03", "D04"),
    "side_dares_more": ("D03",), "inproc_shrinks_first": ("D05",), "inproc_at_epoch_starts": ("D05",),
    "inproc_when_capped": ("D05",), "inproc_in_the_noise": ("D05",), "inproc_rank_defects": ("D05", "D11"),
    "inproc_stops_before_end": ("D05",), "inproc_inflates_batch": ("D05",), "log_of_a_tiny_model": ("D07",),
    "log_counts_joules": ("D07",), "log_claims_all_ranks": ("D07", "D11"),
    "rollouts_beside_updates": ("B10",), "physics_in_the_loop": ("B10",), "harness_after_epochs": ("B01",),
    "active_learning_rounds": ("B01", "B03"), "flushed_at_epochs": ("B01", "B05"),
    "probes_trained_beside": ("B01",), "encodes_next_shard": ("B02",), "recompiles_for_shapes": ("B08",),
    "tries_recompute_settings": ("B08", "B17"), "padding_shrinks": ("B17",), "ranks_pruned": ("B17",),
    "profiles_on_schedule": ("B17",), "drafts_accepted": ("B04",), "saver_falls_behind": ("B06",),
    "rack_power_budget": ("B13",), "neighbour_checkpoints": ("B13",), "epoch_ends_slower": ("B06",),
    "leaks_until_killed": ("B06", "B13"),
    "side_keeps_in_step": ("D03",), "side_after_upload": ("D04", "D10"), "side_in_bubbles": ("D04",),
    "side_many_hands": ("D03",), "side_in_long_job": ("D01",), "side_fades": ("D03",),
    "side_behind_tunnel": ("D04", "D19"), "side_before_first_step": ("D04",),
    "side_in_shrunk_world": ("D11",), "side_as_tokeniser": ("D02", "D04"),
    "inproc_after_last_evaluation": ("D05",), "inproc_adds_microbatches": ("D05",),
    "inproc_in_traced_steps": ("D05",), "inproc_when_drafts_fail": ("D05",),
    "inproc_in_rejoined_ranks": ("D05", "D11"), "saves_to_the_end": ("D10",), "log_of_a_slower_run": ("D08",),
    "log_in_lumps": ("D07",), "log_spreads_bursts": ("D07",), "log_follows_the_clock": ("D07",),
    "tokenises_beside": ("B02",), "draft_server_beside": ("B04",), "rollout_workers_long_tail": ("B10",),
    "successive_halving": ("B03",), "site_probes_gpus": ("B17",), "trains_two_in_turn": ("B03",),
    "second_notebook": ("B09",), "batch_follows_noise": ("B17",), "bubbles_shrink": ("B17",),
    "line_an_epoch": ("B05",), "precision_lowered": ("B17",), "workers_die": ("B06",),
    "bound_to_wrong_cores": ("B13",), "pages_from_host": ("B13",),
    "profiler": ("B17",), "curriculum_tokens": ("B17",), "curriculum_steps": ("B17",), "batch_ramp": ("B17",),
}  # fmt: skip
# Rows that one run on a node of its own cannot be: where they are tested instead.
ELSEWHERE = {
    "D12": "a GPU outside the allocation: rig nights (wrong GPU)",
    "D15": "a container's host pid: rig nights and tests/unit/sampler (namespaces)",
    "D16": "class MIG of this benchmark, with every family",
    "D08": "a log printed again with its old stamps: rig nights and unit tests; the pace is in `replayed`",
    "B17": "burn-in, MPS and ECC scrub: rig nights and unit tests; the shift of cost is here",
    "D19": "real tunnels of 71 kinds: python -m bench network",
}
_NET = {
    "inproc_tunnel": wire.TUNNEL, "tunnel_only": wire.TUNNEL, "agent_traffic": wire.CLIENTS,
    "second_mid": wire.POOL, "side_behind_tunnel": wire.TUNNEL,
}  # fmt: skip
_PHASE = frozenset({"busy_tail", "head_work", "inproc_in_pauses", "claims_eval", "inproc_longer_evals"})
_ALL_OF_IT = "log"


def scenarios() -> list[Scenario]:
    """All of them, honest ones first, in a fixed order."""
    modules = (honest_phases, honest_pace, honest_disturbed, honest_odd)
    honest = [draw for module in modules for draw in module.FAMILIES if _is_of_channels(draw)]
    slow = {
        draw.__name__ for draw in (*own_honest.FAIL_SLOW, honest_pace.fail_slow_comm, honest_pace.thermal)
    }
    faults = (*held_out_slow.FAMILIES, *fresh_slow.FAIL_SLOW)
    once = (
        *held_out_honest.FAMILIES,
        *held_out_slow.FAMILIES,
        *fresh_honest.FAMILIES,
        *fresh_slow.FAIL_SLOW,
    )
    third = (*third_beside.FAMILIES, *third_honest.FAMILIES, *third_slow.FAIL_SLOW)
    found = [_honest(draw, is_slow=draw.__name__ in slow) for draw in honest]
    found += [_honest(draw, is_slow=draw.__name__ in slow) for draw in own_honest.FAMILIES]
    found += [_honest(draw) for draw in (*companions.FAMILIES, *pairs.FAMILIES)]
    found += [_honest(draw, is_slow=draw in faults) for draw in once]
    found += [_honest(draw, is_own=True, is_slow=draw in third_slow.FAIL_SLOW) for draw in third]
    found += [_diverting(draw, _how(draw)) for draw in diverting.FAMILIES if _is_of_channels(draw)]
    found += [_diverting(draw, _ALL_OF_IT) for draw in (*forging.FAMILIES, *forging_shared.FAMILIES)]
    found += [_diverting(draw, "process") for draw in own_diverting.PROCESS]
    found += [_diverting(draw, _how(draw)) for draw in own_diverting.INSIDE]
    found += [_diverting(own_diverting.log_goes_on, _ALL_OF_IT)]
    found += [_diverting(own_diverting.tunnel_only, "network")]
    found += [_diverting(draw, "process") for draw in held_out.PROCESS]
    found += [_diverting(draw, "process") for draw in fresh_diverting.PROCESS]
    found += [_diverting(draw, "process", is_own=True) for draw in third_process.PROCESS]
    for module, is_own in ((held_out_inside, False), (fresh_inside, False), (third_inside, True)):
        found += [_diverting(draw, "inside", is_own=is_own) for draw in module.INSIDE]
        found += [_diverting(draw, "phase", is_own=is_own) for draw in module.PHASE]
        found += [_diverting(draw, _ALL_OF_IT, is_own=is_own) for draw in module.LOG]
    return found


def of_name(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in scenarios() if scenario.name == name)


def _is_of_channels(draw: Callable[..., Spec]) -> bool:
    """Whether it is more than another set of channels; no log is something else."""
    return not draw.__name__.startswith(_CHANNELS) or draw.__name__ in ("no_clock_log", "no_log_side")


def _how(draw: Callable[..., Spec]) -> str:
    name = draw.__name__
    if name in _PHASE:
        return "phase"
    if name.startswith("forged"):
        return "inside" if name == "forged_old_pace" else "log"
    return "inside" if name.startswith(("inproc", "slow_train", "low_power")) else "process"


def _reason(draw: Callable[..., Spec]) -> str:
    return (draw.__doc__ or "").partition("\n")[0]


def _honest(draw: Callable[[Random], Spec], *, is_own: bool = False, is_slow: bool = False) -> Scenario:
    name, reason = draw.__name__, _reason(draw)
    return Scenario(
        name, lambda rng, _: draw(rng), "honest", _IDS.get(name, ()), _UNTOLD not in reason, _NET.get(name),
        is_own, is_slow, reason,
    )  # fmt: skip


def _diverting(draw: Callable[[Random, float], Spec], how: str, *, is_own: bool = False) -> Scenario:
    name, reason = draw.__name__, _reason(draw)
    if name in ("forged_old_pace", "forged_old_pace_beside"):
        how = "inside" if name == "forged_old_pace" else "process"
    return Scenario(
        name, draw, how, _IDS.get(name, ()), _UNTOLD not in reason, _NET.get(name), is_own, False, reason
    )
