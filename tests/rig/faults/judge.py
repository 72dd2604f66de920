"""Whether a fault hurt anybody: the job's outcome, its node, the data, the ledger, the trace."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from slurm_guard.model import Account, Judgement
from tests.rig.faults.case import Case
from tests.rig.faults.evidence import Row, Told, seen_s

# The hooks' own bound is 3 s (prolog/README.md); a second of accounting's rounding, two for a busy machine.
MOST_DELAY_S = 6.0
# A run is not seen from its first second to its last: accounting rounds to whole seconds at both ends, the
# prolog takes its time, a counter needs two readings. Measured without a fault: the first rows of the table.
EDGE_S = 3.0
_START_S = 3.0  # of a sampler that never said it had started: judgement
_HARSH = ("ALERT", "REVIEW")


class Outcome(NamedTuple):
    """One row, judged."""

    case: Case
    delay_s: float | None
    lost_s: float | None  # GPU-seconds of the job that no window covers
    allowed_s: float
    unobserved_s: float | None  # by the audit's ledger
    verdict: str
    trace: str
    problems: list[str]


class Found(NamedTuple):
    """What there is about a case."""

    rows: list[Row]
    windows: list[dict[str, Any]]
    seals: list[dict[str, Any]]
    said: list[str]
    judgements: list[Judgement]
    drained: list[str]
    collected: str  # collect's words
    victims: list[Judgement]  # of jobs that the fault itself was to end
    open_names: list[str]  # segments of the job that nobody closed


def judge(case: Case, found: Found, expected_line: str, window_s: float) -> Outcome:
    """All four, and what is wrong in words."""
    problems = [*case.troubles, *_job(case, found, expected_line), *found.drained]
    delay_s = None if case.begun_at is None or not found.rows else case.begun_at - found.rows[-1].start_at
    if delay_s is not None and delay_s > MOST_DELAY_S:
        problems.append(f"began {delay_s:.1f} s after its allocation")
    charged_s = float(sum(row.elapsed_s * row.n_gpus for row in found.rows))
    lost_s = max(0.0, charged_s - seen_s(found.windows)) if found.rows else None
    allowed_s = _allowed_s(case, found.rows, window_s)
    if lost_s is not None and lost_s > allowed_s:
        problems.append(f"{lost_s:.1f} GPU-s without data, {allowed_s:.1f} allowed")
    unobserved_s, verdict = _ledger(found.judgements)
    problems += _gap(lost_s, unobserved_s)
    problems += [_accused(one) for one in (*found.judgements, *found.victims) if one.verdict.value in _HARSH]
    problems += [f"{name} was never closed" for name in found.open_names] + _seals(found)
    trace = _trace(case, found)
    if not trace:
        problems.append(f"no trace of {' or '.join(case.fault.traces)}")
    return Outcome(case, delay_s, lost_s, allowed_s, unobserved_s, verdict, trace, problems)


def _job(case: Case, found: Found, expected_line: str) -> list[str]:
    """Its outcome is what it had been without the fault."""
    if not found.rows:
        return ["accounting has no end of the job"]
    last, problems = found.rows[-1], []
    if (last.state, last.exit_code) != ("COMPLETED", "0:0"):
        problems.append(f"the job ended as {last.state} {last.exit_code}")
    if expected_line not in found.said:
        problems.append(f"its output ends with {(found.said or ['nothing'])[-1]!r}")
    return problems


def _allowed_s(case: Case, rows: Sequence[Row], window_s: float) -> float:
    """The open window at each interruption, and the time in which nobody could see."""
    closed = [*case.blind, *_without_sampler(case)]
    total = EDGE_S * max(1, len(rows))
    n_open = 0 if case.fault.where == "nowhere" else 1
    for row in rows:
        inside = _union([(max(a, row.start_at), min(b, row.end_at + 1)) for a, b in closed])
        n_open = max(n_open, sum(a > row.start_at + 1 for a, _ in inside))
        total += sum(b - a for a, b in inside) * row.n_gpus
    return total + n_open * window_s


def _without_sampler(case: Case) -> list[tuple[float, float]]:
    """When it was away or stopped, until the new one says that it has started."""
    starts = sorted(told.at for told in case.told if told.name == "sampler-started")
    found = []
    for since_at, until_at in case.bench.watch.down:
        if until_at < case.since_at or since_at > case.until_at:
            continue
        said_at = next((at for at in starts if since_at - 1 <= at <= until_at + 30), until_at + _START_S)
        was_stopped = case.fault.name == "stopped"
        found.append((since_at, until_at if was_stopped else max(until_at, said_at)))
    return found


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for a, b in sorted(span for span in spans if span[1] > span[0]):
        if merged and a <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(b, merged[-1][1]))
        else:
            merged.append((a, b))
    return merged


def _ledger(judgements: list[Judgement]) -> tuple[float | None, str]:
    if not judgements:
        return None, "–"
    unseen_ms = sum(judgement.ledger_gpu_ms[Account.UNOBSERVED.value] for judgement in judgements)
    return unseen_ms / 1000, "+".join(judgement.verdict.value for judgement in judgements)


def _gap(lost_s: float | None, unobserved_s: float | None) -> list[str]:
    """What was lost stands in the ledger as unobserved."""
    if unobserved_s is None:
        return ["the audit has no such run"]
    if lost_s is not None and unobserved_s < lost_s - 2.0:
        return [f"{lost_s:.1f} GPU-s lost, the ledger says {unobserved_s:.1f} unobserved"]
    return []


def _accused(judgement: Judgement) -> str:
    by = ", ".join(finding.check for finding in judgement.findings if finding.weight > 0 or finding.hard)
    return f"an honest run, job {judgement.run.job_id}, is called {judgement.verdict.value} ({by})"


def _seals(found: Found) -> list[str]:
    """A seal that counts fewer windows than there are denies what was written."""
    sealed = sum(int(seal.get("n_windows", 0)) for seal in found.seals)
    if found.seals and not found.open_names and sealed != len(found.windows):
        return [f"the seals speak of {sealed} windows, there are {len(found.windows)}"]
    return []


def _trace(case: Case, found: Found) -> str:
    """The first of the fault's traces that is there, in words; empty: none."""
    for wanted in case.fault.traces:
        kind, _, words = wanted.partition(":")
        if kind in ("none", "any") and not words:
            return "nothing to tell" if kind == "none" else _any(case)
        proofs = [proof for proof in case.proofs if words in proof]
        if kind == "proof" and proofs:
            return proofs[-1]
        if kind == "seal" and any(seal.get("ended_by") == words for seal in found.seals):
            return f"seal: {words}"
        if kind == "collect" and str(case.job) in found.collected:
            return "refused by collect, in quarantine"
        match = next((told for told in case.told if _matches(told, kind, words, case)), None)
        if match is not None:
            return f"{match.name or 'syslog'}: {match.text}"[:160]
    return ""


def _matches(told: Told, kind: str, words: str, case: Case) -> bool:
    """Whether it is the trace; one that names a run must name the witness's."""
    if told.run is not None and f"/{case.job}/" not in told.run:
        return False
    if kind == "event":
        return bool(told.name) and told.name != "why" and told.name.startswith(words)
    return told.name == {"syslog": "", "why": "why"}.get(kind) and words in told.text


def _any(case: Case) -> str:
    """Any event of the sampler's own since the fault, but its start."""
    quiet = ("sampler-started", "gpu-found", "why", "")
    names = sorted({told.name for told in case.told} - set(quiet))
    return f"events: {', '.join(names)}" if names else ""
