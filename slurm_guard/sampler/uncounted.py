"""Runs of whose connections no bytes are told, so that nothing can be said of tunnels: an older kernel's, and
those of the text tables."""

from __future__ import annotations

from slurm_guard.light import Iterable
from slurm_guard.sampler.flows import Flow
from slurm_guard.sampler.tcpdiag import TcpDiag

KERNEL, TEXT, NAMESPACE = "kernel", "text", "namespace"
WAIT_S = 60.0  # for the way into a network namespace, which may be open by then. Judgement


def uncounted(diag: TcpDiag | None, flows: Iterable[Flow], runs: set[str], mono_s: float) -> dict[str, str]:
    """Each with the reason: the kernel's diagnostics have no counts (those before 4.19), there are none and
    the text tables have to do, or so it is in a network namespace of the run's."""
    if diag is None or diag.tells_bytes is False:
        return dict.fromkeys(runs, TEXT if diag is None else KERNEL)
    return {flow.run: NAMESPACE for flow in flows if flow.run in runs and flow.is_uncounted(mono_s, WAIT_S)}
