"""What a user may read of a night: his own runs, without a word that names anybody else (rulings 26).

Texts of the audit are free words: one that names another user, his uid, his job or his process is left out
whole, not mended. What the user himself wrote (a job's name, its paths) stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slurm_guard import sums
from slurm_guard.model import Audit, Evidence, Finding, Judgement, NodeCoverage, Skip, Timeline
from slurm_guard.sitemodel import Explained

LEFT_OUT = "(left out: it names somebody else's run or process)"
_SITE = "the site"
_LAKE, _STAFF = "slurm-guard lake ", "for the site's staff: "  # whom alone the lake is open to
_UID = re.compile(r"\buid[ :=]*(\w+)", re.IGNORECASE)
_PID = re.compile(r"\b(?:pid|process)[ :=]*(\d+)", re.IGNORECASE)
_JOB = re.compile(r"\bjobs?[ :=]*(\d+)", re.IGNORECASE)
_RUN = re.compile(r"(?<=[^\s/])/(\d+)/\d+")  # a published id, behind the cluster's name
_WORD = re.compile(r"[\w.@$-]+")
_PART = re.compile(r"[.@$_-]")
MOST_TEXT = (
    20_000  # characters that are looked through; a longer text goes. Judgement: no sentence has so many
)
_LEAST_NUMBER = 1000  # a lone number below is a count of something, and no uid of a person or late job id


@dataclass(frozen=True, slots=True)
class Others:
    """How a text may name somebody else. `uid` is the reader's."""

    uid: int
    jobs: frozenset[str]  # the reader's
    named: Mapping[str, set[int | None]]  # users' names, uids and job ids, and whose they are
    pids: frozenset[str]  # of their processes, as far as the document knows them
    known: dict[str, bool] = field(default_factory=dict)  # texts that were looked at: many come again

    def are_in(self, text: str) -> bool:
        """Whether it names one; rather once too often."""
        found = self.known.get(text)
        if found is None:
            found = self.known[text] = self._are_in(text)
        return found

    def _are_in(self, text: str) -> bool:
        return (
            len(text) > MOST_TEXT
            or any(found != str(self.uid) for found in _UID.findall(text))
            or any(found in self.pids for found in _PID.findall(text))
            or any(found not in self.jobs for found in (*_JOB.findall(text), *_RUN.findall(text)))
            or any(self.uid not in self.named[w] for w in _words(text) if w in self.named)
        )

    def cut(self, text: str) -> str:
        """The text, or the words that it was left out."""
        return LEFT_OUT if self.are_in(text) else text


def _words(text: str) -> set[str]:
    """Words, and the parts of those that are put together: `alice-node`, `alice.smith`."""
    whole = {word.strip(".-") for word in _WORD.findall(text)}
    return whole | {part for word in whole if _PART.search(word) for part in _PART.split(word)}


def uids_of(audit: Audit) -> list[int]:
    """Everybody who has runs in it; a run of which the user is not known is nobody's."""
    return sorted({j.run.uid for j in audit.judgements if j.run.uid is not None})


def splitter(audit: Audit) -> Callable[[int], Audit]:
    """A function from a uid to that user's own document; what they share is gathered once."""
    by_uid: dict[int, list[Judgement]] = {}
    for judgement in audit.judgements:
        if judgement.run.uid is not None:
            by_uid.setdefault(judgement.run.uid, []).append(judgement)
    named: dict[str, set[int | None]] = {}
    for run in (j.run for j in audit.judgements):
        numbers = [n for n in (run.uid, run.job_id) if n is not None and n >= _LEAST_NUMBER]
        for name in (run.user, *map(str, numbers), run.job if run.job_id >= _LEAST_NUMBER else ""):
            named.setdefault(name, set()).add(run.uid)
    for uid in (o.uid for o in audit.outside if o.uid is not None and o.uid >= _LEAST_NUMBER):
        named.setdefault(str(uid), set()).add(uid)
    named.pop("", None)

    def own(uid: int) -> Audit:
        kept = by_uid.get(uid, [])
        return _own(audit, kept, _others(audit, kept, uid, named))

    return own


