"""Honest families that are hard to see: short, cut, unmeasured, unlogged, or several processes at once."""

from dataclasses import replace
from math import inf
from random import Random

from bench.world.draw import after, draw, fill, idle
from bench.world.spec import Side, Spec, Stage, child, script


def short_job(rng: Random) -> Spec:
    """A run of minutes in windows of a minute."""
    return _short(draw(rng, length_s=rng.uniform(120, 900), window_s=60.0), rng)


def short_job_5s(rng: Random) -> Spec:
    """A run of minutes in windows of five seconds."""
    return _short(draw(rng, length_s=rng.uniform(120, 900), window_s=5.0), rng)


def _short(spec: Spec, rng: Random) -> Spec:
    spec.stages[0] = replace(spec.stages[0], length_s=rng.uniform(10, 60))
    return spec


def very_long(rng: Random) -> Spec:
    """A run of 6 to 11 hours."""
    return draw(rng, length_s=rng.uniform(20000, 40000), window_s=60.0, n_gpus=1)


def cut_window(rng: Random) -> Spec:
    """The audited window takes only a part of the run."""
    spec = draw(rng)
    spec.cut_front_s = rng.choice([0, 0.4]) * spec.length_s
    spec.cut_back_s = rng.choice([0.3, 0.2]) * spec.length_s
    return spec


def gaps(rng: Random) -> Spec:
    """The sampler was away for up to 15 minutes, several times."""
    spec = draw(rng)
    begins = [rng.uniform(0, spec.length_s) for _ in range(rng.randint(1, 5))]
    spec.gaps = tuple((begin_s, begin_s + rng.uniform(20, 900)) for begin_s in begins)
    return spec


def no_energy(rng: Random) -> Spec:
    """A board without power readings."""
    return draw(rng, measured=frozenset({"busy", "shares"}))


def no_busy(rng: Random) -> Spec:
    """A board without utilisation."""
    return draw(rng, measured=frozenset({"energy", "shares"}))


def no_shares(rng: Random) -> Spec:
    """A board that tells no processes apart."""
    return draw(rng, measured=frozenset({"energy", "busy"}), board="MI300X")


def cycles_only(rng: Random) -> Spec:
    """A board with cycle counters and process shares alone."""
    return draw(rng, measured=frozenset({"cycles", "shares"}))


def power_only(rng: Random) -> Spec:
    """A board with power alone."""
    return draw(rng, measured=frozenset({"power"}))


def nothing_meas(rng: Random) -> Spec:
    """A board that says nothing of itself: only process shares."""
    return draw(rng, measured=frozenset({"shares"}))


def no_clock_log(rng: Random) -> Spec:
    """A log without times: only the sampler's looks date its lines."""
    return draw(rng, log_clock_s=None, log_buffer_b=rng.choice([0, 8192]))


def buffered(rng: Random) -> Spec:
    """A log that reaches the disk in lumps of 8 KiB."""
    spec = draw(rng, log_buffer_b=8192, log_clock_s=rng.choice([None, 1.0, 1e-3]))
    spec.log_buffer_b = 8192
    return spec


def interactive(rng: Random) -> Spec:
    """A person at a notebook: bursts of any load, no log."""
    return _notebook(rng, has_log=False)


def interactive_log(rng: Random) -> Spec:
    """The same with a short training in each burst, logged from zero."""
    spec = _notebook(rng, has_log=True)
    spec.log_every = 5
    bursts = enumerate(stage for stage in spec.stages if stage.demand > 0)
    trained = iter(
        [replace(stage, trains=True, demand=0.9, steps_back=inf, is_new_segment=k > 0) for k, stage in bursts]
    )
    spec.stages = [next(trained) if stage.demand > 0 else stage for stage in spec.stages]
    return spec


def _notebook(rng: Random, has_log: bool) -> Spec:
    spec = draw(rng, has_log=has_log)

    def turn() -> tuple[Stage, Stage]:
        rest_s, work_s = rng.expovariate(1 / 300), rng.expovariate(1 / 120)
        return idle(rest_s), idle(work_s, demand=rng.uniform(0.2, 1), level=rng.uniform(0.2, 0.9))

    spec.stages = fill(spec.length_s, turn)
    return spec


def serving_bursty(rng: Random) -> Spec:
    """An inference server whose requests come in bursts."""
    spec = draw(rng, log_fields=("samples",), step_cv=0.6)
    loop = spec.loop

    def turn() -> tuple[Stage, Stage]:
        return replace(loop, length_s=rng.expovariate(1 / 120)), idle(rng.expovariate(1 / 120))

    spec.stages[1:] = fill(spec.length_s, turn)
    return spec


def hpc_nolog(rng: Random) -> Spec:
    """A solver without any log that counts."""
    return draw(rng, has_log=False)


def parked(rng: Random) -> Spec:
    """GPUs that are held and not used."""
    spec = draw(rng, has_log=False)
    spec.stages = [idle()]
    return spec


def parked_pulse(rng: Random) -> Spec:
    """The same with half a second of work each minute, against an idle-GPU rule."""
    spec = draw(rng, has_log=False)
    pulse = (idle(59), idle(1, demand=0.5, level=0.8))
    spec.stages = fill(spec.length_s + 60, lambda: pulse)
    return spec


def two_trainings_one_gpu(rng: Random) -> Spec:
    """Two trainings of one job on one GPU, each with its log."""
    spec = draw(rng, n_gpus=1)
    spec.sides = [_training(spec, "second", 0.9, rng.uniform(2, 8))]
    return spec


def hpo_concurrent(rng: Random) -> Spec:
    """Two to four more trainings of one search on the same GPU, each with its log."""
    spec = draw(rng, n_gpus=1)
    n = rng.randint(2, 4)
    spec.sides = [_training(spec, f"search{k}", 0.5, rng.uniform(2, 8)) for k in range(n)]
    return spec


def _training(spec: Spec, name: str, demand: float, step_gpu_s: float) -> Side:
    return Side(
        name,
        spec.all_gpus,
        after(60, demand),
        level=0.7,
        diverted=False,
        program=script(f"train.py --{name}"),
        written_b_per_s=5.0,
        step_gpu_s=step_gpu_s,
    )


def evaluator_beside(rng: Random) -> Spec:
    """The training starts a process that evaluates each checkpoint on the same GPUs."""
    spec = draw(rng)
    period_s, part = rng.uniform(300, 900), rng.uniform(0.1, 0.4)

    def evaluates(t_s: float, _: Stage | None) -> float:
        return 0.6 if t_s > 200 and t_s % period_s < period_s * part else 0.0

    program = child("eval.py")
    spec.sides = [Side("eval", spec.all_gpus, evaluates, level=0.6, diverted=False, program=program)]
    return spec


def one_gpu_of_two_used(rng: Random) -> Spec:
    """Two GPUs were asked for and one is used."""
    spec = draw(rng, n_gpus=2)
    spec.stages = [replace(stage, gpus=(0,)) for stage in spec.stages]
    return spec


FAMILIES = (
    short_job, short_job_5s, very_long, cut_window, gaps, no_energy, no_busy, no_shares, cycles_only,
    power_only, nothing_meas, no_clock_log, buffered, interactive, interactive_log, serving_bursty, hpc_nolog,
    parked, parked_pulse, two_trainings_one_gpu, hpo_concurrent, evaluator_beside, one_gpu_of_two_used,
)  # fmt: skip
