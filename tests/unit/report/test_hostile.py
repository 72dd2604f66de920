"""Whatever a job writes about itself comes out harmless, in every format."""

import csv
import email
import email.policy
import io
import json
import time
from dataclasses import replace
from datetime import timezone
from functools import cache
from html.parser import HTMLParser

import pytest

from slurm_guard import document
from slurm_guard.model import Audit
from slurm_guard.report import formats, mail, nights_data, text
from slurm_guard.report.narrow import Narrow, parse_narrow, scope_words
from slurm_guard.report.nights import Nights, read_parts
from slurm_guard.report.nights_page import build_nights
from slurm_guard.report.nights_text import render_nights
from slurm_guard.report.own import only_uid, uids_of
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html, render_nights_html
from slurm_guard.report.spark import sparks_of
from slurm_guard.report.viewlog import owners, view_line
from slurm_guard.report.words import Times
from slurm_guard.siteword import Speaker
from tests.unit.report import builders, hostile

ENVELOPE = mail.Envelope("slurm-guard@hpc.example.org", "ops@example.org")
EACH = pytest.mark.parametrize("nasty", hostile.STRINGS, ids=lambda s: ascii(s[:24]))


class _Tags(HTMLParser):
    """The shape of a page: tags and attribute names, and every piece of text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.hrefs: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.hrefs += [
            value or "" for name, value in attrs if name in ("href", "src", "action", "xlink:href")
        ]

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")


def _raw_in(output: str) -> list[str]:
    return [char for char in hostile.RAW if char in output]


def _letter(nasty: str) -> "email.message.EmailMessage":
    content = mail.compose(hostile.night(nasty), Options(site=nasty), ENVELOPE, builders.FROM_AT).content
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


@cache
def _harmless_tags() -> frozenset[tuple[str, tuple[str, ...]]]:
    page = build_page(hostile.night("plain word"), Options(site="plain word"))
    return frozenset(_Tags(render_html(page)).tags)


@cache
def _harmless_heads() -> list[str]:
    return _letter("plain word").keys()


@EACH
def test_html_has_only_the_tags_of_a_harmless_night(nasty: str) -> None:
    html = render_html(build_page(hostile.night(nasty), Options(site=nasty)))

    shape = _Tags(html)
    assert set(shape.tags) <= _harmless_tags()
    assert [t for t, _ in shape.tags].count("style") == 1
    assert all(href.startswith("#") for href in shape.hrefs)
    assert not _raw_in(html)
    assert len(html) < 1_000_000
    html.encode()


@EACH
def test_terminal_text_carries_no_control_character_but_its_line_ends(nasty: str) -> None:
    page = build_page(hostile.night(nasty), Options(site=nasty))

    shown = text.render_text(page, text.Style(100, color=False, cards=text.ALL))

    assert not _raw_in(shown)
    assert not [char for char in shown if ord(char) < 0x20 and char != "\n"]
    assert "\nBcc:" not in shown
    assert len(shown) < 200_000
    shown.encode()


@EACH
def test_colour_adds_our_own_escapes_alone(nasty: str) -> None:
    page = build_page(hostile.night(nasty), Options(site=nasty))

    plain, painted = (text.render_text(page, text.Style(100, color, text.ALL)) for color in (False, True))

    for code in ("1;31", "33", "34", "36", "35", "32", "0"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == plain


@EACH
def test_csv_has_no_formula_and_one_line_a_run(nasty: str) -> None:
    shown = formats.render_csv(hostile.night(nasty))

    rows = list(csv.DictReader(io.StringIO(shown)))
    assert len(rows) == len(shown.splitlines()) - 1 == 13
    assert not _raw_in(shown)
    numbers = {name for name in formats.HEADS if name.endswith(("_gpu_ms", "_pct"))} | {"score"}
    for row in rows:
        for name in set(row) - numbers:
            assert row[name].lstrip()[:1] not in tuple("=+-@\t\r＝＋－＠") or row[name] == "", (
                name,
                row[name][:20],
            )


@EACH
def test_mail_headers_are_ours_and_its_parts_harmless(nasty: str) -> None:
    message = _letter(nasty)

    assert message.keys() == _harmless_heads()
    assert message["To"] == "ops@example.org"
    assert not _raw_in(str(message["Subject"]))
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert not _raw_in(part.get_content())
    html = message.get_body(("html",))
    assert html is not None
    shape = _Tags(html.get_content())
    assert not {tag for tag, _ in shape.tags} & {"script", "svg", "link", "iframe", "form", "b2"}
    assert all(href.startswith("cid:") for href in shape.hrefs)  # our own pictures, where they can be drawn


def test_a_name_of_ten_megabytes_is_shortened_everywhere() -> None:
    night = builders.night()
    first = night.judgements[0]
    long = "N\x1b" * 5_000_000
    run = replace(first.run, name=long, comment=long, work_dir=long)
    audit = replace(night, judgements=(replace(first, run=run), *night.judgements[1:]))

    page = build_page(audit, Options())
    content = mail.compose(audit, Options(), ENVELOPE, builders.FROM_AT).content

    for shown in (render_html(page), text.render_text(page, text.Style(100, cards=text.ALL))):
        assert len(shown) < 400_000
        assert not _raw_in(shown)
    assert len(formats.render_csv(audit)) < 100_000
    assert len(content) < mail.MOST_BYTES


@EACH
def test_json_is_the_document_with_every_character_escaped(nasty: str) -> None:
    audit = hostile.night(nasty)

    shown = formats.render_json(audit)

    assert shown.isascii()
    assert json.loads(shown)["judgements"][0]["run"]["name"] == nasty


TIMES = Times(timezone.utc)


def _is_plain(shown: str) -> bool:
    """Nothing raw in it, and no control character but its line ends."""
    return not _raw_in(shown) and not [c for c in shown if ord(c) < 0x20 and c != "\n"]


def _several(nasty: str, narrow: Narrow) -> tuple[Nights, list[tuple[str, Audit]]]:
    found = Nights("2026-09-20", narrow, missing=["2026-09-21"])
    found.failed.append(("2026-09-20", f"document-syntax: {nasty}"))
    return found, list(read_parts(["2026-09-22", "2026-09-23"], found, lambda _: hostile.night(nasty)))


def test_there_are_at_least_forty() -> None:
    assert len(set(hostile.STRINGS)) == len(hostile.STRINGS) >= 40


@EACH
@pytest.mark.parametrize("width", [44, 120])
def test_the_table_of_several_nights_is_plain_and_bounded(nasty: str, width: int) -> None:
    found, _ = _several(nasty, parse_narrow())

    shown = render_nights(found, "", TIMES, text.Style(width))

    assert _is_plain(shown)
    assert len(shown) < 200_000
    assert max(len(line) for line in shown.splitlines()[:20]) <= width
    colours = render_nights(found, "", TIMES, text.Style(width, color=True))
    for code in ("1;31", "33", "34", "36", "35", "32", "0"):
        colours = colours.replace(f"\x1b[{code}m", "")
    assert colours == shown


@EACH
def test_several_nights_as_data_hold_no_formula_and_no_raw_character(nasty: str) -> None:
    found, parts = _several(nasty, parse_narrow())

    table, whole = "".join(nights_data.csv_parts(parts)), "".join(nights_data.json_parts(parts, found))

    rows = list(csv.DictReader(io.StringIO(table)))
    assert len(rows) == len(table.splitlines()) - 1 == 26
    assert not _raw_in(table)
    assert not [row for row in rows if row["name"].lstrip()[:1] in tuple("=+-@\t\r＝＋－＠") and row["name"]]
    assert whole.isascii()
    assert json.loads(whole)["nights"][0]["audit"]["judgements"][0]["run"]["name"] == nasty


@EACH
@pytest.mark.parametrize("ascii_only", [True, False])
def test_small_bars_are_plain(nasty: str, ascii_only: bool) -> None:
    found = sparks_of(hostile.night(nasty), TIMES, 80, ascii_only=ascii_only)

    lines = [line for one in found.values() for line in one]
    assert lines
    assert _is_plain("\n".join(lines))
    assert max(map(len, lines)) <= 160


@EACH
def test_what_is_asked_for_is_shown_harmless(nasty: str) -> None:
    asked = Narrow(nasty, (nasty, nasty), (nasty,), ())

    said = scope_words(asked, 1, 2)

    assert _is_plain(said)
    assert "\n" not in said
    assert len(said) < 400


@EACH
def test_own_documents_are_documents_and_shown_harmless(nasty: str) -> None:
    whole = hostile.night(nasty)
    uid = uids_of(whole)[0]

    own = document.to_json(only_uid(whole, uid))
    shown = text.render_text(
        build_page(document.from_json(own), Options(scope="Your own")), text.Style(100, cards=text.ALL)
    )

    assert own.isascii()
    assert _is_plain(shown)
    assert all(j["run"]["uid"] == uid for j in json.loads(own)["judgements"])


@EACH
def test_a_page_of_several_nights_has_only_the_tags_of_harmless_ones(nasty: str) -> None:
    def html(word: str) -> str:
        found = Nights("2026-09-20", parse_narrow())
        list(read_parts(["2026-09-21", "2026-09-22"], found, lambda _: hostile.night(word)))
        found.narrow = Narrow(accounts=(word,))
        found.failed.append(("2026-09-23", word))
        return render_nights_html(build_nights(found, Options(site=word, scope="")))

    shape = _Tags(html(nasty))

    assert set(shape.tags) <= set(_Tags(html("plain word")).tags)
    assert all(href.startswith("#") for href in shape.hrefs)
    assert not _raw_in(html(nasty))


@EACH
def test_a_view_is_one_line_of_ascii(nasty: str) -> None:
    by = Speaker(nasty[:64], 0, None)
    whole = hostile.night(nasty)

    line = view_line(1.0, by, ("report", nasty, nasty, "text"), (13, owners(whole.judgements)))

    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert len(line) < 10_000
    assert json.loads(line)["by"] == nasty[:64]


def test_a_name_of_ten_megabytes_holds_nobody_up() -> None:
    whole = builders.night()
    first = whole.judgements[0]
    long = "\x1b[31mA" * (10 * 1024 * 1024 // 6)
    run = replace(first.run, name=long, comment=long, user=long)
    whole = replace(whole, judgements=(replace(first, run=run, sentence=long), *whole.judgements[1:]))
    began = time.monotonic()

    page = build_page(whole, Options())
    outputs = [
        text.render_text(page, text.Style(100, cards=text.ALL)),
        formats.render_csv(whole),
        render_html(page),
        *(line for lines in sparks_of(whole, TIMES, 80).values() for line in lines),
        view_line(1.0, Speaker("x", 0, None), ("report", "n", "", "text"), (13, owners(whole.judgements))),
    ]
    found = Nights("2026-09-20", parse_narrow())
    list(read_parts(["2026-09-22"], found, lambda _: whole))
    outputs.append(render_nights(found, "", TIMES, text.Style(100)))
    only_uid(whole, uids_of(whole)[0])

    assert max(map(len, outputs)) < 1_000_000
    assert not [c for shown in outputs for c in _raw_in(shown)]
    assert time.monotonic() - began < 60  # seconds on a busy machine; without bounds it would be minutes
