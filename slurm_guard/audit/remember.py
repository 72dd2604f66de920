"""What an audit leaves for later ones: one row for each run and channel that has a cost of progress."""

from slurm_guard.audit.case import Case
from slurm_guard.audit.check import SPEAKS
from slurm_guard.audit.checks import dearer_than_peers
from slurm_guard.audit.levels import to_text
from slurm_guard.history import PastCost
from slurm_guard.model import Family, Judgement

_WORK = (Family.A, Family.B, Family.C, Family.F)


def remember(case: Case, judged: Judgement, window: tuple[float, float]) -> list[PastCost]:
    """Rows of one run; none without a cost. What the run itself showed, never what its peers made of it: else
    one night's error would become the next one's yardstick."""
    found = []
    for channel, fit in case.study.own.items():
        units = sum(block.units for block in fit.blocks)
        if fit.theta is None or units <= 0 or case.fingerprint is None:
            continue
        found.append(
            PastCost(
                cluster=case.run.cluster,
                run=case.run.id,
                from_at=window[0],
                until_at=window[1],
                uid=case.run.uid,
                account=case.run.account,
                partition=case.run.partition,
                gpu_model=case.fingerprint.gpu_model,
                n_gpus=case.fingerprint.n_gpus,
                n_nodes=case.fingerprint.n_nodes,
                settings=case.fingerprint.settings,
                code=case.fingerprint.code,
                source=case.fingerprint.source,
                unit=case.fingerprint.unit,
                channel=channel,
                theta=fit.theta.value,
                rel_error=round(fit.theta.rel_error, 6),
                rel_noise=round(fit.theta.rel_noise, 6),
                n_blocks=fit.theta.n_blocks,
                mean_cost=fit.work / units,
                levels=to_text(case.study.levels),
                mem_mib=case.mem_mib,
                coverage_pct=judged.coverage_pct,
                verdict=judged.verdict.value,
                trust=judged.progress.trust,
                families=_families(judged),
                is_dear=any(f.check == dearer_than_peers.CHECK.id for f in judged.findings),
                is_split=case.study.is_split,
                hidden_share=round(case.own_left.hi, 6),
            )
        )
    return found


def _families(judged: Judgement) -> str:
    """Letters of the families of work and network that spoke against the run, less the peers' word."""
    against = {
        f.family for f in judged.findings if f.weight >= SPEAKS and f.check != dearer_than_peers.CHECK.id
    }
    return "".join(family.name for family in _WORK if family in against)
