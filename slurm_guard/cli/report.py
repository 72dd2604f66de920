"""`slurm-guard report`: audit documents for people, and for other programs."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slurm_guard.cli.complete import complete_night, complete_verdict

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.report.narrow import Narrow


class Format(str, Enum):
    """What comes out."""

    HTML = "html"
    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    EML = "eml"


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(report)


_MANY = "may be repeated, or hold commas"
_Texts = list[str] | None


def report(
    audit: Annotated[
        Path | None, typer.Option("--audit", help="audit document; default: the latest", readable=False)
    ] = None,
    night: Annotated[
        str | None,
        typer.Option("--night", help="the night that began on this date", autocompletion=complete_night),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="several nights as one table or page: 2026-09-22, 3d, 1w")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="what comes out")] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file; default: standard output", readable=False)
    ] = None,
    job: Annotated[str | None, typer.Option("--job", help="the runs of one job alone, in full")] = None,
    account: Annotated[_Texts, typer.Option("--account", help=f"runs of this account; {_MANY}")] = None,
    user: Annotated[_Texts, typer.Option("--user", help=f"runs of this user, or uid; {_MANY}")] = None,
    verdict: Annotated[
        _Texts,
        typer.Option("--verdict", help=f"runs of this verdict; {_MANY}", autocompletion=complete_verdict),
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="exit 10 when something asks for a look")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Show a night: which GPU-hours logged progress explains, which it does not, and why.

    Who may not read the nights is shown his own runs.
    """
    from slurm_guard.cli.nights import show_nights
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FINDINGS
    from slurm_guard.report.narrow import parse_narrow

    settings = load_config(config)
    narrow = parse_narrow(job, account or (), user or (), verdict or ())
    if since is not None:
        asks = show_nights(since, (audit, night), narrow, (form.value, output), settings)
    else:
        asks = _show_night((audit, night), narrow, (form, output), settings)
    if exit_code and asks:
        raise typer.Exit(EXIT_FINDINGS)


def _show_night(
    which: tuple[Path | None, str | None],
    narrow: "Narrow",
    how: tuple[Format, Path | None],
    settings: "Config",
) -> bool:
    """One document; whether anything of it asks for a look."""
    from slurm_guard.cli.chosen import archive_of, log_view, say_age
    from slurm_guard.cli.rendered import put_out, render
    from slurm_guard.report.archive import read_document
    from slurm_guard.report.narrow import missing_words, only, scope_words, spelled
    from slurm_guard.report.page import Options
    from slurm_guard.report.render import find_method
    from slurm_guard.report.viewlog import owners
    from slurm_guard.report.words import load_zone

    archive = archive_of(settings)
    path = archive.find(*which)
    whole = read_document(path)
    if which == (None, None):
        say_age(archive, whole.until_at)
    narrow = spelled(narrow, whole)
    shown = only(whole, narrow)
    if missing := missing_words(narrow, whole.judgements):
        typer.echo(f"slurm-guard: {missing}", err=True)
    form, output = how
    seen = (len(shown.judgements), owners(shown.judgements))
    log_view(archive, path, (path.resolve().parent.name, narrow.words(), form.value), seen, settings)
    said = (archive.scope, scope_words(narrow, len(shown.judgements), len(whole.judgements)))
    zone = load_zone(settings.report.timezone)
    url = settings.report.method_url
    scope = " ".join(filter(None, said))
    options = Options(settings.report.site, zone, scope=scope, method_url=url, method_file=find_method())
    in_full = narrow.job is not None or archive.is_own
    put_out(render(shown, options, (form.value, output is None, in_full), settings), output)
    return shown.asks
