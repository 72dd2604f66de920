"""What the lake's tables hold, in words for a person, and which of their columns he wants first."""

import difflib
from collections.abc import Iterable

from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.lake.schema import TABLES

# One line a table; docs/formats.md has the columns.
ABOUT: dict[str, str] = {
    "tickets": "what the prolog knew of a run on a node: intent, GPUs, the network before",
    "ends": "what the epilog saw: intent again, the network after, processes still alive",
    "seals": "the end of a run's stream: how many segments and windows it had",
    "segments": "the pieces in which a stream came, with their digests",
    "windows": "one GPU for at most a minute: energy, activity, memory, rhythm",
    "shares": "one process on one GPU for at most a minute: its share of the work",
    "held": "processes that had a GPU's device file open and that NVML did not list",
    "processes": "a run's processes as the sampler saw them",
    "files": "when a log had which size",
    "flows": "connections, with their bytes each way",
    "briefs": "connections that came and went between two looks, counted",
    "relays": "bytes of one connection that reappeared on another",
    "events": "what the sampler told once: hard facts, and words about itself",
    "gpus": "the boards of a node",
    "accounted": "what the driver's own accounting says of a process",
    "lost": "what was given up or cut, and why",
    "logs": "the logs that were read, and what the reader says of them",
    "points": "progress that the logs tell: steps, tokens, losses",
}
# What a terminal shows where no column is named. Judgement: who, when, and what is asked for most.
USUAL: dict[str, tuple[str, ...]] = {
    "tickets": ("at", "node", "job_id", "user", "gpus", "comment", "extra"),
    "ends": ("at", "node", "job_id", "exit_code", "comment", "extra"),
    "seals": ("at", "node", "run", "ended_by", "n_segments", "n_windows"),
    "segments": ("opened_at", "closed_at", "node", "run", "seq", "n", "reason"),
    "windows": ("start_at", "node", "gpu_index", "power_mw", "busy_ms", "sm_ms", "covered_ms", "gap_ms"),
    "shares": ("start_at", "node", "pid", "sm_ms", "cpu_ms", "gpu"),
    "held": ("start_at", "node", "pid", "uvm", "gpu"),
    "processes": ("first_seen_at", "last_seen_at", "node", "pid", "uid", "exe", "cmdline"),
    "files": ("at", "node", "how", "size", "path"),
    "flows": ("first_seen_at", "last_seen_at", "node", "pid", "exe", "peer", "opened", "out_b", "in_b"),
    "briefs": ("first_seen_at", "last_seen_at", "node", "exe", "n", "n_failed", "n_places", "peer"),
    "relays": ("first_seen_at", "last_seen_at", "node", "exe", "outer_peer", "coupled_in_b", "coupled_out_b"),
    "events": ("at", "node", "name", "detail"),
    "gpus": ("at", "node", "gpu_index", "model", "gpu"),
    "accounted": ("at", "node", "gpu", "pid", "time_ms", "sm_pct", "max_mem_mib"),
    "lost": ("at", "node", "run", "seq", "n", "reason"),
    "logs": ("read_at", "node", "source", "how", "size", "n", "path"),
    "points": ("at", "obs_lo_at", "obs_hi_at", "step", "tokens", "loss", "phase", "flags"),
}
EVERY = "all"  # in place of columns' names


def check_table(name: str) -> str:
    """The table's name. Raises GuardError table-unknown."""
    if name in TABLES:
        return name
    raise _unknown(
        "table-unknown", "the lake has no table", name, TABLES, "`slurm-guard lake tables` lists them"
    )


def check_column(table: str, name: str) -> str:
    """The column's name. Raises GuardError column-unknown."""
    if name in TABLES[table]:
        return name
    hint = f"`slurm-guard lake tables {table}` lists them"
    raise _unknown("column-unknown", f"the table {table} has no column", name, TABLES[table], hint)


def _unknown(slug: str, what: str, name: str, known: Iterable[str], hint: str) -> GuardError:
    near = difflib.get_close_matches(name[:40].lower(), list(known), n=1, cutoff=0.5)
    return GuardError(slug, f"{what} {name[:40]!a}", f"did you mean {near[0]}?" if near else hint, EXIT_USAGE)
