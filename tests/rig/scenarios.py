"""A night's jobs: drawn from a seed, so that no two nights have the same durations, shares or steps."""

import random
import sys
from pathlib import Path
from typing import NamedTuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXPECTED = Path(__file__).resolve().parent / "expected.toml"
# What a diverted load may be; the honest loops never use these kinds, so the truth can be told apart.
OTHER_KINDS = ("hash", "infer", "fp64")

SMALL_SHARE = 0.25  # of the board's time; below it a night's run is at the edge of what can be seen


class Scenario(NamedTuple):
    """One job. `share`: what its second process asks of the board's time, null: there is none."""

    name: str  # of the scenario, as in expected.toml
    workload: str
    user: str
    args: tuple[str, ...]
    env: dict[str, str]
    share: float | None


class Expected(NamedTuple):
    """A row of expected.toml. `klass`: a class that must stand beside the verdict, null: any.

    `verdicts`: one, or two where the row argues that the run is at the edge of what can be seen.
    """

    verdicts: tuple[str, ...]
    klass: str | None
    reason: str


def load_expected() -> dict[str, Expected]:
    """The committed table."""
    data = tomllib.loads(EXPECTED.read_text("utf-8"))
    return {
        name: Expected(
            tuple(row[key] for key in ("verdict", "or") if key in row), row.get("class"), row["reason"]
        )
        for name, row in data.items()
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


def _honest(draw: random.Random, name: str, user: str, stretch: float, eval_every: int) -> Scenario:
    longest = 2.0 if name == "honest-megatron" else 0.9  # one whose steps can be seen at 4 Hz, one hardly
    args = [*_training(draw, draw.uniform(85, 105) * stretch, longest), "--eval-every", str(eval_every)]
    return Scenario(name, name, user, tuple(args), {}, None)


def _cotenant(draw: random.Random, share: float, stretch: float) -> Scenario:
    seconds = draw.uniform(95, 110) * stretch
    after = draw.uniform(0.3, 0.45) * seconds
    # Max-min fair boards: beside a full load a demand up to one half is met as asked.
    hold = _hold(draw.choice(OTHER_KINDS), share, after, 10 * seconds)
    name = "cotenant" if share >= SMALL_SHARE else "cotenant-small"
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


def _training(draw: random.Random, seconds: float, longest_s: float = 1.6) -> list[str]:
    return [
        "--seconds", f"{seconds:.0f}", "--work", f"{draw.uniform(0.55, 1.0) * longest_s:.2f}",
        "--startup", f"{draw.uniform(3, 9):.1f}", "--checkpoint-every", f"{draw.uniform(25, 40):.0f}",
        "--update-share", f"{draw.uniform(0.05, 0.2):.2f}", "--seed", str(draw.randrange(10**6)),
    ]  # fmt: skip


def _hold(kind: str, demand: float, after_s: float, seconds: float) -> dict[str, str]:
    words = f"--kind {kind} --demand {demand:.2f} --after {after_s:.1f} --seconds {seconds:.1f}"
    return {"RIG_HOLD": words}
