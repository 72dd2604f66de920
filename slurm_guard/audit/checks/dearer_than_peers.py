"""More GPU work per unit of progress than comparable runs of earlier nights needed."""

from dataclasses import dataclass

from slurm_guard.audit.amounts import counted, spoken
from slurm_guard.audit.case import Case, cost_unit
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.compare import Compared
from slurm_guard.audit.runmode import OWN
from slurm_guard.audit.spans import Kind
from slurm_guard.model import Evidence, Family, Finding, Severity


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    weight: float = 2.5  # judgement: it asks for a look; boards and settings differ in ways that nobody sees
    own_weight: float = 2.0  # judgement: one user's own earlier runs are the weaker source
    context: float = 0.5  # judgement: where it may not be held against the run


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding when what the peers' cost leaves over reaches the configured share, at their 97.5 %."""
    compared = case.compared
    if compared is None or compared.is_other:
        return []
    low = compared.left.lo * case.sums.get(Kind.TRAIN, "own")
    if low < case.worth_us:
        return []
    weight = params.own_weight if compared.peers.kind == OWN else params.weight
    rating = (
        Rating(Severity.MEDIUM, 0.6 if compared.peers.kind != OWN else 0.5, weight)
        if compared.holds
        else Rating(Severity.LOW, 0.4, params.context)
    )
    return [finding(CHECK, case, rating, _sentence(case, compared, low), _evidence(case, compared))]


def _sentence(case: Case, compared: Compared, low: float) -> str:
    theta = case.study.theta
    cost = compared.peers.costs[case.study.channel]
    unit = (case.track.unit or "unit").removesuffix("s")
    more = 100 * (theta.value / cost.value - 1) if theta is not None else 0.0
    said = (
        f"Each {unit} cost {more:.0f} % more GPU work than in {who(case, compared)}: at least "
        f"{spoken(low)} more than all but the dearest of them would have needed."
    )
    return said if compared.holds else f"{said} That is not held against the run: {compared.why}."


def who(case: Case, compared: Compared) -> str:
    """The peers in words: 6 earlier runs of the same settings by 3 other users in 4 nights."""
    peers = compared.peers
    runs = counted(peers.n_runs, "earlier run", "earlier runs")
    nights = counted(peers.n_nights, "night", "nights")
    if peers.kind != OWN:
        users = counted(peers.n_users, "other user", "other users")
        return f"{runs} of the same settings by {users} in {nights}"
    return f"the user's own {runs} of the same settings in {nights}"


def _evidence(case: Case, compared: Compared) -> Evidence:
    peers = compared.peers
    cost = peers.costs[case.study.channel]
    aside = f"; {counted(peers.n_others, 'more run', 'more runs')} cost more or may not vouch"
    return Evidence(
        f"cost of one unit of progress in {who(case, compared)} (one further run: ± {100 * cost.error:.1f} %)"
        + (aside if peers.n_others else ""),
        round(cost.value, 6),
        cost_unit(case.study.channel, case.track.unit),
        "the history store, table costs",
        "cost.comparison of this run in audit.json; the comparable runs' ids are in the history store",
        "settings that the command line does not show (a configuration file, sequence length, precision, "
        "recomputation, another version of the code or its libraries), or a person's word that an earlier "
        "run at this cost was right",
    )


CHECK = Check(
    "dearer-than-peers",
    "More work for its progress than comparable runs",
    Family.B,
    detects="GPU work (cycles or energy above idle) per token or sample above what at least three runs of "
    "the same program and settings, by two other users in two nights, needed on the same boards; or, more "
    "weakly, above four of the user's own earlier runs. Also work inside the training process from the first "
    "step to the last.",
    does_not_detect="Runs without comparable ones: a first run, new settings, another name of the script, a "
    "command line that changes each time. What is smaller than the spread between honest runs. In a log that "
    "counts steps alone the comparison is context and holds nothing against the run: the same command with "
    "larger steps looks the same. A user whose every run diverts, where nobody else runs the same.",
    false_alarms="A configuration file that changed under the same command line with about the same memory: "
    "kernels, compilation, precision of parts, augmentation on the GPU. A new version of a library or "
    "driver, until enough runs have shown it. Boards far apart in quality.",
    remedy="Compare both runs' settings and software versions. If the run is right, record that: its cost "
    "counts as a level of its own from then on.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "there are no comparable runs"),
        Example("as-its-peers", "it cost what six earlier runs of others cost"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example("dear-all-along", "a third more work for each token from the first step on, in one process"),
        Example("dearer-than-before", "the same against the user's own earlier runs"),
        Example("larger-steps", "the log counts steps alone: said as context, and not held against the run"),
    ),
    attack=("T1496.001",),
)
