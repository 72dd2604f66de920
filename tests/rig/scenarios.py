"""A night's jobs: drawn from a seed, so that no two nights have the same durations, shares or steps."""

import random
import sys
from pathlib import Path
from typing import NamedTuple

from tests.rig.layout import NODES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SPARE = NODES[0].n_gpus  # the board of the first node that Slurm was not told of
EXPECTED = Path(__file__).resolve().parent / "expected.toml"
# What a diverted load may be; the honest loops never use these kinds, so the truth can be told apart.
OTHER_KINDS = ("hash", "infer", "fp64")

SMALL_SHARE = 0.25  # of the board's time; below it a night's run is at the edge of what can be seen


class Guest(NamedTuple):
    """Somebody outside who comes in by a tunnel of the job's. `door`: the port that it opens there."""

    door: int
    seed: int
    work_after_s: float  # from his first exchange until he has the job start its second process


class Scenario(NamedTuple):
    """One job. `share`: what its second process asks of the board's time, null: there is none."""

    name: str  # of the scenario, as in expected.toml
    workload: str
    user: str
    args: tuple[str, ...]
    env: dict[str, str]
    share: float | None
    guest: Guest | None = None  # null: nobody comes in


class Expected(NamedTuple):
    """A row of expected.toml. `klass`: a class that must stand beside the verdict, null: any.

    `verdicts`: one, or two where the row argues that the run is at the edge of what can be seen. `network`:
    `tunnel`, both halves must be there; `quiet`, nothing about the network may be; null: not asked.
    """

    verdicts: tuple[str, ...]
    klass: str | None
    reason: str
    network: str | None = None


# Whose rows of the table a night has.
_TABLES = {"whole": ("whole",), "tunnel": ("tunnel",), "varied": ("whole", "varied")}


def load_expected(night: str = "whole") -> dict[str, Expected]:
    """The committed table's rows of that night."""
    data = tomllib.loads(EXPECTED.read_text("utf-8"))
    return {
        name: Expected(
            tuple(row[key] for key in ("verdict", "or") if key in row),
            row.get("class"),
            row["reason"],
            row.get("network"),
        )
        for name, row in data.items()
        if row.get("night", "whole") in _TABLES[night]
    }


def draw_night(seed: int, share: float | None = None, stretch: float = 1.0) -> list[Scenario]:
    """The jobs of one night, eight GPUs' worth at once; `stretch` makes all of them longer."""
    draw = random.Random(f"night {seed}")
    share = round(draw.uniform(0.1, 0.6), 2) if share is None else share
    return [
        _honest(draw, "honest-megatron", "sgrig1", stretch, draw.choice([0, 0, 40])),
        _cotenant(draw, share, stretch),
        _printer_busy(draw, stretch),
        _honest(draw, "honest-hf", "sgrig2", stretch, draw.randint(20, 35)),
        _printer_idle(draw, stretch),
        _idle(draw, stretch),
        _leftover(draw, stretch),
        _shell(draw, stretch),
    ]


def draw_varied_night(seed: int, share: float | None = None, stretch: float = 1.0) -> list[Scenario]:
    """The whole night's jobs and as many other kinds; Slurm has the second half wait for the first."""
    draw = random.Random(f"varied night {seed}")
    return [
        *draw_night(seed, share, stretch),
        _hang(draw, stretch),
        _beside(draw, "cotenant-10", draw.uniform(0.09, 0.13), stretch),
        _beside(draw, "cotenant-30", draw.uniform(0.27, 0.34), stretch),
        _evaluations(draw, stretch),
        _rare_logs(draw, stretch),
        _rollouts(draw, stretch),
        _sweep(draw, stretch),
        _inside(draw, stretch),
        _replay(draw, stretch),
        _wrong_gpu(draw, stretch),
    ]


def draw_tunnel_night(seed: int, share: float | None = None, stretch: float = 1.0) -> list[Scenario]:
    """A night with a host outside: one job lets somebody in, the other one speaks to it as many do."""
    draw = random.Random(f"tunnel night {seed}")
    share = round(draw.uniform(SMALL_SHARE, 0.6), 2) if share is None else share
    return [_tunnel(draw, share, stretch), _ssh_out(draw, stretch)]


