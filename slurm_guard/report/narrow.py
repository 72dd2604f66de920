"""A part of a document: the runs of a job, of accounts, of users, of verdicts; and the words that say so."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from slurm_guard import sums
from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Audit, Judgement, Verdict
from slurm_guard.report import words
from slurm_guard.report.safe import clean

_MOST_NAMED = 6  # values that one line names; the rest is counted. Judgement.


def slug_of(judgement: Judgement) -> str:
    """The section of a report in which the run stands: its verdict, `explained`, `parked` or `burn-in`."""
    return _slug(sums.section_of(judgement))


def _slug(section: str) -> str:
    return section.lower().replace(" ", "-")


SLUGS = (*(_slug(v.value) for v in Verdict), sums.EXPLAINED, sums.PARKED, sums.BURN_IN)


@dataclass(frozen=True, slots=True)
class Narrow:
    """What is asked for. Empty and null hold for every run; of several values of one kind any will do."""

    job: str | None = None
    accounts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()  # of SLUGS

    @property
    def is_whole(self) -> bool:
        """Nothing is left out."""
        return self.job is None and not (self.accounts or self.users or self.verdicts)

    def holds(self, judgement: Judgement) -> bool:
        """Whether the run is meant. A user is named or given by uid."""
        run = judgement.run
        return (
            (self.job is None or self.job in (run.job, str(run.job_id)))
            and (not self.accounts or run.account in self.accounts)
            and (not self.users or run.user in self.users or str(run.uid) in self.users)
            and (not self.verdicts or slug_of(judgement) in self.verdicts)
        )

    def words(self) -> str:
        """What is asked for, in words that are harmless and short; empty: everything."""
        parts = [f"job {clean(self.job, 40)}"] if self.job is not None else []
        for word, values in (("account", self.accounts), ("user", self.users), ("verdict", self.verdicts)):
            if values:
                parts.append(f"{word} {_any_of(values)}")
        return ", ".join(parts)


def _any_of(values: Sequence[str]) -> str:
    shown = [clean(v, 40) for v in values[:_MOST_NAMED]]
    rest = len(values) - len(shown)
    return " or ".join(shown) + (f" or {rest:,} more" if rest > 0 else "")


def parse_narrow(
    job: str | None = None,
    accounts: Iterable[str] = (),
    users: Iterable[str] = (),
    verdicts: Iterable[str] = (),
) -> Narrow:
    """From options that may be repeated and hold commas. Raises GuardError verdict-unknown, narrow-empty."""
    wanted = tuple(map(_verdict, _split("verdict", verdicts)))
    return Narrow(job, _split("account", accounts), _split("user", users), wanted)


def _split(option: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Each once. One that was given and names nothing would show everything: an empty shell variable."""
    given = tuple(texts)
    parts = tuple(dict.fromkeys(part for text in given for p in text.split(",") if (part := p.strip())))
    if given and not parts:
        hint = "leave it away to see everything"
        raise GuardError("narrow-empty", f"--{option} names nothing", hint, EXIT_USAGE)
    return parts


def _verdict(text: str) -> str:
    slug = "-".join(text.lower().replace("_", " ").replace("-", " ").split())
    if slug in SLUGS:
        return slug
    near = difflib.get_close_matches(slug[:40], SLUGS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SLUGS)}"
    raise GuardError("verdict-unknown", f"there is no verdict {clean(text, 40)}", hint, EXIT_USAGE)


def spelled(narrow: Narrow, audit: Audit) -> Narrow:
    """Accounts as the document spells them: where it has none that is written so, those that differ in case
    alone (Slurm keeps accounts in lower case, and sacctmgr takes either)."""
    known = {j.run.account for j in audit.judgements} if narrow.accounts else set()
    by_case: dict[str, list[str]] = {}
    for name in sorted(known):
        by_case.setdefault(name.casefold(), []).append(name)
    found = [[a] if a in known else by_case.get(a.casefold(), [a]) for a in narrow.accounts]
    return replace(narrow, accounts=tuple(dict.fromkeys(name for names in found for name in names)))


