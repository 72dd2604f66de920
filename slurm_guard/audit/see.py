"""How to see a piece of evidence oneself: commands that can be pasted as they are; comments say the rest."""

import math
import shlex
from collections.abc import Sequence

from slurm_guard.model import Run

Span = tuple[float, float]
_MOST_PATH = 200  # characters; a report cuts longer commands, and a cut one does not run. Judgement
_SLACK_S = 900  # a prolog may begin before the job does, and an epilog end after it. Judgement


def rows(
    run: Run,
    table: str,
    columns: str = "",
    where: Sequence[tuple[str, object]] = (),
    span: Span | None = None,
) -> str:
    """Rows of a lake table that are the run's, or others' on its GPUs; `columns` with commas, empty: the
    usual ones; `where`: (column or `node`, value); `span`: when, else the run's time in the audited window.
    """
    begin, end = (run.from_at, run.until_at) if span is None else span
    words = ["slurm-guard", "lake", "show", table, "--job", str(run.job_id)]
    for name, value in where:
        words += ["--node", str(value)] if name == "node" else ["--where", f"{name}={value}"]
    words += ["--from", str(math.floor(begin)), "--to", str(max(math.ceil(end), math.floor(begin) + 1))]
    words += ["--columns", columns] if columns else []
    return _command(words)


def process(run: Run, node: str, pid: int, span: Span) -> str:
    """What one process did on GPUs, minute by minute."""
    return rows(run, "shares", "", (("node", node), ("pid", pid)), span)


def told(run: Run, columns: str, node: str | None = None) -> str:
    """What the prolog and the epilog wrote: tickets and end marks."""
    where = () if node is None else (("node", node),)
    begun = run.start_at - _SLACK_S
    ticket = rows(run, "tickets", columns, where, (begun, run.until_at))
    return both(ticket, rows(run, "ends", columns, where, (begun, run.until_at + _SLACK_S)))


def accounting(run: Run) -> str:
    """The job's runs as Slurm has them; -D: also those before a requeue."""
    return _command(
        ["sacct", "-D", "-X", "-j", str(run.job_id), "-o", "JobIDRaw,State,Start,End,Elapsed,Comment%80"]
    )


def journal(node: str, run: Run) -> str:
    """The hooks' own words on a node."""
    since, until = f"@{math.floor(run.start_at - _SLACK_S)}", f"@{math.ceil(run.until_at + _SLACK_S)}"
    return _command(["ssh", node, "journalctl", "-t", "slurm-guard", f"--since={since}", f"--until={until}"])


def output(run: Run) -> str:
    """What the readers said of the run's logs; where its path can be shown as it is, the output read anew."""
    path, said = run.stdout, logs(run, "path,source,n,problems")
    plain = path is not None and path.isascii() and path.isprintable() and len(path) <= _MOST_PATH
    if path is None or not plain or not path.startswith("/") or "%" in path:
        return said
    return both(said, _command(["slurm-guard", "progress", "show", path]))


def logs(run: Run, columns: str) -> str:
    """What the readers said of the run's logs; they read after it, too."""
    return rows(run, "logs", columns, (), (run.from_at, _after(run)))


def _after(run: Run) -> float:
    return run.until_at + 86_400.0


def both(*commands: str) -> str:
    """One after the other."""
    return "; ".join(commands)


def beside(command: str, words: str) -> str:
    """With a comment that no shell runs."""
    return f"{command}  # {words}"


def _command(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
