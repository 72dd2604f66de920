"""What the site had said of the time and of the jobs: maintenance and burn-in, above everything."""

from collections.abc import Sequence

from slurm_guard.model import Audit, Judgement
from slurm_guard.report import words
from slurm_guard.report.safe import clean
from slurm_guard.report.view import Fact
from slurm_guard.report.words import Times, Unit
from slurm_guard.sitemodel import Maintenance

MOST_WINDOWS, MOST_ENTRIES = 4, 4  # Judgement: the document has them all
_SOURCES = {"guard.toml": "", "slurm": "Slurm's "}


def maintenance(audit: Audit, unit: Unit, times: Times) -> tuple[Fact, ...]:
    """The windows, whose work was not asked about, and that runs were judged all the same. Without a window
    nothing."""
    windows = audit.maintenance
    if not windows:
        return ()
    said = [_window(w, times) for w in windows[:MOST_WINDOWS]]
    more = len(windows) - len(said)
    said += [f"{more:,} more"] if more > 0 else []
    said += [_admins(audit, unit)] if any(o.maintenance for o in audit.outside) else []
    said.append("runs are judged as ever")
    n_nodes = sum(w.n_nodes for w in windows)
    about = words.plural(n_nodes, "node") if len(windows) == 1 else f"{n_nodes:,} nodes in all"
    return (Fact("Maintenance", f"{words.plural(len(windows), 'window')}, {about}", "; ".join(said)),)


def _window(window: Maintenance, times: Times) -> str:
    source = _SOURCES.get(window.source, f"{clean(window.source, 40)}: ")
    nodes = clean(window.nodes, 80)
    return f"{nodes}, {times.span(window.from_at, window.until_at)}: {source}{clean(window.reason, 200)}"


def _admins(audit: Audit, unit: Unit) -> str:
    own = [o for o in audit.outside if o.maintenance]
    n = len({(o.node, o.pid) for o in own})
    users = len({o.uid for o in own})
    amount = unit.full(sum(o.gpu_ms for o in own))
    return (
        f"{words.plural(n, 'process', 'processes')} of {words.plural(users, 'administrator')} outside jobs "
        f"({amount}) not asked about"
    )


def burn_in(judgements: Sequence[Judgement], unit: Unit) -> tuple[Fact, ...]:
    """How much of the GPU time it was, by whose word, and how many of the runs ask for a look all the same.
    Nothing where no run is named."""
    own = [j for j in judgements if j.burn_in is not None]
    if not own:
        return ()
    parts: dict[str, list[Judgement]] = {}
    for judgement in own:
        parts.setdefault(judgement.burn_in or "", []).append(judgement)
    ordered = sorted(parts.items(), key=lambda part: (-_allocated(part[1]), part[0]))
    said = [_entry(entry, runs, unit) for entry, runs in ordered[:MOST_ENTRIES]]
    more = len(ordered) - len(said)
    said += [words.plural(more, "more entry", "more entries")] if more > 0 else []
    n_asks = sum(j.asks for j in own)
    said += (
        [f"{n_asks:,} of them {'asks' if n_asks == 1 else 'ask'} for a look all the same"] if n_asks else []
    )
    said.append("their owners are not written to")
    value = f"{words.plural(len(own), 'run')}, {unit.full(_allocated(own))}"
    return (Fact("Burn-in", value, "; ".join(said)),)


def _entry(entry: str, runs: Sequence[Judgement], unit: Unit) -> str:
    users = len({j.run.user for j in runs})
    who = f"{words.plural(len(runs), 'run')} of {words.plural(users, 'user')}"
    return f"{clean(entry, 80)}: {who}, {unit.full(_allocated(runs))}"


def _allocated(runs: Sequence[Judgement]) -> int:
    return sum(j.run.allocated_gpu_ms for j in runs)
