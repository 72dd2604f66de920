"""The record of bytes that are handed on."""

from __future__ import annotations

from slurm_guard import wire
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.relays import Pair
from slurm_guard.sampler.writer import Instant


def record_of(now: Instant, outer: Flow, pair: Pair, partners: set[int] | None) -> wire.RelaySeen:
    """A pair as it stands; `partners`: pids of the processes that the outer one's owner is joined to."""
    process = outer.process
    pids = [] if process is None else [process.pid, *sorted((partners or set()) - {process.pid})[:15]]
    return wire.RelaySeen(
        run=outer.run,
        pids=pids,
        exe=None if process is None else wire.clip(process.exe),
        outer_local=outer.sample.local,
        outer_peer=outer.sample.peer,
        outer_opened=outer.opened,
        outer_cookie=outer.sample.cookie,
        inner_local=pair.face[0],
        inner_peer=pair.face[1],
        inner_opened=pair.opened,
        n_inner=len(pair.idents),
        inner_owned=pair.n_owned > 0,
        outer_in_b=pair.outer_in_b,
        outer_out_b=pair.outer_out_b,
        inner_in_b=pair.inner_in_b,
        inner_out_b=pair.inner_out_b,
        coupled_in_b=pair.coupled_in_b,
        coupled_out_b=pair.coupled_out_b,
        n_busy=pair.told_busy,
        n_coupled=pair.told_coupled,
        first_seen_at=pair.first_at,
        last_seen_at=pair.last_at,
        gone=False,
        mono_s=now.mono_s,
        led=pair.rests.is_led and pair.came.is_outer_first is True,
    )
