"""What Slurm does to hooks, fact by fact, with what stands behind each; docs/slurm-facts.md is made from it.

`python -m tests.unit.hooks.facts` writes the page; a test compares.
"""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "hooks"
PAGE = ROOT / "docs" / "slurm-facts.md"
VERSIONS = ("22.05", "24.11", "25.11", "26.05")


class Case(NamedTuple):
    """One sequence of hooks. `runs`: tickets that it must give, over all nodes."""

    what: str
    runs: int


CASES = {
    "batch": Case("`sbatch` with two GPUs and `--comment` (from 23.02 on also `--extra`)", 1),
    "failed": Case("a batch script that ends with status 3", 1),
    "cpu-only": Case("a job without GPUs: no `SLURM_JOB_GPUS`", 1),
    "array": Case("three array tasks, one after the other: the last takes the array's own id", 3),
    "het": Case("a heterogeneous job: leader and component, each with its own id", 2),
    "salloc": Case("an allocation without a step, `PrologFlags=Alloc`", 1),
    "salloc-two-nodes": Case("the same on two nodes: hooks on both", 2),
    "salloc-without-flags": Case("the same without `PrologFlags=Alloc`: two epilogs and no prolog", 0),
    "two-nodes": Case("a batch job on two nodes", 2),
    "requeue": Case("a job that its owner requeues: two runs of one id on one node", 2),
    "edited": Case("the owner edits the comment while the job runs", 1),
    "cleared": Case("the owner clears the comment: the epilog has an empty one", 1),
    "suspended": Case("suspended and resumed: no hook runs in between", 1),
    "resized": Case("a job that gives up one of its two nodes: an epilog there, the job goes on", 2),
    "mps": Case("half of a GPU by MPS: `CUDA_MPS_ACTIVE_THREAD_PERCENTAGE`", 1),
    "shard": Case("two shards of a GPU: nothing says so", 1),
    "oversubscribed": Case("`--oversubscribe` where the partition allows it", 1),
    "forced": Case("a partition with `OverSubscribe=FORCE`", 1),
    "exclusive": Case("`--exclusive`", 1),
    "mig": Case("MIG instances: their UUIDs in `CUDA_VISIBLE_DEVICES`, slots in `SLURM_JOB_GPUS`", 1),
}


class Fact(NamedTuple):
    """`how`: real (a test does it, or it was done on the rig's cluster), recorded (a fixture), source."""

    what: str
    how: str
    proof: str  # a test's name, a fixture's case, or a file of Slurm's