def only_uid(audit: Audit, uid: int) -> Audit:
    """The document of one user's runs, in which nothing names anybody else."""
    return splitter(audit)(uid)


def _others(audit: Audit, kept: list[Judgement], uid: int, named: Mapping[str, set[int | None]]) -> Others:
    return Others(
        uid,
        frozenset(str(part) for j in kept for part in (j.run.job_id, j.run.job)),
        named,
        frozenset(str(o.pid) for o in audit.outside if o.pid is not None and o.uid != uid),
    )


def _own(audit: Audit, kept: list[Judgement], others: Others) -> Audit:
    ids = {j.run.id for j in kept}
    nodes = {node for j in kept for node in j.run.nodes}
    # Field by field: one that a later release adds says nothing here until somebody has thought of it.
    return Audit(
        cluster=audit.cluster,
        from_at=audit.from_at,
        until_at=audit.until_at,
        version=audit.version,
        settings={},  # of the site: whom it allows what
        judgements=tuple(_judgement(j, others) for j in kept),
        outside=tuple(
            replace(o, sentence=others.cut(o.sentence))
            for o in audit.outside
            if o.run in ids and o.uid == others.uid
        ),
        skips=tuple(_skip(s, others) for s in audit.skips if s.subject in ids),
        nodes=tuple(heard_alone(n, kept) for n in audit.nodes if n.node in nodes),
        sums=sums.groups(kept, audit.cluster),
    )


def heard_alone(node: NodeCoverage, kept: list[Judgement]) -> NodeCoverage:
    """That it was heard; how much, and what it said, is of everybody's runs on it."""
    seen = any(j.coverage_pct > 0 for j in kept if node.node in j.run.nodes)
    heard_at = node.last_heard_at if seen else None
    return NodeCoverage(node.node, 0, 0, heard_at, "")


def _skip(skip: Skip, others: Others) -> Skip:
    return replace(skip, detail=others.cut(skip.detail))


def _judgement(judgement: Judgement, others: Others) -> Judgement:
    progress = judgement.progress
    cost = judgement.cost
    comparison = (
        None if cost.comparison is None else replace(cost.comparison, why=others.cut(cost.comparison.why))
    )
    return replace(
        judgement,
        sentence=others.cut(judgement.sentence),
        findings=tuple(_finding(f, others) for f in judgement.findings),
        progress=replace(
            progress, sources=_cut_all(progress.sources, others), problems=_cut_all(progress.problems, others)
        ),
        cost=replace(cost, comparison=comparison),
        timeline=None if judgement.timeline is None else _timeline(judgement.timeline, others),
        notes=_cut_all(judgement.notes, others),
        explained=tuple(map(_explained, judgement.explained)),
        burn_in=None if judgement.burn_in is None else _SITE,  # the entry may name others
    )


def _cut_all(texts: Iterable[str], others: Others) -> tuple[str, ...]:
    return tuple(map(others.cut, texts))


def _finding(finding: Finding, others: Others) -> Finding:
    return replace(
        finding,
        sentence=others.cut(finding.sentence),
        evidence=tuple(_evidence(e, others) for e in finding.evidence),
        attack=(),  # whom the site's auditors think of is no word to the owner
    )


def _evidence(evidence: Evidence, others: Others) -> Evidence:
    """The number stays. Where its words go, what shows it goes too: it names the process as well."""
    if any(map(others.are_in, (evidence.what, evidence.see))):
        return Evidence(
            LEFT_OUT, evidence.value, evidence.unit, evidence.source, "", others.cut(evidence.clears)
        )
    see = f"{_STAFF}{evidence.see}" if _LAKE in evidence.see else evidence.see
    return replace(evidence, source=others.cut(evidence.source), see=see, clears=others.cut(evidence.clears))


def _timeline(timeline: Timeline, others: Others) -> Timeline:
    return replace(timeline, events=[replace(e, text=others.cut(e.text)) for e in timeline.events])


def _explained(said: Explained) -> Explained:
    """That it was explained and until when; who said so, and why, is the site's own word."""
    return replace(said, by=_SITE, reason="explained by the site")
