"""A document in the format that was asked for, and where it goes."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slurm_guard.config import Config
    from slurm_guard.model import Audit
    from slurm_guard.report.page import Options
    from slurm_guard.report.text import Style

WIDTH = 112  # of text that no terminal bounds: every column of the verdict table, and some of the names


def render(shown: "Audit", options: "Options", how: tuple[str, bool, bool], settings: "Config") -> bytes:
    """The bytes of one format. `how`: the format, whether to standard output, whether runs are in full."""
    from slurm_guard.report import formats, mail, page
    from slurm_guard.report.render import render_html

    form, to_stdout, in_full = how
    if form == "json":
        return formats.render_json(shown).encode()
    if form == "csv":
        return formats.render_csv(shown).encode()
    if form == "eml":
        to = next(iter(settings.mail.to), settings.mail.sender)
        envelope = mail.Envelope(settings.mail.sender, to, settings.mail.reply_to)
        return mail.compose(shown, options, envelope, shown.until_at).content
    if form == "html":
        return render_html(page.build_page(shown, options)).encode()
    return _render_text(shown, options, to_stdout, in_full)


def _render_text(shown: "Audit", options: "Options", to_stdout: bool, in_full: bool) -> bytes:
    from dataclasses import replace

    from slurm_guard.report import page, text
    from slurm_guard.report.spark import BLOCKS, sparks_of
    from slurm_guard.report.words import Times

    style = style_of(to_stdout)
    if in_full:
        ascii_only = not _can_encode(BLOCKS, encoding_of(to_stdout))
        sparks = sparks_of(shown, Times(options.zone), style.width, ascii_only=ascii_only)
        style = replace(style, cards=text.ALL, sparks=sparks)
    return encode(text.render_text(page.build_page(shown, options), style), encoding_of(to_stdout))


# What our own words use and an old terminal lacks; of other characters it shows a question mark.
_PLAIN = str.maketrans(
    {"–": "-", "−": "-", "·": "-", "…": "~", "×": "x", "≤": "<=", "≥": ">=", "θ": "theta", "±": "+-"}
)


def encode(text: str, encoding: str) -> bytes:
    """For a terminal; what it cannot show is written plainer."""
    return (
        text.encode(encoding)
        if _can_encode(text, encoding)
        else text.translate(_PLAIN).encode(encoding, "replace")
    )


def _can_encode(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def style_of(to_stdout: bool) -> "Style":
    """Colour only where a terminal listens (https://no-color.org); $COLUMNS holds for a pipe as well."""
    from slurm_guard.report.text import Style

    listens = to_stdout and sys.stdout is not None and sys.stdout.isatty()
    color = listens and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Style(shutil.get_terminal_size((WIDTH, 24)).columns if to_stdout else WIDTH, color)


def encoding_of(to_stdout: bool) -> str:
    """Of standard output; files are UTF-8."""
    return (sys.stdout.encoding or "utf-8") if to_stdout and sys.stdout is not None else "utf-8"


def put_out(content: "bytes | Iterable[bytes]", output: Path | None) -> None:
    """Into the file, which names people: a new one is closed to others; else to standard output.

    Raises GuardError output-unwritable.
    """
    from slurm_guard.errors import GuardError
    from slurm_guard.report.archive import write_output

    if output is not None:
        write_output(output, content, keep_mode=True)
        return
    if sys.stdout is None:  # `>&-`
        hint = "name a file with -o, or leave the standard output open"
        raise GuardError("output-unwritable", "standard output is closed", hint)
    sys.stdout.buffer.writelines([content] if isinstance(content, bytes) else content)
    sys.stdout.flush()
