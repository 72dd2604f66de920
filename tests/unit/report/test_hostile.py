"""Whatever a job writes about itself comes out harmless, in every format."""

import csv
import email
import email.policy
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from slurm_guard.report import formats, mail, text
from slurm_guard.report.page import Options, build_page
from slurm_guard.report.render import render_html
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


@EACH
def test_html_has_only_the_tags_of_a_harmless_night(nasty: str) -> None:
    html = render_html(build_page(hostile.night(nasty), Options(site=nasty)))

    shape = _Tags(html)
    harmless = _Tags(render_html(build_page(hostile.night("plain word"), Options(site="plain word"))))
    assert set(shape.tags) <= set(harmless.tags)
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

    assert message.keys() == _letter("plain word").keys()
    assert message["To"] == "ops@example.org"
    assert not _raw_in(str(message["Subject"]))
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert not _raw_in(part.get_content())
    html = message.get_body(("html",))
    assert html is not None
    names = {tag for tag, _ in _Tags(html.get_content()).tags}
    assert not names & {"script", "img", "svg", "link", "iframe", "form", "b2"}


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
