"""Every check, in report order. A check that is not listed here does not exist."""

from slurm_guard.audit.check import Check
from slurm_guard.audit.checks import (
    busy_while_silent,
    extra_context,
    foreign_process,
    hearing,
    intent_edited,
    leftover_process,
    log_began_anew,
    log_integrity,
    no_step_rhythm,
    parked_allocation,
    progress_without_gpu,
    slower_beside,
    steps_too_regular,
    unlisted_holder,
    work_residual,
)

CHECKS: tuple[Check, ...] = (
    foreign_process.CHECK,
    leftover_process.CHECK,
    unlisted_holder.CHECK,
    extra_context.CHECK,
    work_residual.CHECK,
    slower_beside.CHECK,
    log_began_anew.CHECK,
    no_step_rhythm.CHECK,
    busy_while_silent.CHECK,
    progress_without_gpu.CHECK,
    steps_too_regular.CHECK,
    log_integrity.CHECK,
    parked_allocation.CHECK,
    hearing.NO_PROGRESS_SOURCE,
    hearing.RUN_WITHOUT_TICKET,
    hearing.HOOK_SILENT,
    hearing.UNSEALED,
    intent_edited.CHECK,
)
