"""`slurm-guard audit`: accounting and lake to one audit document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from slurm_guard.audit.facts import Facts
    from slurm_guard.config import Config, SlurmConfig
    from slurm_guard.engine.run import Means
    from slurm_guard.history import PastCost, PastGround, PastTrace
    from slurm_guard.lake.view import View
    from slurm_guard.model import Audit
    from slurm_guard.slurm.accounting import Accounting

    _Left = tuple[list[PastCost], list[PastGround], list[PastTrace]]

_REMEMBER = "leave what was learnt for later audits; default: unless -o names another document"
_WordsUpTo = Annotated[
    int | None,
    typer.Option("--words-up-to", help="as if nothing had been said after this number: explain --list"),
]
_ExitCode = Annotated[bool, typer.Option("--exit-code", help="exit 10 when something asks for a look")]
_Reopened = Annotated[
    bool,
    typer.Option(
        "--reopened", help="again the nights of which rows came after their audit; no times with it"
    ),
]
_Remember = Annotated[
    bool | None, typer.Option("--remember/--no-remember", help=_REMEMBER, show_default=False)
]
_History = Annotated[
    Path | None,
    typer.Option("--history", help="what earlier audits learnt; default: [lake] history", readable=False),
]
_Ledger = Annotated[
    Path | None,
    typer.Option("--ledger", help="also the ledger by GPU and minute, as Parquet", readable=False),
]
_Engine = Annotated[
    str | None, typer.Option("--engine", help="local, or slurm: by job arrays; default: [engine] kind")
]
_Shards = Annotated[
    int | None, typer.Option("--shards", min=1, help="tasks of a job array; default: [engine] shards")
]
_CLOSED, _CLOSED_FOLDER = 0o640, 0o750  # everybody's runs are not for everybody (rulings 26)
_TIME = "ISO time (in report.timezone, which is UTC unless set) or epoch seconds"


def add(app: typer.Typer) -> None:
    """Register the command, and the one that its job arrays run."""
    from slurm_guard.cli.engines import shard

    app.command()(audit)
    app.command("audit-shard", hidden=True)(shard)


def audit(
    since: Annotated[
        str | None, typer.Option("--since", help=f"start: {_TIME}; default: yesterday 00:00")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", help=f"end: {_TIME}; default: one day after the start, at most now"),
    ] = None,
    sacct_file: Annotated[
        Path | None,
        typer.Option("--sacct-file", help="sacct's text in a file instead of asking sacct", readable=False),
    ] = None,
    lake: Annotated[Path | None, typer.Option("--lake", help="the lake's folder", readable=False)] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="document; default: the reports' folder", readable=False),
    ] = None,
    exit_code: _ExitCode = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
    words_up_to: _WordsUpTo = None,
    history: _History = None,
    remember: _Remember = None,
    ledger: _Ledger = None,
    reopened: _Reopened = False,
    engine: _Engine = None,
    shards: _Shards = None,
) -> None:
    """Set every run's GPU time against its logged progress; write the night's document."""
    from slurm_guard.cli.engines import with_engine
    from slurm_guard.cli.history import history_folder, leave_history
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.cli.remember import say_more
    from slurm_guard.cli.reopened import again
    from slurm_guard.cli.store import brought
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FINDINGS

    settings = with_engine(load_config(config), engine, shards)
    if reopened:
        same = {"config": config, "history": history, "engine": engine, "shards": shards}
        again(settings, lake, lambda night: audit(night, None, sacct_file, lake, **same))  # type: ignore[arg-type]
        return
    window = span(since, until, settings)
    folder = history_folder(history, lake, settings)
    is_trial = output is not None
    remembers = remember or (remember is None and not is_trial)
    refuse_root("audit", [Path(settings.report.path)] * (not is_trial) + [folder] * remembers)
    where = lake or brought(window, settings)
    done, left, view = _work(window, settings, (sacct_file, folder, ledger), where, words_up_to)
    path = output or _default_path(window[0], settings)
    _write(path, done, settings, is_trial=is_trial)
    typer.echo(f"{summary(done)}: {path}")
    if remembers:
        leave_history(folder, done, left, settings)
    say_more(done, None if is_trial else (view, path, settings))
    if exit_code and done.asks:
        raise typer.Exit(EXIT_FINDINGS)
    _say_empty(done)


def _write(path: Path, done: "Audit", settings: "Config", *, is_trial: bool) -> None:
    """The document, and beside a night's own its index and page, which a trial has not."""
    from slurm_guard.cli.remember import leave, leave_page, made_of
    from slurm_guard.document import to_json
    from slurm_guard.errors import GuardError
    from slurm_guard.report.archive import make_folder, write_output

    make_folder(path.parent, _CLOSED_FOLDER)
    write_output(path, to_json(done).encode(), _CLOSED, stale=made_of(path, settings))
    if is_trial:
        return
    try:
        leave(done, path, settings)  # one index a night
        leave_page(done, path, settings)
    except GuardError as error:
        said = f"{error.sentence}; {path.name} is this audit's, and nothing older lies beside it"
        raise GuardError(error.slug, said, f"{error.hint}, and audit this night again") from None


