"""Makes `tests/fixtures/lake1`: one small night with all that this release writes, by its own stages.

`python -m tests.formats.makelake` runs in /tmp/slurm-guard-lake1, as paths of the jobs' files stand in the
records. A lake that a release made is never made again: the next format gets a folder of its own.
"""

import math
import shutil
import sys
from pathlib import Path

from slurm_guard.cli.audit import audit
from slurm_guard.cli.collect import collect
from slurm_guard.document import from_json
from slurm_guard.memory.words import Book, append
from slurm_guard.model import Audit
from slurm_guard.simulate import night as nights
from slurm_guard.simulate import talk
from slurm_guard.simulate.cast import Cast
from slurm_guard.simulate.logs import GuardFile, Megatron
from slurm_guard.simulate.program import Recipe, Side, Stage
from slurm_guard.simulate.scene import Job, Proc, Truth
from slurm_guard.siteword import Disposition, Exemption, Speaker, Subject
from tests.formats.records import put_all

WORK = Path("/tmp/slurm-guard-lake1")
FIXTURE = Path(__file__).parents[1] / "fixtures" / "lake1"
NIGHT = "2025-10-14"
SPEAKER = Speaker("operator", 990, None)
SAID_AT = 1_760_500_000.0
AUDIT = "[audit]\nleast_gpu_h = 0.05\nsilence_s = 300\nparked_s = 600\nstartup_s = 300\n"


def cast(seed: int) -> list[Job]:
    """A training, one with a second program beside it and a line outwards, a notebook that nobody uses."""
    made = Cast(seed)
    honest = Truth("", True, (), "")
    train = [Stage("compile", 90.0, demand=0.35, says="init"), Stage("train")]
    job = made.add("pretrain", (("gpu11", 0),), (0.1, 0.6), honest)
    made.ranks(job, "pretrain.py")
    logs = [("slurm.out", "stdout", Megatron(), 0, math.inf)]
    made.program(job, train, Recipe(3.0, 0.006), logs)
    talk.rendezvous(made, job)

    job = made.add("agent", (("gpu11", 1),), (0.1, 0.8), honest)
    made.ranks(job, "train_rl.py")
    span = (300.0, 1300.0)
    like = Proc("", 0, 0, "/dev/shm/.x/python3", "python3 -m serve", ("bash",), 20900, 0.0, 0.0, (), ("tmp",))
    pids = made.strangers(job, job.places, span, like)
    side = Side(job.places, pids, "hash", 0.5, *span)
    guard = [("progress.jsonl", "guard", GuardFile(every=5), 0, math.inf)]
    made.program(job, train, Recipe(4.0, 0.006), guard, (side,))
    talk.reverse_tunnel(made, job, (0.1, 0.8), ((0.2, 0.4),))

    job = made.add("jupyter", (("gpu11", 0),), (0.75, 0.4), honest)
    made.ranks(job, "-m ipykernel_launcher", launcher="srun")
    made.program(job, [Stage("infer", 60.0, demand=0.2), Stage("idle")], Recipe(), [])
    return made.jobs


def settings_text(home: Path) -> str:
    """guard.toml of a copy of the fixture."""
    return (
        f'[lake]\npath = "{home}/lake"\nspools = ["{home}/spool"]\n[report]\npath = "{home}/reports"\n{AUDIT}'
    )


def judge(home: Path, settings: Path, up_to: int | None = None) -> Audit:
    """The night's audit, where the site keeps it."""
    night = (str(nights.BEGIN_AT), str(nights.BEGIN_AT + 3000))
    audit(
        since=night[0], until=night[1], sacct_file=home / "sacct.txt", lake=None, output=None,
        exit_code=False, config=settings, words_up_to=up_to, history=None, remember=None, ledger=None,
    )  # fmt: skip
    return from_json((home / "reports" / NIGHT / "audit.json").read_text("utf-8"))


def _say(done: Audit, words: Path) -> None:
    """At first that the notebook is known, then that what the agent was called for is right."""
    name = "agent" if words.exists() else "jupyter"
    judgement = next(one for one in done.judgements if one.run.name == name)
    run = judgement.run
    of = Subject(run.id, run.cluster, run.job, run.user, run.uid, run.account, run.name, run.start_at)
    checks = tuple(dict.fromkeys(finding.check for finding in judgement.findings))

    def make(number: int, _: Book) -> Exemption | Disposition:
        if name == "jupyter":
            return Exemption(number, SAID_AT, SPEAKER, of, "run", checks, (), SAID_AT + 86_400.0, "a course")
        return Disposition(number, SAID_AT, SPEAKER, of, "right", judgement.verdict, checks, "asked")

    append(words, make)


def main() -> int:
    """Simulate, collect, audit, say, audit again; then move all but the jobs' own files to the fixture."""
    shutil.rmtree(WORK, ignore_errors=True)
    setattr(nights, "build_cast", cast)  # noqa: B010  the night's jobs, in this process alone
    night = nights.simulate(WORK, 1, workers=1)
    put_all(night.spool)
    settings = WORK / "guard.toml"
    settings.write_text(settings_text(WORK), "utf-8")
    collect(config=settings)
    words = WORK / "reports" / "site-words.jsonl"
    _say(judge(WORK, settings), words)
    done = judge(WORK, settings)
    _say(done, words)
    for name in ("spool", "lake", "reports"):
        shutil.rmtree(FIXTURE / name, ignore_errors=True)
        shutil.copytree(WORK / name, FIXTURE / name, ignore=shutil.ignore_patterns(".lock", "open", "chain"))
    shutil.copy(WORK / "sacct.txt", FIXTURE)
    for judgement in done.judgements:
        print(judgement.run.name, judgement.verdict.value, [f.check for f in judgement.findings])
    print(done.skips)
    return 0


if __name__ == "__main__":
    sys.exit(main())