def _tunnel(draw: random.Random, share: float, stretch: float) -> Scenario:
    seconds = draw.uniform(105, 125) * stretch
    guest = Guest(draw.randrange(20_000, 60_000), draw.randrange(10**6), draw.uniform(0.15, 0.3) * seconds)
    env = {
        **_hold(draw.choice(OTHER_KINDS), share, 0.0, 10 * seconds),
        "RIG_DOOR": str(guest.door),
        "RIG_TUNNEL_AFTER": f"{draw.uniform(0.08, 0.2) * seconds:.1f}",
        "RIG_SSH_NAME": draw.choice(["", "dataloader"]),  # the program, or a copy by another name
    }
    return Scenario("tunnel", "tunnel", "sgrig1", tuple(_training(draw, seconds)), env, share, guest)


def _ssh_out(draw: random.Random, stretch: float) -> Scenario:
    env = {
        "RIG_TYPES_EVERY": f"{draw.uniform(0.7, 4):.1f}",
        "RIG_SENDS_EVERY": f"{draw.uniform(6, 20) * stretch:.1f}",
        "RIG_SENDS": str(draw.randrange(200_000, 4_000_000)),
    }
    args = _training(draw, draw.uniform(95, 115) * stretch)
    return Scenario("ssh-out", "ssh-out", "sgrig2", tuple(args), env, None)


def _honest(draw: random.Random, name: str, user: str, stretch: float, eval_every: int) -> Scenario:
    longest = 2.0 if name == "honest-megatron" else 0.9  # one whose steps can be seen at 4 Hz, one hardly
    args = [*_training(draw, draw.uniform(85, 105) * stretch, longest), "--eval-every", str(eval_every)]
    return Scenario(name, name, user, tuple(args), {}, None)


def _cotenant(draw: random.Random, share: float, stretch: float) -> Scenario:
    return _beside(draw, "cotenant" if share >= SMALL_SHARE else "cotenant-small", share, stretch)


def _beside(draw: random.Random, name: str, share: float, stretch: float) -> Scenario:
    share = round(share, 2)
    seconds = draw.uniform(95, 110) * stretch
    after = draw.uniform(0.3, 0.45) * seconds
    # Max-min fair boards: beside a full load a demand up to one half is met as asked.
    hold = _hold(draw.choice(OTHER_KINDS), share, after, 10 * seconds)
    return Scenario(name, "cotenant", "sgrig1", tuple(_training(draw, seconds)), hold, share)


def _printer_busy(draw: random.Random, stretch: float) -> Scenario:
    seconds = draw.uniform(85, 105) * stretch
    args = ("--seconds", f"{seconds:.0f}", "--seed", str(draw.randrange(10**6)))
    words = f"--kind hash --demand {draw.uniform(0.85, 1.0):.2f} --step {draw.uniform(0.8, 1.2):.2f}"
    return Scenario("printer-busy", "printer-busy", "sgrig2", args, {"RIG_HOLD": words}, None)


def _printer_idle(draw: random.Random, stretch: float) -> Scenario:
    args = ("--seconds", f"{draw.uniform(80, 100) * stretch:.0f}", "--seed", str(draw.randrange(10**6)))
    words = f"--step {draw.uniform(0.6, 1.2):.2f} --jitter {draw.choice([0.0, 0.02, 0.1])}"
    return Scenario("printer-idle", "printer-idle", "sgrig1", args, {"RIG_HOLD": words}, None)


def _idle(draw: random.Random, stretch: float) -> Scenario:
    return Scenario("idle", "idle", "sgrig2", (f"{draw.uniform(45, 55) * stretch:.0f}",), {}, None)


def _leftover(draw: random.Random, stretch: float) -> Scenario:
    seconds = draw.uniform(80, 95) * stretch
    # It begins shortly before the job's end or after it, and works half a minute in all.
    after = seconds + draw.uniform(-12, 8)
    hold = _hold(draw.choice(OTHER_KINDS), draw.uniform(0.3, 0.9), after, 30 * stretch)
    return Scenario("leftover", "leftover", "sgrig1", tuple(_training(draw, seconds)), hold, None)