def _say_empty(done: "Audit") -> None:
    from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError

    if not done.judgements:
        raise GuardError(
            "nothing-to-audit",
            "accounting has no run with GPUs in this window: the document has nodes, skips, outside work",
            "check --since and --until, and that AccountingStorageTRES holds gres/gpu",
            EXIT_NOTHING_TO_AUDIT,
        )


def _work(
    window: tuple[float, float],
    settings: "Config",
    files: tuple[Path | None, Path, Path | None],
    lake: Path,
    words_up_to: int | None,
) -> "tuple[Audit, _Left, View]":
    """The night's audit, with a bar where somebody watches. `files`: sacct's text, history, ledger."""
    from slurm_guard.cli.engines import means_of
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.cli.remember import recall

    with watched() as bar:
        bar.stage("accounting and history")
        facts = load_facts(window, settings, files[:2], lake)
        bar.stage("runs judged")
        given = recall(facts, settings, words_up_to)
        return _audited(given, (lake, means_of(settings.engine)), files[2], bar.step)


def _audited(
    facts: "Facts",
    means: "tuple[Path, Means]",
    ledger: Path | None,
    tell: "Callable[[int, int], None]",
) -> "tuple[Audit, _Left, View]":
    """The audit, what it leaves for later ones, and what it was read from. `means`: the lake, and how; with a
    path, its ledger by GPU and minute is written there. Raises GuardError output-unwritable."""
    from slurm_guard.engine.run import audit_lake
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.minutefile import MinuteFile

    grounds: list[PastGround] = []
    traces: list[PastTrace] = []
    leave = (grounds.append, traces.append)
    if ledger is None:
        done, costs, view = audit_lake(facts, *means, leave, None, tell)
        return done, (costs, grounds, traces), view
    try:
        with MinuteFile(ledger) as file:
            done, costs, view = audit_lake(facts, *means, leave, file.take, tell)
            return done, (costs, grounds, traces), view
    except OSError as error:
        raise GuardError(
            "output-unwritable", f"{ledger} cannot be written: {error.strerror}", "name another file"
        ) from None


def load_facts(
    window: tuple[float, float], settings: "Config", files: tuple[Path | None, Path | None], lake: Path
) -> "Facts":
    """Accounting of a window and what earlier audits learnt, without frames. `files`: sacct's text, null: ask
    sacct; the folder of the history, null: none.

    Raises GuardError lake-missing (exit 2).
    """
    from slurm_guard import __version__
    from slurm_guard.audit.facts import Facts
    from slurm_guard.cli.history import load_history
    from slurm_guard.cli.maintenance import load_upkeep
    from slurm_guard.lake.resolver import read_names

    _check_lake(lake)
    slurm = settings.slurm
    sacct_file, history = files
    loaded = accounting_of(slurm, sacct_file).load_runs(*window)
    names, unread = read_names(settings.network.resolver_log, *window)
    past, grounds, traces, unread_past = load_history(history, loaded.cluster, window[0], settings)
    upkeep = load_upkeep(settings, loaded.cluster, window, sacct_file)
    return Facts(
        loaded.cluster,
        *window,
        __version__,
        loaded.runs,
        {},
        settings.audit,
        (*loaded.skips, *unread, *unread_past, *upkeep.skips),
        settings.network,
        names,
        costs=past,
        grounds=grounds,
        traces=traces,
        maintenance=upkeep.windows,
        maintenance_uids=upkeep.admin_uids,
        summaries=loaded.summaries,
    )


