"""Diverting families that were held out once: the audit has been changed because of them, and knows them.

`share` is the part of the work that is diverted over the stretch in which it is.
"""

from dataclasses import replace
from random import Random

from bench.world import courses
from bench.world.draw import after, beside, draw, idle, inside, middle, repeat, wish
from bench.world.spec import Forged, Side, Spec, Stage, When


def side_throttled(rng: Random, share: float) -> Spec:
    """A second process that works in bursts of 1 to 20 s at random, so that it looks like jitter."""
    spec = draw(rng)
    on: list[float] = []
    duty = rng.uniform(0.2, 0.5)
    demand = wish(spec, share) / duty
    while len(on) <= spec.length_s:
        work_s = rng.randint(1, 20)
        on += [1.0] * work_s + [0.0] * round(work_s * (1 - duty) / duty)
    return beside(spec, share, lambda t_s, _: demand * on[int(t_s)] if 60 < t_s < spec.length_s else 0.0)


def side_ramps(rng: Random, share: float) -> Spec:
    """A second process that takes nothing at first and twice its share at the end."""
    spec = draw(rng)
    most = 2 * wish(spec, share)
    return beside(spec, share, lambda t_s, _: most * min(1.0, t_s / spec.length_s) if t_s > 60 else 0.0)


def side_respawns(rng: Random, share: float) -> Spec:
    """A second process that ends and begins anew under another pid every 5 to 15 minutes."""
    spec = draw(rng)
    demand, begin_s, n = wish(spec, share), 60.0, 0
    while begin_s < spec.length_s:
        length_s = rng.uniform(300, 900)
        when = _between(begin_s, begin_s + length_s, demand)
        spec.sides.append(Side(f"side{n}", spec.all_gpus, when))
        begin_s += length_s + rng.uniform(5, 60)
        n += 1
    return spec


def side_hops(rng: Random, share: float) -> Spec:
    """One at a time, second processes take one GPU of several, and another GPU every few minutes."""
    spec = draw(rng, n_gpus=rng.choice([2, 4]))
    demand, begin_s, n = spec.n_gpus * wish(spec, share), 60.0, 0
    while begin_s < spec.length_s:
        length_s = rng.uniform(200, 900)
        when = _between(begin_s, begin_s + length_s, demand)
        spec.sides.append(Side(f"side{n}", (rng.randrange(spec.n_gpus),), when))
        begin_s += length_s
        n += 1
    return spec


def side_two_small(rng: Random, share: float) -> Spec:
    """Two second processes of half the share each."""
    spec = draw(rng)
    half = wish(spec, share) / 2
    spec.sides = [Side(f"side{k}", spec.all_gpus, after(60, half)) for k in range(2)]
    return spec


def side_last_third(rng: Random, share: float) -> Spec:
    """A second process in the last third of the run."""
    spec = draw(rng)
    return beside(spec, share, after(spec.length_s * rng.uniform(0.6, 0.75), wish(spec, share)))


def side_serves(rng: Random, share: float) -> Spec:
    """A second process that serves requests which come at random: sold inference."""
    spec = draw(rng)
    demand = wish(spec, share)
    load = courses.plateaus(rng, spec.length_s, 0.2, 1.8)
    return beside(spec, share, lambda t_s, _: demand * load(t_s) if t_s > 60 else 0.0, level=0.6)


def inproc_ramps(rng: Random, share: float) -> Spec:
    """Work inside the ranks that begins with nothing and takes twice its share at the end."""
    spec = draw(rng)
    most = 2 * wish(spec, share)
    return inside(spec, lambda t_s, _: most * min(1.0, t_s / spec.length_s) if t_s > 60 else 0.0)


