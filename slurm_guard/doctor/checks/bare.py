"""Before an installation: one finding that says so, in place of one for each thing that it would make."""

from collections.abc import Iterator

from slurm_guard.doctor.facts import Facts
from slurm_guard.doctor.finding import BOTH, Check, Said, Unseen, ok, problem, seen

# Checks of what `slurm-guard install` makes or writes. Slurm's own settings that it leaves alone, the site's
# programs, the driver and the clock matter before it, and are looked at.
MADE = frozenset(
    {
        *("prolog-flags", "prolog-timeout", "run-in-job"),
        *("prolog-hook", "epilog-hook", "task-prolog-hook"),
        *("hook-settings", "settings-agree", "hook-python", "sampler-python", "hook-package", "releases"),
        *("sampler", "run-folder", "spool-folder", "progress-folder", "clocks", "parser-user"),
        *("lake-folder", "reports-folder", "node-data", "last-night", "coverage", "schedule"),
        "mail-readers",
    }
)
REMEDY = "slurm-guard install   # shows what it would do, and does it with --apply"


def is_bare(facts: Facts) -> bool:
    """Whether nothing of ours was ever put here, by `install` or by hand; where nobody can tell, it was."""
    if isinstance(facts.traces, Unseen) or facts.traces:
        return False
    lines = () if isinstance(facts.hooks, Unseen) else facts.hooks
    return not any(file.ours for line in lines for file in line.files)


def _installed(facts: Facts) -> Iterator[Said]:
    traces = seen(facts.traces)
    if is_bare(facts):
        yield problem("slurm-guard is not installed on this machine, and sees nothing", REMEDY)
    elif traces:
        yield ok(f"slurm-guard was installed here, as {traces[0]} shows")


CHECKS = (
    Check(
        "installed",
        "whether anything of ours was put here: hooks, their settings, a journal, a lake, a timer",
        "Before it most other checks have nothing to look at, and say only that.",
        "`slurm-guard install`",
        BOTH,
        "slurm.conf runs our hooks",
        _installed,
        "run it as root",
    ),
)
