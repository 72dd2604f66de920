"""The log counts tokens faster than the run's GPUs can do the arithmetic of them."""

from dataclasses import dataclass

from slurm_guard.audit import see
from slurm_guard.audit.amounts import counted, lasting
from slurm_guard.audit.analytic import FORWARD, THROUGH, many, token_arcs
from slurm_guard.audit.arithmetic import claims_arithmetic
from slurm_guard.audit.boards import Reach
from slurm_guard.audit.case import Case
from slurm_guard.audit.check import Check, Example, Rating, finding
from slurm_guard.audit.size import HEADER, Size
from slurm_guard.audit.sustained import Pace, faster_than
from slurm_guard.model import Evidence, Family, Finding, Severity

SERVES = "vllm:"  # its count of prompts holds what its caches answered without arithmetic


@dataclass(frozen=True, slots=True)
class Params:
    """Thresholds."""

    margin: float = 1.5  # of the data sheet's fastest mode with sparsity. Judgement: boards may clock higher,
    # and trainings reach a third of that mode at best
    weight: float = 2.0  # judgement: as other records that cannot be so; family D lists no run by itself
    context: float = 0.5  # judgement: where a slip in counting is as likely, or other jobs may share the work


def find(case: Case, params: Params) -> list[Finding]:
    """A soft finding where the count lasts beyond what the run's GPUs can do; context where something agrees
    with the log's pace, no loss is told, the model's size may be mostly experts, or its user had more GPUs.
    """
    size, reach = case.size, case.reach
    if size is None or reach is None or any(name.startswith(SERVES) for name in case.track.sources):
        return []
    trains = claims_arithmetic(case.track)
    needs = (THROUGH if trains else FORWARD) * size.least
    window = (case.run.from_at, case.run.until_at)
    arcs = token_arcs(case.track)
    pace = faster_than(arcs, window, params.margin * reach.most / needs)
    if pace is None:
        return []
    alone = faster_than(arcs, window, params.margin * reach.user_most / needs) is not None
    speaks = alone and trains and size.dense is not None and not case.study.agreement.agreed
    rating = (
        Rating(Severity.MEDIUM, 0.7, params.weight) if speaks else Rating(Severity.LOW, 0.4, params.context)
    )
    sentence = _sentence(case, size, pace, needs * pace.tokens_s / reach.most)
    if not alone:
        sentence += " The user's other jobs at the time may have shared the work."
    return [finding(CHECK, case, rating, sentence, _evidence(case, pace, needs, reach))]


def _sentence(case: Case, size: Size, pace: Pace, times: float) -> str:
    by = "its checkpoint's headers" if size.source == HEADER else "its own words"
    gpus = counted(case.run.n_gpus, "GPU", "GPUs")
    return (
        f"For {lasting(pace.seconds)} the log counts {pace.tokens_s:,.0f} tokens a second of a model with "
        f"{many(size.params)} parameters (by {by}): at least {times:.1f} times what the run's {gpus} can "
        "compute in the fastest mode on their data sheet. One of the two does not describe this work."
    )


def _evidence(case: Case, pace: Pace, needs: float, reach: Reach) -> Evidence:
    return Evidence(
        f"arithmetic that the count needs at least ({needs:.3g} operations a token), of {reach.most:.3g} a "
        "second that the GPUs have",
        round(needs * pace.tokens_s / reach.most, 3),
        "times",
        "lake tables points (tokens), logs (params, dense, params_from) and windows (model, mig)",
        see.both(
            see.rows(case.run, "points", "at,step,tokens"),
            see.logs(case.run, "path,params,dense,params_from"),
        ),
        "how the log counts: padding or packed sequences, each micro-batch as a whole batch, characters or "
        "bytes, prompts of rollouts, cached inputs, layers that most tokens skip, work of other jobs or "
        "machines; or a file in the run's folder that is another model's",
    )


CHECK = Check(
    "impossible-rate",
    "More tokens than the GPUs can compute",
    Family.D,
    detects="Tokens that a log counts faster than the run's GPUs can do the least arithmetic for a model of "
    "the size that the checkpoints' headers or the log tell: 4 operations per parameter and token with a "
    "loss, 2 without, against one and a half times the fastest mode on the data sheet, for ten minutes and "
    "a fifth of the log and more.",
    does_not_detect="A log that claims a pace which the GPUs could reach; one that names no size, or counts "
    "no tokens; GPUs whose peak is not known. Of a size whose experts are not told apart a 32nd is taken to "
    "be at work. A forged log is rarely that careless: mistakes in counting are commoner.",
    false_alarms="Counting: padding, micro-batches counted as batches, bytes, cached or skipped tokens, one "
    "log for several jobs. Both numbers are the log's own, so that it is soft, brings no run onto the list "
    "by itself, and is context where the GPU's rhythm or pace agrees with the log.",
    remedy="Ask what a token is in this log, and which model the folder's checkpoints are of.",
    params=Params(),
    find=find,
    explained=(
        Example("honest", "the log names no size"),
        Example("sized", "a model of 8 billion parameters at a quarter of the peak"),
        Example("counted-twice", "tokens counted for each of four micro-batches: odd, and not impossible"),
        Example("too-fast-unknown-gpu", "the board's peak is not known"),
        Example("no-data", "nothing was heard"),
    ),
    flagged=(
        Example(
            "too-fast", "three times what the board can do, at a pace that the GPU's rhythm confirms: context"
        ),
        Example("too-fast-alone", "the same where nothing agrees with the log"),
    ),
    attack=("T1565.001",),
)