def _shell(draw: random.Random, stretch: float) -> Scenario:
    """Takes the GPU that the idle allocation leaves."""
    args = (f"{draw.uniform(45, 55) * stretch:.0f}", str(draw.randrange(600, 1000)))
    return Scenario("honest-shell", "honest-shell", "sgrig2", args, {}, None)


def _evaluations(draw: random.Random, stretch: float) -> Scenario:
    args = [*_training(draw, draw.uniform(95, 110) * stretch), "--eval-every", str(draw.randint(6, 9))]
    args += ["--eval-work", f"{draw.uniform(3, 6):.1f}"]
    return Scenario("evaluations", "evaluations", "sgrig2", tuple(args), {}, None)


def _rare_logs(draw: random.Random, stretch: float) -> Scenario:
    args = [*_training(draw, draw.uniform(95, 110) * stretch), "--log-every", str(draw.randint(4, 6))]
    return Scenario("rare-logs", "rare-logs", "sgrig1", tuple(args), {}, None)


def _rollouts(draw: random.Random, stretch: float) -> Scenario:
    seconds, update = draw.uniform(95, 110) * stretch, draw.uniform(0.5, 1.2)
    args = ("--seconds", f"{seconds:.0f}", "--update", f"{update:.2f}", "--seed", str(draw.randrange(10**6)))
    return Scenario("rollouts", "rollouts", "sgrig2", args, {}, None)


def _sweep(draw: random.Random, stretch: float) -> Scenario:
    works = [f"{draw.uniform(0.4, 1.3):.2f}" for _ in range(draw.randint(3, 4))]
    args = (f"{100 * stretch / len(works):.0f}", str(draw.randrange(10**6)), *works)
    return Scenario("sweep", "sweep", "sgrig1", args, {}, None)


def _hang(draw: random.Random, stretch: float) -> Scenario:
    seconds = draw.uniform(95, 110) * stretch
    args = [*_training(draw, seconds), "--hang-after", f"{draw.uniform(0.4, 0.55) * seconds:.0f}"]
    return Scenario("hang", "hang", "sgrig2", tuple(args), {}, None)


def _inside(draw: random.Random, stretch: float) -> Scenario:
    seconds, after = draw.uniform(95, 110) * stretch, draw.uniform(0.35, 0.5)
    words = f"--kind {draw.choice(OTHER_KINDS)} --demand {draw.uniform(0.4, 0.8):.2f}"
    words += f" --after {after * seconds:.1f}"
    return Scenario("inside", "inside", "sgrig1", tuple(_training(draw, seconds)), {"RIG_HOLD": words}, None)


def _replay(draw: random.Random, stretch: float) -> Scenario:
    args = ("--seconds", f"{draw.uniform(90, 105) * stretch:.0f}", "--seed", str(draw.randrange(10**6)))
    words = f"--kind {draw.choice(OTHER_KINDS)} --demand {draw.uniform(0.85, 1.0):.2f}"
    return Scenario("replay", "replay", "sgrig2", args, {"RIG_HOLD": words}, None)


def _wrong_gpu(draw: random.Random, stretch: float) -> Scenario:
    seconds = draw.uniform(95, 110) * stretch
    hold = _hold(
        draw.choice(OTHER_KINDS), draw.uniform(0.3, 0.9), draw.uniform(0.2, 0.4) * seconds, 10 * seconds
    )
    hold["RIG_HOLD"] += f" --gpus {SPARE}"
    return Scenario("wrong-gpu", "wrong-gpu", "sgrig1", tuple(_training(draw, seconds)), hold, None)


def _training(draw: random.Random, seconds: float, longest_s: float = 1.6) -> list[str]:
    return [
        "--seconds", f"{seconds:.0f}", "--work", f"{draw.uniform(0.55, 1.0) * longest_s:.2f}",
        "--startup", f"{draw.uniform(3, 9):.1f}", "--checkpoint-every", f"{draw.uniform(25, 40):.0f}",
        "--update-share", f"{draw.uniform(0.05, 0.2):.2f}", "--seed", str(draw.randrange(10**6)),
    ]  # fmt: skip


def _hold(kind: str, demand: float, after_s: float, seconds: float) -> dict[str, str]:
    words = f"--kind {kind} --demand {demand:.2f} --after {after_s:.1f} --seconds {seconds:.1f}"
    return {"RIG_HOLD": words}
