"""`slurm-guard import`: what a site's other monitors measured, into the lake."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections import Counter

    from slurm_guard.config import Config, PrometheusConfig
    from slurm_guard.model import Run
    from slurm_guard.prometheus.client import Access, Prometheus

_MOST_HOURS = 24 * 62  # of one import. Judgement
_GIVE_UP = 3  # hours in a row that the server did not answer. Judgement


def add(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Take what other monitors measured into the lake.")
    group.command("prometheus")(prometheus)
    app.add_typer(group, name="import")


def prometheus(
    url: Annotated[str | None, typer.Option("--url", help="the server; default: [prometheus] url")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", help="start, in whole hours; default: yesterday 00:00"),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="end; default: one day after the start, at most now")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option("--match", help='label matchers: cluster="gpu1"; default: [prometheus] match'),
    ] = None,
    sacct_file: Annotated[
        Path | None,
        typer.Option("--sacct-file", help="sacct's text in a file instead of asking sacct", readable=False),
    ] = None,
    lake: Annotated[Path | None, typer.Option("--lake", help="the lake's folder", readable=False)] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Take GPU readings of runs from a Prometheus server: those of dcgm-exporter, jobstats and CEEMS.

    Such windows have no processes, connections or logs: what they cannot show stands in each report.
    """
    from slurm_guard.cli.audit import accounting_of, span
    from slurm_guard.cli.ownlake import refuse_root
    from slurm_guard.cli.progressbar import watched
    from slurm_guard.cli.reopened import bringing
    from slurm_guard.cli.store import refuse_copy, send
    from slurm_guard.config import load_config
    from slurm_guard.prometheus.client import Prometheus

    settings = load_config(config)
    where = lake or Path(settings.lake.path)
    window = span(since, until, settings)
    refuse_root("import prometheus", [where])
    refuse_copy(where)
    hours = _hours(window)
    server = Prometheus(access_of(url or settings.prometheus.url, settings.prometheus))
    loaded = accounting_of(settings.slurm, sacct_file).load_runs(hours[0], hours[-1] + 3600.0)
    runs = [run for run in loaded.runs if run.n_gpus > 0]
    with bringing(where, settings) as came, watched() as bar:
        told = Told(arrived=came)
        bar.stage("hours asked")
        for n, at in enumerate(hours):
            if told.in_a_row >= _GIVE_UP:
                told.failed.append((at, "not asked any more"))
            else:
                _take(server, at, (loaded.cluster, runs), where, settings, match, told)
            bar.step(n + 1, len(hours))
        _tell(told, server, where, len(hours))
    send(where, settings)
    _check(told, len(hours))


@dataclass(slots=True)
class Told:
    """What came of the hours."""

    n_windows: int = 0
    n_new: int = 0
    n_before: int = 0
    in_a_row: int = 0
    nodes: set[str] = field(default_factory=set)
    arrived: list[tuple[str, str, float, float]] = field(default_factory=list)
    failed: list[tuple[float, str]] = field(default_factory=list)
    in_place: list[tuple[float, str]] = field(default_factory=list)  # what lies where the hour would
    lost_s: "Counter[str]" = field(default_factory=lambda: _counter())
    left_out: "Counter[str]" = field(default_factory=lambda: _counter())
    warnings: dict[str, None] = field(default_factory=dict)


def _counter() -> "Counter[str]":
    from collections import Counter

    return Counter()