def inproc_pulses(rng: Random, share: float) -> Spec:
    """Work inside the ranks for some seconds of every half minute or so, from the first quarter on."""
    spec = draw(rng)
    period_s, duty = rng.uniform(15, 45), rng.uniform(0.2, 0.5)
    begin_s, demand = middle(spec, rng, 0.2, 0.4), wish(spec, share) / duty

    def when(t_s: float, _: Stage | None) -> float:
        return demand if t_s > begin_s and t_s % period_s < duty * period_s else 0.0

    return inside(spec, when)


def inproc_on_and_off(rng: Random, share: float) -> Spec:
    """Work inside the ranks for 10 to 40 minutes, rest for as long, at random."""
    spec = draw(rng)
    demand = wish(spec, share)
    turns: list[tuple[float, float]] = []
    begin_s = rng.uniform(300, 900)
    while begin_s < spec.length_s:
        turns.append((begin_s, begin_s + rng.uniform(600, 2400)))
        begin_s = turns[-1][1] + rng.uniform(600, 2400)
    return inside(spec, lambda t_s, _: demand if any(a < t_s < b for a, b in turns) else 0.0)


def inproc_after_crash(rng: Random, share: float) -> Spec:
    """The training crashes and goes on from its checkpoint with other work inside its new processes."""
    spec = draw(rng)
    loop, begin_s = spec.loop, middle(spec, rng, 0.3, 0.5)
    again = replace(loop, steps_back=rng.uniform(5, 100), is_new_segment=True)
    spec.stages = [spec.stages[0], replace(loop, length_s=begin_s), idle(90, demand=0.2, level=0.4), again]
    spec.restarts_s = (begin_s + spec.stages[0].length_s + 45,)
    return inside(spec, after(begin_s + spec.stages[0].length_s + 90, wish(spec, share)))


def inproc_tunnel(rng: Random, share: float) -> Spec:
    """Work joins in inside the ranks, and a reverse tunnel leads to it."""
    spec = draw(rng)
    return inside(spec, after(middle(spec, rng, 0.2, 0.5), wish(spec, share)))


def inproc_longer_evals(rng: Random, share: float) -> Spec:
    """Named evaluations of a minute or so become longer by other work from the middle on."""
    spec = draw(rng)
    loop, period_s = spec.loop, rng.uniform(400, 900)
    n = int(spec.length_s / period_s) + 1
    own_s = rng.uniform(30, 90)

    def turn(k: int) -> tuple[Stage, ...]:
        more_s = period_s * share if k > n / 2 else 0.0
        evaluates = idle(own_s, demand=0.8, level=0.8 * loop.level, phase="eval")
        other = idle(more_s, demand=0.95, level=loop.level, diverted=True)
        return (replace(loop, length_s=period_s - own_s - more_s), evaluates, *([other] if more_s else []))

    repeat(spec, n, turn)
    return spec


def log_goes_on(rng: Random, _: float) -> Spec:
    """A printer counts on in the old pace beside other work: nothing ever trained. All is diverted."""
    spec = draw(rng)
    step_s = spec.step_gpu_s / rng.uniform(0.7, 0.95)
    spec.forged = Forged(step_s, rng.uniform(0.005, 0.05), course=courses.warm_up(rng))
    spec.is_log_forged = True
    load = courses.plateaus(rng, spec.length_s, 0.6, 1.0)
    spec.stages = [spec.stages[0], idle(demand=0.95, level=rng.uniform(0.5, 1.0), diverted=True, course=load)]
    return spec


def tunnel_only(rng: Random, _: float) -> Spec:
    """A reverse tunnel in use beside an honest training: no GPU time is diverted."""
    return draw(rng)


def _between(begin_s: float, end_s: float, demand: float) -> When:
    return lambda t_s, _: demand if begin_s <= t_s < end_s else 0.0


PROCESS = (
    side_throttled, side_ramps, side_respawns, side_hops, side_two_small, side_last_third, side_serves,
)  # fmt: skip
INSIDE = (
    inproc_ramps, inproc_pulses, inproc_on_and_off, inproc_after_crash, inproc_tunnel, inproc_longer_evals,
)  # fmt: skip