_PREP = "src/plugins/prep/script/prep_script_slurmd.c"
_GRES = "src/plugins/gres"
FACTS = (
    Fact(
        "The prolog's process group is killed when it is done",
        "real",
        "test_sampler_survives_the_kill_of_the_prologs_group",
    ),
    Fact(
        "A child that keeps stdout or stderr open delays the job",
        "real",
        "test_sampler_gets_its_own_session_and_nothing_of_the_callers",
    ),
    Fact("Another status than 0 drains the node", "source", _PREP),
    Fact("A user sets nothing but `SPANK_` variables of a hook's environment", "source", _PREP),
    Fact("The last array task takes the array's own id", "recorded", "array"),
    Fact("Each component of a het job has its own id and the leader's", "recorded", "het"),
    Fact("`salloc` without a step has prolog and epilog with `PrologFlags=Alloc`", "recorded", "salloc"),
    Fact("Without that flag it has epilogs and no prolog", "recorded", "salloc-without-flags"),
    Fact("The epilog of a requeued run has the next restart count", "recorded", "requeue"),
    Fact("The epilog has comment and extra as they are at the end", "recorded", "edited"),
    Fact("A cleared comment is an empty variable, not an absent one", "recorded", "cleared"),
    Fact("A relinquished node gets an ordinary epilog, in the middle of the job", "recorded", "resized"),
    Fact("No hook runs at suspend and resume", "recorded", "suspended"),
    Fact("An epilog may run more than once (before 26.05)", "source", "CHANGELOG/slurm-26.05.md"),
    Fact("Up to 22.05 nothing in it tells it from the next run's", "recorded", "requeue"),
    Fact(
        "One that comes while the job's steps live ends no run",
        "real",
        "test_an_epilog_that_is_run_again_does_not_end_the_next_run_of_its_job",
    ),
    Fact(
        "slurmd waits for the job's slurmstepds before it runs an epilog",
        "source",
        "src/slurmd/slurmd/req.c (pause_for_job_completion)",
    ),
    Fact(
        "Suspend under proctrack/cgroup freezes the step; its first process alone is stopped, too",
        "real",
        "test_a_frozen_job_is_suspended_though_its_state_is_any_sleepers",
    ),
    Fact(
        "Suspend under proctrack/linuxproc stops every process",
        "real",
        "test_a_suspended_job_is_told_when_it_stops_and_when_it_goes_on",
    ),
    Fact(
        "`SLURM_JOB_OVERSUBSCRIBE` (23.02) is YES where the node's CPUs may be shared, asked for or not",
        "recorded",
        "forced",
    ),
    Fact(
        "Else it is OK or, with `--exclusive`, NO; in 26.05 NO, and there is `SLURM_JOB_EXCLUSIVE`",
        "recorded",
        "exclusive",
    ),
    Fact(
        "Jobs that share a node's CPUs by OverSubscribe do not share its GPUs",
        "real",
        "test_jobs_that_oversubscribe_a_node_never_share_its_gpus",
    ),
    Fact("A suspended job keeps its GPUs", "real", "test_a_suspended_job_keeps_its_gpus"),
    Fact("A share by MPS is told by `CUDA_MPS_ACTIVE_THREAD_PERCENTAGE`", "recorded", "mps"),
    Fact("A shard is told by nothing", "recorded", "shard"),
    Fact(
        "`SLURM_JOB_STDOUT` is unset without `--output`; in 26.05 it is `slurm-%j.out`, a relative path",
        "recorded",
        "requeue",
    ),
    Fact(
        "cgroup/v2 has a job in `<node>_slurmstepd.scope/job_<id>`, 26.05 in a folder named by its SLUID",
        "recorded",
        "tests/fixtures/slurm/*/cgroup2.json",
    ),
    Fact(
        "A slurmstepd's title has the job's number, in 26.05 too",
        "recorded",
        "tests/fixtures/slurm/*/cgroup2.json",
    ),
    Fact(
        "sacct of 22.05 starts the row after a resize at the job's start, later ones at the resize",
        "recorded",
        "tests/fixtures/slurm/*/sacct.txt",
    ),
    Fact(
        "`CUDA_VISIBLE_DEVICES` holds a device's unique id (MIG) or its index",
        "source",
        f"{_GRES}/common/gres_common.c (gres_common_prep_set_env)",
    ),
)


def origin_of(version: str, case: str) -> str | None:
    """recorded or from source, by the fixtures' own first lines; null: there is none."""
    heads = {path.read_text().partition(",")[0] for path in FIXTURES.glob(f"{version}/{case}.*.env")}
    return "; ".join(sorted(head.removeprefix("# ") for head in heads)) or None


def recorded_on(fact: Fact) -> list[str]:
    """The releases on which what proves a recorded fact was recorded."""
    if "/" in fact.proof:
        return sorted(path.parent.name for path in ROOT.glob(fact.proof))
    return [version for version in VERSIONS if origin_of(version, fact.proof) == "recorded"]


def _how(fact: Fact) -> str:
    return f"recorded: {', '.join(recorded_on(fact))}" if fact.how == "recorded" else fact.how


def render() -> str:
    """The page."""
    lines = [
        "# Slurm's hooks: the facts we rely on",
        "",
        "Made by `python -m tests.unit.hooks.facts` from `tests/unit/hooks/facts.py` and the fixtures.",
        "",
        "## Environments",
        "",
        "Each case is a sequence of prologs and epilogs in `tests/fixtures/hooks/<version>/`. A test plays",
        "it through the real hooks and the sampler's run book (`tests/unit/hooks/test_fixtures.py`).",
        "*recorded*: written down by `python -m tests.rig.record_env` while that Slurm ran. *from source*:",
        "a recorded one with the variables that `prep_script_slurmd.c` of that release adds; nobody ran it.",
        "",
        f"| case | what happens | {' | '.join(VERSIONS)} |",
        f"| --- | --- |{' --- |' * len(VERSIONS)}",
    ]
    for name, case in CASES.items():
        cells = [origin_of(version, name) or "" for version in VERSIONS]
        lines.append(f"| {name} | {case.what} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Facts",
        "",
        "*real*: it is done on the rig's Slurm, or by the test itself; the named test keeps it, on whatever",
        "release the rig has. *recorded*: the named case or file, on the releases given.",
        "*source*: read, not run.",
        "",
        "| fact | how it is known | where |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {fact.what} | {_how(fact)} | `{fact.proof}` |" for fact in FACTS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