def accounting_of(slurm: "SlurmConfig", sacct_file: Path | None) -> "Accounting":
    """Who is asked for runs: the file of sacct's text, or whom the configuration names."""
    from slurm_guard.slurm.pyslurm_db import PyslurmDb
    from slurm_guard.slurm.sacct import Sacct, SacctFile

    if sacct_file is not None:
        return SacctFile(sacct_file, slurm.cluster)
    if slurm.accounting == "pyslurm":
        return PyslurmDb(slurm.timeout_s, slurm.cluster)
    return Sacct(slurm.sacct, slurm.timeout_s, slurm.cluster)


def _check_lake(lake: Path) -> None:
    """A folder that is misspelt would make a night in which nothing was observed."""
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.lake.steps import formats_in

    if not formats_in(lake):
        what = "holds nothing that was collected" if lake.is_dir() else "does not exist or may not be entered"
        raise GuardError(
            "lake-missing",
            f"the lake {lake} {what}",
            "check [lake] path or --lake, and run `slurm-guard collect` first",
            EXIT_USAGE,
        )


def span(since: str | None, until: str | None, settings: "Config") -> tuple[float, float]:
    """The window in epoch seconds. Raises GuardError time-syntax, time-order (exit 2)."""
    from datetime import datetime, timedelta

    from slurm_guard.clock import SystemClock
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.words import load_zone

    zone = load_zone(settings.report.timezone)
    now = datetime.fromtimestamp(SystemClock().now_at(), zone)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = parse_instant(since, zone) if since is not None else (midnight - timedelta(days=1)).timestamp()
    day_later = (datetime.fromtimestamp(start, zone) + timedelta(days=1)).timestamp()
    end = parse_instant(until, zone) if until is not None else min(day_later, now.timestamp())
    if end <= start:
        raise GuardError(
            "time-order",
            "--until must be later than --since",
            "both are ISO times or epoch seconds",
            EXIT_USAGE,
        )
    return start, end


def parse_instant(text: str, zone: "tzinfo") -> float:
    """Epoch seconds from a number or an ISO time (in the site's zone where it names none)."""
    from datetime import datetime
    from math import isfinite

    from slurm_guard.errors import EXIT_USAGE, GuardError

    try:
        number = float(text)
        if isfinite(number):
            return number
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError):
        raise GuardError(
            "time-syntax",
            f"{text!a} is no time",
            "write 2026-09-22, 2026-09-22T20:00 or 1790000000",
            EXIT_USAGE,
        ) from None


def _default_path(from_at: float, settings: "Config") -> Path:
    """Where `report` looks for it: one folder a night, named by the date of its start."""
    from datetime import datetime

    from slurm_guard.report.words import load_zone

    day = datetime.fromtimestamp(from_at, load_zone(settings.report.timezone)).date()
    return Path(settings.report.path) / day.isoformat() / "audit.json"


def summary(done: "Audit") -> str:
    """One line: how many runs, how they were judged, how much is unexplained."""
    from slurm_guard.model import Verdict
    from slurm_guard.report.words import plural

    if not done.judgements:
        return "no run with GPUs"
    counts = [(v.value, sum(j.verdict is v for j in done.judgements)) for v in Verdict]
    said = ", ".join(f"{n} {name}" for name, n in counts if n)
    n_explained = sum(1 for j in done.judgements if j.left is not None and not j.asks)
    said += f"; {n_explained} explained by the site" if n_explained else ""
    low = sum(j.unexplained.lo_gpu_ms for j in done.judgements) / 3.6e6
    return f"{plural(len(done.judgements), 'run')} ({said}); at least {low:.2f} GPU-h unexplained"
