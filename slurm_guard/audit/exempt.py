"""Which findings of a run the site has explained."""

from collections.abc import Sequence

from slurm_guard.model import Finding, Run
from slurm_guard.sitemodel import Explained
from slurm_guard.siteword import SCOPES, Exemption


def explained(
    run: Run, findings: tuple[Finding, ...], exemptions: Sequence[Exemption]
) -> tuple[tuple[Explained, ...], tuple[Finding, ...]]:
    """What was said of the findings that speak against the run, and the findings left over.

    Of several exemptions the one of the narrowest scope is shown, of these the latest.
    """
    near = [e for e in exemptions if e.is_for(run)]
    if not near:
        return (), findings
    near.sort(key=lambda e: (SCOPES.index(e.scope), -e.id))
    said: dict[tuple[str, int], Explained] = {}
    others: list[Finding] = []
    for f in findings:
        found = next((e for e in near if e.covers(run, f)), None) if f.hard or f.weight > 0 else None
        if found is None:
            others.append(f)
        else:
            said.setdefault((f.check, found.id), _word(f.check, found))
    return tuple(said.values()), tuple(others)


def _word(check: str, said: Exemption) -> Explained:
    return Explained(said.id, check, said.by.name, said.scope, said.hard, said.until_at, said.reason)