def _hours(window: tuple[float, float]) -> list[float]:
    """Whole hours of UTC that the window meets. Raises GuardError import-long."""
    from slurm_guard.errors import EXIT_USAGE, GuardError

    first, last = int(window[0] // 3600), int(-(-window[1] // 3600))
    if last - first > _MOST_HOURS:
        raise GuardError(
            "import-long",
            f"{last - first} hours are more than the {_MOST_HOURS} that one import takes",
            "import month after month",
            EXIT_USAGE,
        )
    return [3600.0 * hour for hour in range(first, last)]


def access_of(url: str, settings: "PrometheusConfig") -> "Access":
    """Where to ask, and as whom. Raises GuardError prometheus-url, prometheus-plain, secret-missing,
    secret-unsafe, secret-odd."""
    from base64 import b64encode

    from slurm_guard.prometheus.client import Access, check_url

    auth = None
    if settings.token_file:
        auth = "Bearer " + _secret(settings.token_file, "prometheus.token_file")
    elif settings.user:
        password = _secret(settings.password_file, "prometheus.password_file")
        auth = "Basic " + b64encode(f"{settings.user}:{password}".encode()).decode()
    where = check_url(url, has_secret=auth is not None)
    return Access(where, auth, settings.ca_file or None, settings.answer_s, settings.total_s)


def _secret(path: str, key: str) -> str:
    from slurm_guard.errors import EXIT_USAGE, GuardError
    from slurm_guard.report.secret import read_private

    first = (read_private(Path(path), key).splitlines() or [""])[0].strip()
    if not first or not first.isascii() or not first.isprintable():
        raise GuardError(
            "secret-odd",
            f"{key}: the first line of {path} is empty, or holds more than printable ASCII",
            "write the secret alone on the first line",
            EXIT_USAGE,
        )
    return first


def _take(
    server: "Prometheus",
    at: float,
    accounted: "tuple[str, list[Run]]",
    lake: Path,
    settings: "Config",
    match: str | None,
    told: Told,
) -> None:
    """One hour; of one that the server did not tell whole, nothing."""
    from slurm_guard.errors import GuardError
    from slurm_guard.lake.arrived import Stopped
    from slurm_guard.lake.imports import SLUG, keep_hour
    from slurm_guard.lake.others import rows_of
    from slurm_guard.prometheus.answer import Names
    from slurm_guard.prometheus.fetch import LEAD_S, HourFailed, fetch_hour

    cluster, every = accounted
    runs = [run for run in every if run.start_at < at + 3600 and (run.end_at or run.until_at) > at - LEAD_S]
    if not runs:
        return
    names = Names(frozenset(node for run in runs for node in run.nodes), settings.prometheus.node_label)
    try:
        wanted = settings.prometheus.match if match is None else match
        hour = fetch_hour(server.ask, at, names, wanted)
    except HourFailed as error:
        told.failed.append((at, str(error)))
        told.in_a_row += 1
        return
    told.in_a_row = 0
    rows = rows_of(hour, cluster, runs)
    told.left_out.update(hour.left_out + rows.left_out)
    told.lost_s.update(rows.lost_s)
    told.warnings.update(dict.fromkeys(hour.warnings))
    if "windows" in rows.tables:
        told.nodes.update(rows.tables["windows"]["node"].unique().to_list())
        try:
            kept = keep_hour(lake, cluster, at, rows.tables)
        except Stopped as stop:
            told.arrived += stop.arrived
            raise
        except GuardError as error:
            if error.slug != SLUG:
                raise
            told.in_place.append((at, error.sentence))
            return
        told.n_windows += kept.n_windows
        told.n_new += kept.is_new
        told.n_before += kept.n_before
        told.arrived += kept.arrived


def _tell(told: Told, server: "Prometheus", lake: Path, n_hours: int) -> None:
    from datetime import datetime, timezone

    from slurm_guard.report.words import plural

    typer.echo(
        f"{plural(n_hours, 'hour')}, {plural(server.n_asked, 'question')}: "
        f"{plural(told.n_windows, 'window')} of {plural(len(told.nodes), 'node')}, "
        f"{plural(told.n_new, 'hour')} new or changed: {lake}"
    )
    for why, lost_s in sorted(told.lost_s.items()):
        if lost_s > 0:
            typer.echo(f"  {lost_s / 3600:.2f} GPU-h {why}: not observed")
    for why, n in sorted(told.left_out.items()):
        if n > 0:
            typer.echo(f"  {n} {why}: left out")
    if told.n_before:
        typer.echo(f"  {plural(told.n_before, 'hour')} of nodes: the lake knew more already, which stays")
    if server.n_again:
        typer.echo(f"  {plural(server.n_again, 'answer')} asked for again")
    for said in list(told.warnings)[:5]:
        typer.echo(f"  the server says: {said!a}")
    for at, why in (*told.failed[:10], *told.in_place[:10]):
        when = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        typer.echo(f"  {when}: nothing taken: {why!a}")


def _check(told: Told, n_hours: int) -> None:
    """Raises GuardError prometheus-incomplete, import-unreadable, prometheus-nothing."""
    from slurm_guard.errors import EXIT_NOTHING_TO_AUDIT, GuardError
    from slurm_guard.lake.imports import SLUG
    from slurm_guard.report.words import plural

    if told.failed:
        raise GuardError(
            "prometheus-incomplete",
            f"{len(told.failed)} of {plural(n_hours, 'hour')} could not be read: nothing is known of them",
            "import them again; what was taken is not taken twice",
        )
    if told.in_place:
        raise GuardError(
            SLUG,
            f"{len(told.in_place)} of {plural(n_hours, 'hour')} were not taken: what lies in their place "
            "cannot be read, or is no import's, and is left as it is",
            "the files are named above: mend them or move them away, and import these hours again",
        )
    if not told.n_windows:
        raise GuardError(
            "prometheus-nothing",
            "the server has no GPU readings of the runs in this time",
            "check --match and [prometheus] node_label, and that it scrapes what docs/prometheus.md names",
            EXIT_NOTHING_TO_AUDIT,
        )
