"""The reference backend: one bulk `sacct` query, or a file of its text."""

import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, EXIT_USAGE, GuardError
from slurm_guard.model import Run, Skip
from slurm_guard.slurm.accounting import LoadedRuns
from slurm_guard.slurm.group import run_group
from slurm_guard.slurm.rows import FIELDS, NEEDED, draw_delimiter, not_sacct, parse_rows
from slurm_guard.slurm.runs import build_run, parse_time
from slurm_guard.slurm.summaries import BadSummary, read_summary

MAX_FILE = 1 << 30  # bytes; 100,000 rows are about 60 MB: judgement
# Words of sacct's own messages (22.05 to 26.05) that mean "nobody keeps accounts here".
_NO_ACCOUNTING = (
    "accounting storage is disabled",
    "problem talking to the database",
    "connection refused",
    "could not establish a configuration source",
    "failed to open persistent connection",
)


@dataclass(frozen=True, slots=True)
class Sacct:
    """`sacct` of this machine. `cluster` empty: the local one."""

    program: str = "sacct"
    timeout_s: float = 600.0
    cluster: str = ""

    def load_runs(self, from_at: float, until_at: float) -> LoadedRuns:
        """See Accounting. One call of sacct for the whole window, after one to learn its fields."""
        loaded = runs_of_text(self.read_text(from_at, until_at), self.cluster, (from_at, until_at), "sacct")
        if not any(run.n_gpus for run in loaded.runs):
            skips = (*loaded.skips, *self._missing_gpu_tres(loaded.runs))
            return replace(loaded, skips=skips)
        return loaded

    def read_text(self, from_at: float, until_at: float) -> str:
        """sacct's rows with a header, for every run that overlaps the window."""
        known = set(self._call([self.program, "--helpformat"]).split())
        fields = [name for name in FIELDS if name in known]
        if any(name not in fields for name in NEEDED):
            raise GuardError(
                "sacct-fields", f"{self.program} knows no field {', '.join(set(NEEDED) - known)}"
            )
        delimiter = draw_delimiter()
        where = ["-M", self.cluster] if self.cluster else []
        command = [self.program, "-a", "-D", "-X", "-P", f"--delimiter={delimiter}", *where]
        times = ["-S", _slurm_time(int(from_at)), "-E", _slurm_time(-int(-until_at // 1))]
        return self._call([*command, *times, "-o", ",".join(fields)])

    def read_reservations(self, from_at: float, until_at: float, fields: Sequence[str]) -> str:
        """sacctmgr's rows of the reservations that overlap the window, without a header."""
        program = str(Path(self.program).with_name("sacctmgr"))
        where = [f"clusters={self.cluster}"] if self.cluster else []
        times = [f"start={_slurm_time(int(from_at))}", f"end={_slurm_time(-int(-until_at // 1))}"]
        return self._call(
            [program, "-n", "-P", "show", "reservation", *where, *times, f"format={','.join(fields)}"]
        )

    def _missing_gpu_tres(self, runs: Sequence[Run]) -> list[Skip]:
        """Whether "no GPU in any row" can mean that GPUs are not accounted at all."""
        if not runs:
            return []
        program = str(Path(self.program).with_name("sacctmgr"))
        try:
            tres = self._call([program, "-n", "-P", "show", "tres", "format=Type,Name"])
        except GuardError as error:
            return [
                _no_gpu_tres(runs, f"; sacctmgr could not say whether GPUs are accounted ({error.sentence})")
            ]
        if any(line.startswith("gres|gpu") for line in tres.splitlines()):
            return []
        return [
            _no_gpu_tres(runs, ": AccountingStorageTRES lacks gres/gpu, so GPU-hours were never accounted")
        ]

    def _call(self, command: Sequence[str]) -> str:
        # TZ=UTC: the bounds are read and the times printed in one zone, with no hour that comes twice.
        env = {**os.environ, "TZ": "UTC", "LC_ALL": "C", "SLURM_TIME_FORMAT": "%s"}
        try:
            done = run_group(command, env, self.timeout_s)
        except FileNotFoundError:
            raise _no_accounting(f"there is no program {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise GuardError(
                "accounting-timeout",
                f"{command[0]} did not answer within {self.timeout_s:g} s",
                "audit a shorter window, raise slurm.timeout_s, or look at slurmdbd",
            ) from None
        except OSError as error:
            raise GuardError("sacct-failed", f"{command[0]}: {error.strerror}") from None
        said = done.stderr.decode("utf-8", "replace").strip()
        if done.returncode != 0 or (said and not done.stdout.strip()):
            raise _failed(command[0], done.returncode, said)
        return done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class SacctFile:
    """A file of sacct text with its header line (see rows.py for how it is made)."""

    path: Path
    cluster: str = ""

    def load_runs(self, from_at: float, until_at: float) -> LoadedRuns:
        """See Accounting."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE + 1)
        except FileNotFoundError:
            raise _no_accounting(f"there is no file {self.path}") from None
        except OSError as error:
            raise GuardError("sacct-file", f"{self.path}: {error.strerror}") from None
        if len(raw) > MAX_FILE:
            raise GuardError("sacct-file", f"{self.path} is larger than {MAX_FILE} bytes")
        loaded = runs_of_text(raw.decode("utf-8", "replace"), self.cluster, (from_at, until_at), "sacct-file")
        if loaded.runs and not any(run.n_gpus for run in loaded.runs):
            skip = _no_gpu_tres(loaded.runs, "; either no job had one or gres/gpu is not accounted")
            return replace(loaded, skips=(*loaded.skips, skip))
        return loaded


def runs_of_text(text: str, cluster: str, window: tuple[float, float], backend: str) -> LoadedRuns:
    """Runs of one cluster from sacct's text; with `cluster` empty the text may name only one."""
    rows, problems = parse_rows(text)
    if rows and all(_no_epoch(row["Start"]) for row in rows):
        raise not_sacct(f"the times are not in epoch seconds: {rows[0]['Start'][:40]!a}")
    cluster = cluster or _only_cluster(rows)
    runs: dict[str, Run] = {}
    summaries: dict[str, str] = {}
    skips = [Skip("accounting", "bad-accounting-row", problem) for problem in problems]
    for row in rows:
        if row.get("Cluster", cluster) not in (cluster, ""):
            continue
        run, notes = build_run(row, cluster, *window)
        skips += notes
        if run is None:
            continue
        if run.id in runs and runs[run.id] != run:
            skips.append(
                Skip(run.id, "double-accounting-row", "accounting has two different rows; the longer holds")
            )
            run = max(runs[run.id], run, key=lambda one: (one.until_at, one.n_gpus))
        runs[run.id] = run
        try:
            said = read_summary(row.get("AdminComment", ""))
        except BadSummary as error:
            skips.append(Skip(run.id, "bad-job-summary", f"jobstats' summary in AdminComment: {error}"))
        else:
            summaries |= {run.id: said} if said is not None else {}
    ordered = sorted(runs.values(), key=lambda one: (one.start_at, one.job_id))
    return LoadedRuns(tuple(ordered), tuple(sorted(skips, key=_skip_order)), cluster, backend, summaries)


def _no_epoch(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return True
    return False


def _skip_order(skip: Skip) -> tuple[str, str, str]:
    return skip.reason, skip.subject, skip.detail


def _only_cluster(rows: Sequence[Mapping[str, str]]) -> str:
    names = Counter(row["Cluster"] for row in rows if row.get("Cluster"))
    if len(names) > 1:
        raise GuardError(
            "several-clusters",
            f"accounting names {len(names)} clusters: {', '.join(sorted(names)[:8])}",
            "set slurm.cluster to the one to audit",
            EXIT_USAGE,
        )
    return next(iter(names), "")


def _slurm_time(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def _no_gpu_tres(runs: Sequence[Run], why: str) -> Skip:
    return Skip("accounting", "no-gpu-tres", f"none of {len(runs)} runs has a GPU among its resources{why}")


def _no_accounting(sentence: str) -> GuardError:
    return GuardError(
        "no-accounting",
        sentence,
        "the audit needs sacct with AccountingStorageType=accounting_storage/slurmdbd and a slurmdbd that "
        "answers, or --sacct-file",
        EXIT_NOTHING_TO_AUDIT,
    )


def _failed(program: str, code: int, said: str) -> GuardError:
    last = said.splitlines()[-1][:500] if said else "no message"
    if any(words in said.lower() for words in _NO_ACCOUNTING):
        return _no_accounting(f"{program} found no accounting: {last}")
    return GuardError(
        "sacct-failed", f"{program} ended with {code}: {last}", "run it by hand as the same user"
    )
