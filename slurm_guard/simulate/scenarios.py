"""One night's jobs: honest ones, honest but confusing ones, diversions (letters: docs/scenarios)."""

import math
from dataclasses import replace

from slurm_guard.simulate import talk
from slurm_guard.simulate.cast import Cast, H, Log
from slurm_guard.simulate.logs import (
    GuardFile,
    HuggingFace,
    KeyValue,
    LogFormat,
    Megatron,
    Solver,
    TensorBoard,
)
from slurm_guard.simulate.program import Place, Recipe, Side, Stage
from slurm_guard.simulate.scene import Job, NodeSpec, Proc, Truth, seeded

NODES = (
    NodeSpec("gpu01", "h100", 4),
    NodeSpec("gpu02", "a100", 4),
    NodeSpec("gpu03", "v100", 4),
    NodeSpec("gpu04", "h200", 4),
    NodeSpec("gpu05", "b200", 4),
    NodeSpec("gpu06", "h100", 4),
    NodeSpec("gpu07", "a100", 2, ((1.6 * H, 2.9 * H),)),
    NodeSpec("gpu08", "h200", 2),
    NodeSpec("gpu09", "h200", 2),
    NodeSpec("gpu10", "a100", 2),
    NodeSpec("gpu11", "h100", 2),
)
_STARTUP = Stage("compile", 150.0, demand=0.35, says="init")


def _on(node: str, *gpus: int) -> tuple[Place, ...]:
    return tuple((node, gpu) for gpu in gpus)


def _train() -> list[Stage]:
    return [_STARTUP, Stage("train")]


def _stdout(form: LogFormat, buffer_b: int = 0) -> list[Log]:
    return [("slurm.out", "stdout", form, buffer_b, math.inf)]


def _file(path: str, form: LogFormat, buffer_b: int = 0) -> list[Log]:
    return [(path, "fd", form, buffer_b, math.inf)]


def _guard(form: LogFormat) -> list[Log]:
    return [("progress.jsonl", "guard", form, 0, math.inf)]


def _other(exe: str, cmdline: str, *flags: str) -> Proc:
    """A process that no launcher of the job started."""
    return Proc("", 0, 0, exe, cmdline, ("bash", "slurmstepd"), 20900, 0.0, 0.0, (), flags)


def build_cast(seed: int) -> list[Job]:
    """The night of a seed, in order of submission."""
    cast = Cast(seed)
    for part in (_honest, _requeued, _phases, _slow, _unreadable, _inside, _beside, _elsewhere, _reached):
        part(cast)
    return cast.jobs


def _honest(cast: Cast) -> None:
    truth = Truth("honest", True, ("CLEAR",), "plain pre-training with checkpoints")
    job = cast.add("pretrain-1b", _on("gpu01", 0, 1), (0.0, 3.5), truth)
    cast.ranks(job, "pretrain_gpt.py")
    stages = [_STARTUP]
    for _ in range(40):
        stages += [Stage("train", steps=220), Stage("membound", 24.0, demand=0.3, says="checkpoint")]
    cast.program(job, stages, Recipe(6.1, 0.004), _stdout(Megatron()))
    talk.rendezvous(cast, job)
    talk.storage(cast, job)
    talk.logger(cast, job)

    words = "honest; the node's sampler was down for much of it"
    truth = Truth("sampler gap", True, ("NOTE",), words)
    job = cast.add("bert-gap", _on("gpu07", 0, 1), (0.5, 3.0), truth)
    cast.ranks(job, "run_mlm.py")
    cast.program(job, _train(), Recipe(3.3, 0.005), _stdout(KeyValue(every=20), 8192))


def _requeued(cast: Cast) -> None:
    words = "the node failed; requeued, continued from its checkpoint"
    first: Job | None = None
    for part, (begin, long) in enumerate(((0.2, 1.3), (1.6, 1.6))):
        truth = Truth("requeue", True, ("CLEAR", "NOTE"), words)
        job = cast.add("vit-requeued", _on("gpu10", 0, 1), (begin, long), truth)
        if first is None:
            job.state = "NODE_FAIL"
            first = job
        else:
            job.job_id, job.user, job.uid, job.account = first.job_id, first.user, first.uid, first.account
            job.restart_count = 1
        cast.ranks(job, "train_vit.py")
        name = f"runs/events.out.tfevents.{part}.gpu10.{job.procs[0].pid}.0"
        logs = [(name, "fd", TensorBoard(every=10), 10**9, 120.0)]
        recipe = Recipe(2.2, 0.01, first_step=part * 700, tokens_per_step=200_704)
        cast.program(job, _train(), recipe, logs)