def part_of(audit: Audit, narrow: Narrow) -> Audit:
    """The document with the runs that are meant alone, and what stands beside the ledger of these."""
    if narrow.is_whole:
        return audit
    narrow = spelled(narrow, audit)
    kept = tuple(j for j in audit.judgements if narrow.holds(j))
    ids = {j.run.id for j in kept}
    # Field by field: the night's trend is none of a part of it.
    return Audit(
        cluster=audit.cluster,
        from_at=audit.from_at,
        until_at=audit.until_at,
        version=audit.version,
        settings=audit.settings,
        judgements=kept,
        outside=tuple(o for o in audit.outside if o.run in ids),
        skips=audit.skips,
        nodes=audit.nodes,
        site=audit.site,
        sums=sums.groups(kept, audit.cluster),
        maintenance=audit.maintenance,
    )


def only(audit: Audit, narrow: Narrow) -> Audit:
    """The same. Raises GuardError job-unknown or narrow-nothing where no run is meant."""
    part = part_of(audit, narrow)
    if not part.judgements and not narrow.is_whole:
        raise _nothing(narrow, audit.judgements, "this document")
    return part


def only_job(audit: Audit, job: str) -> Audit:
    """The document with the runs of one job alone, by raw id or as Slurm shows it.

    Raises GuardError job-unknown.
    """
    return only(audit, Narrow(job=job))


def scope_words(narrow: Narrow, n_kept: int, n_all: int) -> str:
    """The line above everything; empty: nothing is left out."""
    if narrow.is_whole:
        return ""
    what = narrow.words()
    alone = f"{what[0].upper()}{what[1:]} alone"
    return f"{alone}: {share_words(n_kept, n_all)} of this night. {sums_words(n_kept)}"


def missing_words(narrow: Narrow, judgements: Iterable[Judgement]) -> str:
    """Accounts and users that were asked for beside others and have no run; empty: all have one."""
    accounts, users = _known(judgements)
    gone = [*(a for a in narrow.accounts if a not in accounts), *(u for u in narrow.users if u not in users)]
    return f"no run of {', '.join(clean(name, 40) for name in gone[:8])} stands here" if gone else ""


def share_words(n_kept: int, n_all: int) -> str:
    """How many of how many runs."""
    return "the only run" if n_kept == n_all == 1 else f"{n_kept:,} of the {words.plural(n_all, 'run')}"


def sums_words(n_kept: int) -> str:
    """What the sums below are of."""
    return "All sums are its own." if n_kept == 1 else "All sums are theirs."


def _nothing(narrow: Narrow, judgements: Sequence[Judgement], where: str) -> GuardError:
    if narrow.job is not None and not (narrow.accounts or narrow.users or narrow.verdicts):
        return GuardError(
            "job-unknown",
            f"no run of job {clean(narrow.job, 40)} stands in {where}",
            "look at the window above the report; a job without GPUs is not audited",
            EXIT_NOTHING_TO_AUDIT,
        )
    return nothing(narrow, _known(judgements), f"{len(judgements):,} runs of {where}")


def _known(judgements: Iterable[Judgement]) -> tuple[set[str], set[str]]:
    """Accounts and users that there are."""
    every = list(judgements)
    return {j.run.account for j in every}, {j.run.user for j in every}


def nothing(narrow: Narrow, known: tuple[set[str], set[str]], of_what: str) -> GuardError:
    """None of the runs is meant; the hint has the nearest names that there are."""
    near = []
    for values, names in ((narrow.accounts, known[0]), (narrow.users, known[1])):
        for value in (v for v in values if v not in names):
            near += difflib.get_close_matches(value[:80], sorted(names), n=1, cutoff=0.6)
    hint = f"did you mean {', '.join(clean(name, 40) for name in near[:3])}?" if near else "ask for less"
    return GuardError(
        "narrow-nothing", f"none of the {of_what} is of {narrow.words()}", hint, EXIT_NOTHING_TO_AUDIT
    )
