"""Which nights are played: every family on every class, and the suites of violated assumptions."""

import argparse

from bench.detect import past
from bench.detect.classes import NAMES, is_instance
from bench.detect.night import NIGHT, Order
from bench.detect.scenarios import scenarios
from bench.detect.state import shuffled
from bench.detect.violations import VIOLATIONS

_COUNTED = tuple(name for name in NAMES if not is_instance(name))  # those with meters that could be wrong
_SUITE = ("plain", "eval_named", "slow_link", "second_mid", "inproc_mid")


def orders(options: argparse.Namespace) -> list[Order]:
    """All nights of these options, in the order in which they are played."""
    chosen = [s for s in scenarios() if not options.family or s.name in options.family]
    classes = options.gpu or NAMES
    earlier = past.NIGHTS if options.theta == "peers" else 0
    found = []
    for scenario in chosen:
        n_runs = options.honest if scenario.is_honest else options.diverting
        part = "honest" if scenario.is_honest else "diverting"
        for night in range(_nights(n_runs)):
            ablate = not scenario.is_honest or night == 0
            found += [
                Order(part, gpu, scenario.name, night, options.seed, ablate=ablate, earlier=earlier)
                for gpu in classes
            ]
    for violation in VIOLATIONS:
        for family in _SUITE if not options.family and not earlier else ():
            found += [
                Order("violated", gpu, family, night, options.seed, violation.name)
                for night in range(_nights(options.violated))
                for gpu in classes
                if gpu in _COUNTED
            ]
    return shuffled(found, options.seed)


def _nights(n_runs: int) -> int:
    """As many as are needed: a night is whole."""
    return -(-n_runs // NIGHT)