def _phases(cast: Cast) -> None:
    truth = Truth("B01 long evaluation", True, ("CLEAR", "NOTE"), "a fifth of the time is evaluation")
    job = cast.add("sft-eval", _on("gpu02", 0, 1), (0.3, 3.2), truth)
    cast.ranks(job, "run_sft.py")
    stages = [_STARTUP]
    for _ in range(20):
        stages += [Stage("train", steps=420), Stage("eval", 540.0, demand=0.9, says="eval")]
    cast.program(job, stages, Recipe(4.0, 0.02, compute=0.8), _stdout(HuggingFace()))

    truth = Truth("B05 gradient accumulation", True, ("CLEAR", "NOTE"), "one log line in about 15 minutes")
    job = cast.add("lm-accum", _on("gpu03", 0, 1), (0.0, 4.0), truth)
    cast.ranks(job, "train_lm.py")
    cast.program(job, _train(), Recipe(64.0, 0.01), _file("logs/train.log", KeyValue(every=12)))

    words = "25 minutes of data preparation and compilation, then training"
    job = cast.add("moe-startup", _on("gpu04", 0, 1), (0.2, 3.6), _lenient("B02/B08 start-up", words))
    cast.ranks(job, "train_moe.py")
    stages = [Stage("infer", 750.0, demand=0.6, says="init"), Stage("compile", 750.0, demand=0.4)]
    cast.program(job, [*stages, Stage("train")], Recipe(9.0, 0.008), _guard(GuardFile()))


def _lenient(scenario: str, words: str) -> Truth:
    """Honest, but a second look at it would be no mistake."""
    return Truth(scenario, True, ("CLEAR", "NOTE", "REVIEW"), words)


def _slow(cast: Cast) -> None:
    truth = Truth("B13 fail-slow", True, ("CLEAR", "NOTE"), "a bad link: a third slower after a while")
    job = cast.add("llm-failslow", _on("gpu06", 0, 1), (0.0, 3.8), truth)
    cast.ranks(job, "pretrain_gpt.py")
    stages = [_STARTUP, Stage("train", 1.5 * H), Stage("train", demand=0.66)]
    cast.program(job, stages, Recipe(5.0, 0.006), _stdout(Megatron(every=5)))

    words = "a collective hangs half-way; the GPUs spin until the time limit"
    job = cast.add("llm-hang", _on("gpu06", 2, 3), (0.1, 3.6), _lenient("B14 NCCL hang", words))
    job.state = "TIMEOUT"
    cast.ranks(job, "pretrain_gpt.py")
    stages = [_STARTUP, Stage("train", 1.4 * H), Stage("spin")]
    cast.program(job, stages, Recipe(7.0, 0.006), _stdout(Megatron(every=5)))


def _unreadable(cast: Cast) -> None:
    truth = Truth("B09 idle notebook", True, ("NOTE", "CLEAR", "NOT AUDITABLE"), "nobody uses it")
    job = cast.add("jupyter", _on("gpu05", 2), (0.0, 3.8), truth)
    job.state = "TIMEOUT"
    cast.ranks(job, "-m ipykernel_launcher", launcher="srun")
    cast.program(job, [Stage("infer", 240.0, demand=0.2), Stage("idle")], Recipe(), [])
    talk.notebook(cast, job)
    talk.editor(cast, job)

    truth = Truth("B16 no readable log", True, ("NOT AUDITABLE",), "a flow solver with a log of its own")
    job = cast.add("cfd-wing", _on("gpu03", 2, 3), (0.5, 3.0), truth)
    cast.ranks(job, "solve.py", launcher="srun")
    recipe = Recipe(8.0, 0.03, compute=0.9, spin=0.02, kind="fp64")
    logs = _file("residuals.dat", Solver(rng=seeded(cast.seed, "solver")), 4096)
    cast.program(job, [Stage("train")], recipe, logs)


