"""`slurm-guard report`: an audit document for people, and for other programs."""

import os
import shutil
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slurm_guard.config import Config
    from slurm_guard.model import Audit
    from slurm_guard.report.page import Options
    from slurm_guard.report.text import Style


WIDTH = 112  # of text that no terminal bounds: every column of the verdict table, and some of the names


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


def report(
    audit: Annotated[
        Path | None, typer.Option("--audit", help="audit document; default: the latest", readable=False)
    ] = None,
    night: Annotated[str | None, typer.Option("--night", help="the night that began on this date")] = None,
    form: Annotated[Format, typer.Option("--format", help="what comes out")] = Format.TEXT,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="file; default: standard output", readable=False)
    ] = None,
    job: Annotated[str | None, typer.Option("--job", help="the runs of one job alone, in full")] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="exit 10 when something asks for a look")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="configuration file", readable=False)
    ] = None,
) -> None:
    """Show a night: which GPU-hours logged progress explains, which it does not, and why."""
    from slurm_guard.config import load_config
    from slurm_guard.errors import EXIT_FINDINGS
    from slurm_guard.report.archive import choose_document, read_document, write_output

    settings = load_config(config)
    whole = read_document(choose_document(audit, night, Path(settings.report.path)))
    shown, options = narrow(whole, job, settings)
    content = render(shown, options, (form, output is None, job is not None), settings)
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    else:
        write_output(output, content)
    if exit_code and shown.asks:
        raise typer.Exit(EXIT_FINDINGS)


def narrow(whole: "Audit", job: str | None, settings: "Config") -> "tuple[Audit, Options]":
    """The document, or one job's part of it with a line that says so."""
    from slurm_guard.report.page import Options, only_job
    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import load_zone

    zone = load_zone(settings.report.timezone)
    if job is None:
        return whole, Options(settings.report.site, zone)
    part = only_job(whole, job)
    n_all = len(whole.judgements)
    scope = f"Job {clean(job, 40)} alone: {len(part.judgements)} of the {n_all} runs of this night."
    return part, Options(settings.report.site, zone, scope=scope)


def render(shown: "Audit", options: "Options", how: tuple[Format, bool, bool], settings: "Config") -> bytes:
    """The bytes of one format. `how`: the format, whether to standard output, whether for one job."""
    from slurm_guard.report import formats, mail, page, text
    from slurm_guard.report.render import render_html

    form, to_stdout, one_job = how
    if form is Format.JSON:
        return formats.render_json(shown).encode()
    if form is Format.CSV:
        return formats.render_csv(shown).encode()
    if form is Format.EML:
        to = next(iter(settings.mail.to), settings.mail.sender)
        envelope = mail.Envelope(settings.mail.sender, to, settings.mail.reply_to)
        return mail.compose(shown, options, envelope, shown.until_at).content
    built = page.build_page(shown, options)
    if form is Format.HTML:
        return render_html(built).encode()
    return text.render_text(built, _style(to_stdout, one_job)).encode(_encoding(to_stdout), "replace")


def _style(to_stdout: bool, one_job: bool) -> "Style":
    """Colour only where a terminal listens (https://no-color.org); $COLUMNS holds for a pipe as well."""
    from slurm_guard.report import text

    listens = to_stdout and sys.stdout.isatty()
    color = listens and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((WIDTH, 24)).columns if to_stdout else WIDTH
    return text.Style(width, color, text.ALL if one_job else ())


def _encoding(to_stdout: bool) -> str:
    return (sys.stdout.encoding or "utf-8") if to_stdout else "utf-8"
