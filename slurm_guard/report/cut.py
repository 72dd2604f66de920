"""A part of a document for those who may see only that: no run of others in it, and none of their names."""

import re
from collections.abc import Collection
from dataclasses import replace

from slurm_guard.model import Audit, Evidence, Finding, Judgement, TimelineEvent
from slurm_guard.report.own import heard_alone

_UID = re.compile(r"\b(uid[ =:]{1,3})(\d+)")
_ELSE = "somebody else"
_OF_PEOPLE = frozenset({"burn_in", "maintenance_admins"})  # settings that name whom they are about
_LEAST_NAME = 2  # a user called `a` would blot out every article


def only_accounts(audit: Audit, accounts: Collection[str]) -> Audit:
    """The document with the runs of some Slurm accounts alone (lower case, as Slurm keeps them).

    What is of the whole cluster goes: skips, what nodes say, sums, the nights before, settings but the
    audit's own, and the site's word. Users of other accounts lose their names in what is said of these runs.
    """
    wanted = {name.lower() for name in accounts}
    kept = [j for j in audit.judgements if j.run.account.lower() in wanted]
    users, nodes = {j.run.user for j in kept}, {node for j in kept for node in j.run.nodes}
    hidden = {j.run.user for j in audit.judgements} - users
    jobs = {name for j in audit.judgements for name in (j.run.job, str(j.run.job_id))}
    jobs -= {name for j in kept for name in (j.run.job, str(j.run.job_id))}
    veil = _Veil(hidden, {str(j.run.uid) for j in kept}, jobs)
    settings = audit.settings.get("audit", {})
    if isinstance(settings, dict):
        settings = {key: value for key, value in settings.items() if key not in _OF_PEOPLE}
    return replace(
        audit,
        judgements=tuple(veil.judgement(j) for j in kept),
        outside=(),
        skips=(),
        nodes=tuple(heard_alone(n, kept) for n in audit.nodes if n.node in nodes),
        settings={"audit": settings} if settings else {},
        site=None,
        sums=(),
        trend=(),
        maintenance=(),
    )


class _Veil:
    """Takes names, uids and job numbers of others out of sentences."""

    def __init__(self, users: Collection[str], own_uids: Collection[str], jobs: Collection[str]) -> None:
        names = sorted((n for n in users if len(n) >= _LEAST_NAME), key=len, reverse=True)
        # \b would find `ann` in `ann-2`, who is somebody else; in a path a name is hidden as well.
        edge = r"(?<![\w-])(?:{})(?![\w-])"
        self._names = re.compile(edge.format("|".join(map(re.escape, names)))) if names else None
        self._own_uids = frozenset(own_uids)
        self._jobs = frozenset(jobs)

    def text(self, text: str) -> str:
        shown = self._names.sub(_ELSE, text) if self._names is not None else text
        shown = _UID.sub(lambda m: m[0] if m[2] in self._own_uids else f"{m[1]}of {_ELSE}", shown)
        return re.sub(
            r"\b(jobs? )(\d[\d_+]*)", lambda m: f"{m[1]}of {_ELSE}" if m[2] in self._jobs else m[0], shown
        )

    def judgement(self, judgement: Judgement) -> Judgement:
        timeline = judgement.timeline
        if timeline is not None:
            timeline = replace(timeline, events=[self._event(e) for e in timeline.events])
        return replace(
            judgement,
            sentence=self.text(judgement.sentence),
            findings=tuple(self._finding(f) for f in judgement.findings),
            notes=tuple(map(self.text, judgement.notes)),
            timeline=timeline,
            explained=(),
            burn_in=None if judgement.burn_in is None else self.text(judgement.burn_in),
            left=judgement.left,
        )

    def _finding(self, finding: Finding) -> Finding:
        evidence = tuple(self._evidence(e) for e in finding.evidence)
        return replace(finding, sentence=self.text(finding.sentence), evidence=evidence)

    def _evidence(self, e: Evidence) -> Evidence:
        return replace(
            e, what=self.text(e.what), source=self.text(e.source), see=self.text(e.see),
            clears=self.text(e.clears),
        )  # fmt: skip

    def _event(self, event: TimelineEvent) -> TimelineEvent:
        return replace(event, text=self.text(event.text))