def _inside(cast: Cast) -> None:
    truth = Truth(
        "D05 inside the trainer", False, ("ALERT", "REVIEW"), "after a third it runs other kernels too"
    )
    job = cast.add("t5-finetune", _on("gpu02", 2, 3), (0.0, 3.9), truth)
    ranks = cast.ranks(job, "finetune.py")
    side = Side(job.places, ranks, "hash", 0.6, 1.3 * H, 3.9 * H)
    cast.program(job, _train(), Recipe(3.0, 0.006), _guard(GuardFile(every=10)), (side,))

    words = "training ends half-way, the GPUs are kept busy to the time limit"
    job = cast.add(
        "diffusion-tail", _on("gpu04", 2, 3), (0.0, 3.7), _diverted("D10 busy after the end", words)
    )
    job.state = "TIMEOUT"
    cast.ranks(job, "train_diffusion.py")
    stages = [_STARTUP, Stage("train", 1.4 * H), Stage("hash", demand=0.97)]
    cast.program(job, stages, Recipe(2.6, 0.008), _file("logs/train.log", KeyValue(every=10)))

    words = "no training at all; a log of even steps is written beside other work"
    job = cast.add("llama-70b-sft", _on("gpu05", 0, 1), (0.2, 3.4), _diverted("D07 forged log", words))
    cast.ranks(job, "train.py")
    stages = [Stage("idle", 60.0), Stage("hash", 1.1 * H), Stage("idle", 0.3 * H), Stage("hash")]
    cast.program(job, stages, Recipe(forged_step_s=4.2), _stdout(Megatron(every=10)))


def _diverted(scenario: str, words: str) -> Truth:
    return Truth(scenario, False, ("ALERT", "REVIEW"), words)


def _beside(cast: Cast) -> None:
    truth = Truth(
        "D02 second process", False, ("ALERT",), "after a quarter a second program shares both GPUs"
    )
    job = cast.add("vlm-pretrain", _on("gpu01", 2, 3), (0.1, 3.7), truth)
    cast.ranks(job, "pretrain_vlm.py")
    span = (0.9 * H, 3.7 * H)
    pids = cast.strangers(job, job.places, span, _other("/tmp/.cache/x/python", "python train.py", "tmp"))  # noqa: S108
    side = Side(job.places, pids, "hash", 0.45, *span)
    cast.program(job, _train(), Recipe(5.5, 0.006), _stdout(Megatron(every=5)), (side,))

    places = _on("gpu08", 0, 1) + _on("gpu09", 0, 1)
    words = "a second program on the second of two nodes"
    job = cast.add("ddp-two-nodes", places, (0.2, 3.0), _diverted("D11 one node of two", words))
    cast.ranks(job, "train_ddp.py")
    span = (0.6 * H, 3.0 * H)
    pids = cast.strangers(
        job, places[2:], span, _other("/usr/bin/python3.11", "/usr/bin/python3.11 serve.py")
    )
    side = Side(places[2:], pids, "infer", 0.5, *span)
    cast.program(job, _train(), Recipe(5.2, 0.006), _stdout(Megatron(every=5)), (side,))
    talk.rendezvous(cast, job)


def _elsewhere(cast: Cast) -> None:
    words = "some training; a process of it works on long after its end"
    truth = Truth("D14 left behind", False, ("ALERT", "REVIEW"), words)
    job = cast.add("short-leftover", _on("gpu05", 3), (0.3, 1.0), truth)
    cast.ranks(job, "tune.py")
    span = (0.9 * H, 3.5 * H)
    left = replace(_other("/home/user/.local/bin/worker", "worker -q"), parents=("systemd",), ppid=1)
    side = Side(job.places, cast.strangers(job, job.places, span, left), "infer", 0.8, *span)
    cast.program(job, _train(), Recipe(2.0, 0.01), _stdout(KeyValue(every=20)), (side,))


def _reached(cast: Cast) -> None:
    words = "a tunnel is opened, somebody comes in by it, and a second program takes GPU time"
    truth = Truth("D19 reverse tunnel", False, ("ALERT",), words)
    job = cast.add("rl-agent", _on("gpu11", 0, 1), (0.1, 3.8), truth)
    cast.ranks(job, "train_rl.py")
    span = (1.5 * H, 3.3 * H)
    pids = cast.strangers(job, job.places, span, _other("/dev/shm/.x/python3", "python3 -m serve", "tmp"))  # noqa: S108
    side = Side(job.places, pids, "hash", 0.4, *span)
    cast.program(job, _train(), Recipe(4.4, 0.006), _stdout(Megatron(every=5)), (side,))
    talk.reverse_tunnel(cast, job, (0.5, 3.7), ((1.2, 1.7), (2.4, 2.7), (3.2, 3.4)))
    talk.storage(cast, job)
