"""`slurm-guard report --since`: several nights' documents as one table, page or file of data."""

from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from slurm_guard.cli.chosen import Archive
    from slurm_guard.config import Config
    from slurm_guard.model import Audit
    from slurm_guard.report.narrow import Narrow
    from slurm_guard.report.nights import Nights

_FORMATS = ("text", "csv", "json", "html")
_IN_MEMORY = 16 << 20  # more of what comes out waits on a disk
_PIECE = 1 << 20


def show_nights(
    since: str,
    others: tuple[Path | None, str | None],
    narrow: "Narrow",
    how: tuple[str, Path | None],
    settings: "Config",
) -> bool:
    """Everything since then; whether anything of it asks for a look. Nights that cannot be read are named on
    stderr, and then the command fails, after the table. `others`: --audit and --night, which say one night.

    Raises GuardError since-alone, since-format and those of finding and narrowing.
    """
    import typer

    from slurm_guard.cli.chosen import archive_of, log_view
    from slurm_guard.cli.rendered import put_out
    from slurm_guard.errors import EXIT_FAILURE
    from slurm_guard.report.nights import Nights, parse_since
    from slurm_guard.report.safe import clean
    from slurm_guard.report.words import load_zone

    form, output = how
    _check(others, form)
    archive, today = archive_of(settings), _today(settings)
    first = parse_since(since, today)
    load_zone(settings.report.timezone)
    found = Nights(first.isoformat(), narrow)
    with SpooledTemporaryFile(_IN_MEMORY) as out:
        _write(out, found, archive, (form, output is None, first, today), settings)
        found.check()
        nights = f"{found.first} to {today.isoformat()}"
        log_view(archive, None, (nights, narrow.words(), form), (found.n_runs, found.owners), settings)
        out.seek(0)
        put_out(iter(lambda: out.read(_PIECE), b""), output)
    for night, why in found.failed:
        typer.echo(f"slurm-guard: {night} was passed over: {clean(why, 400)}", err=True)
    if found.failed:
        raise typer.Exit(EXIT_FAILURE)
    return found.asks


def _check(others: tuple[Path | None, str | None], form: str) -> None:
    from slurm_guard.errors import EXIT_USAGE, GuardError

    if any(other is not None for other in others):
        raise GuardError(
            "since-alone",
            "--since names several nights, --audit and --night one",
            "leave one of them away",
            EXIT_USAGE,
        )
    if form not in _FORMATS:
        raise GuardError(
            "since-format",
            f"several nights come as {', '.join(_FORMATS)}, not as {form}",
            "name one night with --night for a letter",
            EXIT_USAGE,
        )


def _today(settings: "Config") -> "date":
    from datetime import datetime

    from slurm_guard.clock import SystemClock
    from slurm_guard.report.words import load_zone

    return datetime.fromtimestamp(SystemClock().now_at(), load_zone(settings.report.timezone)).date()


def _write(
    out: "IO[bytes]",
    found: "Nights",
    archive: "Archive",
    how: "tuple[str, bool, date, date]",
    settings: "Config",
) -> None:
    from slurm_guard.report.nights_data import csv_parts, json_parts

    form, to_stdout, first, today = how
    parts = _parts(found, archive, (first, today))
    if form in ("text", "html"):
        for _ in parts:
            pass
        to_text = form == "text"
        out.write(
            _text(found, archive.scope, to_stdout, settings) if to_text else _page(found, archive, settings)
        )
        return
    for piece in csv_parts(parts) if form == "csv" else json_parts(parts, found):
        out.write(piece.encode())


def _parts(found: "Nights", archive: "Archive", window: "tuple[date, date]") -> "Iterator[tuple[str, Audit]]":
    import os

    from slurm_guard.report.archive import list_nights, read_document
    from slurm_guard.report.nights import nights_between, read_parts
    from slurm_guard.report.ownfiles import own_nights

    names = own_nights(archive.own, os.getuid()) if archive.is_own else list_nights(archive.reports)
    kept, missing = nights_between(names, *window)
    found.missing += [] if archive.is_own else missing
    return read_parts(kept, found, lambda night: read_document(archive.find(None, night)))


def _page(found: "Nights", archive: "Archive", settings: "Config") -> bytes:
    from slurm_guard.report.nights_page import build_nights
    from slurm_guard.report.page import Options
    from slurm_guard.report.render import render_nights_html
    from slurm_guard.report.words import load_zone

    zone = load_zone(settings.report.timezone)
    options = Options(settings.report.site, zone, scope=archive.scope)
    return render_nights_html(build_nights(found, options)).encode()


def _text(found: "Nights", scope: str, to_stdout: bool, settings: "Config") -> bytes:
    from slurm_guard.cli.rendered import encode, encoding_of, style_of
    from slurm_guard.report.nights_text import render_nights
    from slurm_guard.report.words import Times, load_zone

    times = Times(load_zone(settings.report.timezone))
    shown = render_nights(found, scope, times, style_of(to_stdout))
    return encode(shown, encoding_of(to_stdout))
