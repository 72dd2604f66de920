"""Which findings of a run the site has explained."""

from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard.model import Finding, Run
from slurm_guard.sitemodel import Explained
from slurm_guard.siteword import SCOPES, Exemption


@dataclass(frozen=True, slots=True)
class Known:
    """Exemptions by what they may be for: run ids, users, accounts. Most runs have none of them."""

    runs: dict[str, list[Exemption]]
    users: dict[str, list[Exemption]]
    accounts: dict[str, list[Exemption]]

    def near(self, run: Run) -> list[Exemption]:
        """Those for this run, the narrowest first, of these the latest."""
        lists = (self.runs.get(run.id), self.users.get(run.user), self.accounts.get(run.account))
        found = {e.id: e for some in lists if some is not None for e in some if e.is_for(run)}
        return sorted(found.values(), key=lambda e: (SCOPES.index(e.scope), -e.id))


NOTHING = Known({}, {}, {})


def known(exemptions: Sequence[Exemption]) -> Known:
    """The index of a night's exemptions."""
    found = Known({}, {}, {})
    for e in exemptions:
        found.runs.setdefault(e.subject.run, []).append(e)
        if e.scope in ("job-name", "user"):
            found.users.setdefault(e.subject.user, []).append(e)
        if e.scope == "account":
            found.accounts.setdefault(e.subject.account, []).append(e)
    return found


def explained(
    run: Run, findings: tuple[Finding, ...], known: Known
) -> tuple[tuple[Explained, ...], tuple[Finding, ...]]:
    """What was said of the findings that speak against the run, and the findings left over.

    Of several exemptions the one of the narrowest scope is shown.
    """
    near = known.near(run)
    if not near:
        return (), findings
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
    hard = check in said.hard
    return Explained(said.id, check, said.by.name, said.scope, hard, said.until_at, said.reason)
