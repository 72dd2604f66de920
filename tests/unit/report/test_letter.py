"""A letter's headers and parts: what no job can reach, and pictures inside the HTML."""

import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.report import letter
from slurm_guard.report.letter import Body, Envelope, Heads, Image, Letter, Strand, assemble
from tests.unit.report import hostile

PNG = bytes.fromhex("89504e470d0a1a0a") + b"not quite a picture" * 3
ENVELOPE = Envelope("Site <guard@hpc.example.org>", "ops@example.org", "help@example.org")
HEADS = Heads(ENVELOPE, "A night", Strand("<n.1@hpc.example.org>"), 1_790_000_000.0, letter.DIGEST, "aurora")
BODY = Body("text\n", '<p>see <img src="cid:bar" alt="all idle"></p>', (Image("bar", PNG, "all idle"),))
NASTY = [*hostile.STRINGS, "x" * 10_000_000, "\r\n" * 100_000, "=?utf-8?q?=0d=0aBcc:=20a@b.org?=", "ü" * 5000]


def _parse(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def _shape(made: Letter) -> list[str]:
    return [part.get_content_type() for part in _parse(made.content).walk()]


def test_pictures_are_related_to_the_html_that_shows_them() -> None:
    made = assemble(HEADS, BODY)

    assert _shape(made) == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    (picture,) = [p for p in _parse(made.content).walk() if p.get_content_type() == "image/png"]
    name = str(picture["Content-ID"])  # RFC 2045: as unique as a Message-ID
    assert re.fullmatch(r"<1\.[0-9a-f]{24}@slurm-guard\.invalid>", name)
    (html,) = [p for p in _parse(made.content).walk() if p.get_content_type() == "text/html"]
    assert f'src="cid:{name[1:-1]}"' in html.get_content()
    assert picture.get_content_disposition() == "inline"
    assert picture["Content-Description"] == "all idle"
    assert picture.get_payload(decode=True) == PNG


def test_a_picture_that_the_html_does_not_show_is_no_attachment() -> None:
    made = assemble(HEADS, replace(BODY, html="<p>no picture</p>"))

    assert _shape(made) == ["multipart/alternative", "text/plain", "text/html"]


def test_the_same_letter_has_the_same_bytes_with_pictures_too() -> None:
    assert assemble(HEADS, BODY).content == assemble(HEADS, BODY).content


def test_a_letter_that_takes_anothers_place_answers_it() -> None:
    ids = [f"<n.{i}@hpc.example.org>" for i in range(9)]
    strand = Strand("<n.9@hpc.example.org>", "<2026-09@hpc.example.org>", tuple(ids))

    message = _parse(assemble(replace(HEADS, strand=strand), BODY).content)

    assert message["In-Reply-To"] == ids[-1]
    assert message["References"].split() == ["<2026-09@hpc.example.org>", ids[0], ids[-2], ids[-1]]


def test_a_first_letter_answers_none() -> None:
    message = _parse(assemble(HEADS, BODY).content)

    assert message["In-Reply-To"] is None
    assert message["References"] is None


def test_lists_say_so_and_personal_letters_do_not() -> None:
    digest = _parse(assemble(HEADS, BODY).content)
    own = _parse(assemble(replace(HEADS, kind=letter.OWNER), BODY).content)

    assert (digest["List-Id"], digest["Precedence"]) == ("<aurora.slurm-guard.hpc.example.org>", "bulk")
    assert (own["List-Id"], own["Precedence"]) == (None, None)
    assert digest["Auto-Submitted"] == own["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize("subject", ["A" * 300, "ü" * 120, "short"])
def test_no_header_begins_with_an_empty_line_and_none_is_too_long(subject: str) -> None:
    content = assemble(replace(HEADS, subject=subject), BODY).content

    assert not re.search(rb"^[A-Za-z-]+: ?\r\n", content.partition(b"\r\n\r\n")[0], re.MULTILINE)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert _parse(content)["Subject"] == subject


@pytest.mark.parametrize("nasty", NASTY, ids=lambda s: ascii(s[:24]))
def test_whatever_a_name_an_alt_or_a_cluster_holds_no_header_is_added(nasty: str) -> None:
    heads = replace(HEADS, envelope=replace(ENVELOPE, name=nasty), list_name=nasty)
    body = Body("text\n", '<img src="cid:bar" alt="">', (Image("bar", PNG, nasty),))

    made = assemble(heads, body)

    message = _parse(made.content)
    assert message.keys() == _parse(assemble(HEADS, BODY).content).keys()
    assert message["To"].addresses[0].addr_spec == "ops@example.org"
    assert len(message["To"].addresses) == 1
    assert not [char for char in hostile.RAW if char in str(message["To"]) + str(message["List-Id"])]
    assert b"\nBcc:" not in made.content
    assert len(made.content) < 5000
    assert max(map(len, made.content.split(b"\r\n"))) <= 998
    made.content.decode("ascii")


@pytest.mark.parametrize("nasty", NASTY, ids=lambda s: ascii(s[:24]))
@pytest.mark.parametrize("field", ["sender", "to", "reply_to"])
def test_an_address_with_a_hostile_string_is_refused_or_one_plain_address(field: str, nasty: str) -> None:
    refused: list[GuardError] = []
    for text in (nasty or "?", f"{nasty} <a@example.org>", f"a@{nasty}"):
        try:
            made = assemble(replace(HEADS, envelope=replace(ENVELOPE, **{field: text})), BODY)
        except GuardError as error:
            refused.append(error)
            continue
        message = _parse(made.content)
        assert message.keys() == _parse(assemble(HEADS, BODY).content).keys()
        for name in ("From", "To", "Reply-To"):
            (address,) = message[name].addresses
            assert re.fullmatch(r"[!-~]+@[!-~]+", address.addr_spec)
            assert not re.search(r"[\r\n]", address.display_name)
        assert re.fullmatch(r"[!-~]+@[!-~]+", made.envelope.to)
    assert {error.slug for error in refused} <= {"mail-address"}
    assert all(len(error.sentence) < 500 for error in refused)


def test_a_pictures_name_stands_in_its_header_as_in_the_html_whatever_run_and_letter_are_called() -> None:
    anchor = "run-" + "aurora-with-a-long-name-" * 4 + "48112-1790042400"
    body = Body("text\n", f'<img src="cid:{anchor}" alt="x"><img src="cid:bar" alt="y">', (
        Image(anchor, PNG, "x"), Image("bar", PNG, "y"),
    ))  # fmt: skip
    strand = Strand(f"<2026-09-22.{'0' * 40}@{'a' * 60}.example.org>")

    made = assemble(replace(HEADS, strand=strand), body)

    names = re.findall(rb"^Content-ID: <([!-~]+)>\r$", made.content, re.MULTILINE)  # no encoded word, no fold
    (html,) = [part for part in _parse(made.content).walk() if part.get_content_type() == "text/html"]
    assert re.findall(r'src="cid:([^"]+)"', html.get_content()) == [name.decode() for name in names]
    assert len(set(names)) == 2
    assert names != re.findall(rb"Content-ID: <([^>]+)>", assemble(HEADS, body).content)


def test_a_subject_that_looks_encoded_is_not_decoded() -> None:
    nasty = "=?utf-8?q?=0d=0aBcc:=20a@b.org?="

    message = _parse(assemble(replace(HEADS, subject=nasty), BODY).content)

    assert message["Subject"] == nasty.replace("=?", "= ?")
