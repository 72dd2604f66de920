"""Which findings of a run the site has explained: one by one, or as burn-in.

What a job of burn-in need not explain is its own work on its own GPUs, which is made to be without progress.
A hard fact, the network, others' GPUs and what goes on after its end have nothing to do with that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from slurm_guard.configjobs import parse_jobs
from slurm_guard.model import Family, Finding, Run
from slurm_guard.networks import Rule
from slurm_guard.sitemodel import BURN_IN, Explained
from slurm_guard.siteword import SCOPES, Exemption

# What speaks of work alone; of the others those that mean a second program of the run on its own GPUs.
_WORK = frozenset({Family.B, Family.C, Family.D, Family.E, Family.H})
_OWN_WORK = frozenset({"second-program", "extra-context"})
BY = "guard.toml"  # who said that it is burn-in


@dataclass(frozen=True, slots=True)
class Known:
    """Exemptions by what they may be for: run ids, users, accounts. Most runs have none of them."""

    runs: dict[str, list[Exemption]]
    users: dict[str, list[Exemption]]
    accounts: dict[str, list[Exemption]]
    burn_in: tuple[tuple[str, Rule], ...] = ()  # entries of the configuration with the jobs that they mean

    def burn_in_of(self, run: Run) -> str | None:
        """The first entry that names the run's job; null: none does."""
        who = {"user": run.user, "account": run.account, "partition": run.partition, "qos": run.qos}
        return next((entry for entry, rule in self.burn_in if rule.is_for(**who)), None)

    def near(self, run: Run) -> list[Exemption]:
        """Those for this run, the narrowest first, of these the latest."""
        lists = (self.runs.get(run.id), self.users.get(run.user), self.accounts.get(run.account))
        found = {e.id: e for some in lists if some is not None for e in some if e.is_for(run)}
        return sorted(found.values(), key=lambda e: (SCOPES.index(e.scope), -e.id))


NOTHING = Known({}, {}, {})


def known(exemptions: Sequence[Exemption], burn_in: Sequence[str] = ()) -> Known:
    """The index of a night's exemptions, and `audit.burn_in`. Raises ValueError where an entry is none."""
    found = Known({}, {}, {}, tuple((entry, parse_jobs(entry)) for entry in burn_in))
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

    Of several exemptions the one of the narrowest scope is shown, and what somebody said of a run before
    what the configuration says of its kind.
    """
    near, entry = known.near(run), known.burn_in_of(run)
    if not near and entry is None:
        return (), findings
    said: dict[tuple[str, int], Explained] = {}
    others: list[Finding] = []
    for f in findings:
        found = next((e for e in near if e.covers(run, f)), None) if f.hard or f.weight > 0 else None
        if found is not None:
            said.setdefault((f.check, found.id), _word(f.check, found))
        elif entry is not None and _is_its_work(f):
            word = Explained(0, f.check, BY, BURN_IN, False, run.until_at, entry)
            said.setdefault((f.check, 0), word)
        else:
            others.append(f)
    return tuple(said.values()), tuple(others)


def _is_its_work(finding: Finding) -> bool:
    of_work = finding.family in _WORK or finding.check in _OWN_WORK
    return of_work and not finding.hard and finding.weight > 0


def _word(check: str, said: Exemption) -> Explained:
    hard = check in said.hard
    return Explained(said.id, check, said.by.name, said.scope, hard, said.until_at, said.reason)
