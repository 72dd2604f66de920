"""Letters through Debian's Postfix with STARTTLS and a login, from the maildir, read by Perl's MIME tools.

Needs root and the packages that `tools/bootstrap rig` installs; skipped, and said, where they are missing.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.clock import FakeClock
from slurm_guard.report import mail
from slurm_guard.report.letter import Body, Heads, Image, Strand, assemble
from slurm_guard.report.letterbox import Status
from slurm_guard.report.page import Options
from slurm_guard.report.smtp import SmtpTransport
from slurm_guard.report.transport import Fate
from tests import postoffice
from tests.faults.mail_process import Sending, run_to_end
from tests.postal import PASSWORD, SENDER, USER, drafts, kept, run, smtp
from tests.unit.report import builders

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to run a mail server"),
    pytest.mark.skipif(
        bool(postoffice.missing()), reason=f"needs Debian packages: {' '.join(postoffice.missing())}"
    ),
]
_PARSE = r"""
use MIME::Parser; use Encode; use JSON::PP;
my $parser = MIME::Parser->new;
$parser->output_to_core(1);
$parser->tmp_to_core(1);
my $mail = $parser->parse_open($ARGV[0]);
my @parts;
sub walk {
  my ($e, $depth) = @_;
  my $body = $e->bodyhandle ? $e->bodyhandle->as_string : '';
  my $text = $e->mime_type =~ m{^text/} ? decode('UTF-8', $body) : '';
  my $cid = $e->head->get('Content-ID') // '';
  push @parts, { depth => $depth, type => $e->mime_type, size => length $body, cid => $cid, text => $text };
  walk($_, $depth + 1) for $e->parts;
}
walk($mail, 0);
my %heads;
for my $name (qw(From To Subject Message-ID In-Reply-To References List-Id Auto-Submitted Return-Path)) {
  my $value = $mail->head->get($name) // '';
  chomp $value;
  $value =~ s/\n\s*/ /g;
  $heads{$name} = decode('MIME-Header', $value);
}
print encode_json({ heads => \%heads, parts => \@parts, problems => [$parser->results->msgs] });
"""


@pytest.fixture(scope="module")
def office() -> Iterator[postoffice.PostOffice]:
    """One Postfix for all."""
    with postoffice.open_office() as running:
        yield running


def _parse(path: Path) -> dict[str, Any]:
    """A letter as Perl's MIME::Parser reads it."""
    done = subprocess.run(["perl", "-e", _PARSE, str(path)], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _carrier(office: postoffice.PostOffice, tls: str = "starttls") -> SmtpTransport:
    port = office.starttls_port if tls == "starttls" else office.tls_port
    return smtp(
        port, 20.0, host="localhost", tls=tls, ca_file=str(office.ca_file), user=USER, password=PASSWORD
    )


def test_the_digest_arrives_once_and_a_reaudit_in_its_thread(
    office: postoffice.PostOffice, tmp_path: Path
) -> None:
    carrier = _carrier(office)
    for minute, audit in enumerate((None, None, replace(builders.night(), skips=()))):
        clock = FakeClock(1_780_000_000.0 + 60 * minute)
        run(tmp_path, carrier, drafts(["ops@example.org"], audit), clock)

    first, second = map(_parse, office.letters("ops", 2))

    for letter in (first, second):
        assert letter["problems"] == []
        types = [p["type"] for p in letter["parts"]]
        drawn = ("multipart/related", "image/png")  # where resvg-py is
        assert [t for t in types if t not in drawn] == ["multipart/alternative", "text/plain", "text/html"]
        assert letter["heads"]["From"] == f"slurm-guard <{SENDER}>"
        assert letter["heads"]["Return-Path"] == f"<{SENDER}>"
        assert letter["heads"]["Auto-Submitted"] == "auto-generated"
        assert letter["heads"]["List-Id"] == "<aurora.slurm-guard.hpc.example.org>"
    composed = mail.compose(builders.night(), Options(), mail.Envelope(SENDER, "ops@example.org"), 0.0)
    assert first["heads"]["Subject"] == composed.subject
    assert first["heads"]["Message-ID"] == composed.message_id
    assert second["heads"]["In-Reply-To"] == first["heads"]["Message-ID"]
    assert first["heads"]["Message-ID"] in second["heads"]["References"]
    assert "audited again" in second["heads"]["Subject"]
    assert "At least 9.78, at most 12.8 of 64.0 GPU-h" in " ".join(first["parts"][1]["text"].split())


def test_a_picture_arrives_whole_inside_the_html(office: postoffice.PostOffice) -> None:
    png = bytes(range(256)) * 40
    heads = Heads(mail.Envelope(SENDER, "ann@example.org"), "Grüße", Strand("<p.1@hpc.example.org>"), 0.0)
    body = Body("Text ü\n", '<p><img src="cid:bar" alt="all idle"></p>', (Image("bar", png, "all idle"),))

    outcome = _carrier(office, "tls").send(assemble(heads, body), lambda: None)
    (letter,) = map(_parse, office.letters("ann", 1))

    assert outcome.fate is Fate.SENT
    assert letter["problems"] == []
    assert letter["heads"]["Subject"] == "Grüße"
    assert [(p["depth"], p["type"]) for p in letter["parts"]] == [
        (0, "multipart/alternative"), (1, "text/plain"), (1, "multipart/related"), (2, "text/html"),
        (2, "image/png"),
    ]  # fmt: skip
    assert re.fullmatch(r"<1\.[0-9a-f]{24}@slurm-guard\.invalid>", letter["parts"][-1]["cid"].strip())
    assert letter["parts"][-1]["size"] == len(png)


def test_a_reader_without_a_mailbox_is_refused_and_the_others_get_theirs(
    office: postoffice.PostOffice, tmp_path: Path
) -> None:
    before = len(office.letters("ops", 0))

    done = run(tmp_path, _carrier(office), drafts(["nobody@example.org", "ops@example.org"]))

    assert [d.kept.state.status for d in done] == [Status.REFUSED, Status.SENT]
    assert "nobody@example.org" in done[0].kept.state.detail
    assert len(office.letters("ops", before + 1)) == before + 1


def test_without_a_login_or_with_a_wrong_one_nothing_is_taken(
    office: postoffice.PostOffice, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"host": "localhost", "tls": "starttls", "ca_file": str(office.ca_file)}
    none = smtp(office.starttls_port, 20.0, **options)
    wrong = smtp(office.starttls_port, 20.0, **options, user=USER, password="wrong")
    plain = smtp(office.starttls_port, 20.0, host="localhost")

    fates = [
        run(tmp_path / name, carrier, drafts(["ops@example.org"]))[0]
        for name, carrier in (("none", none), ("wrong", wrong), ("plain", plain))
    ]

    assert [f.kept.state.status for f in fates] == [Status.REFUSED, Status.DEFERRED, Status.DEFERRED]
    assert fates[1].trouble == "mail-login"


@pytest.mark.parametrize("k", range(20))
def test_killed_at_twenty_moments_nothing_is_lost_and_nothing_comes_twice(
    k: int, office: postoffice.PostOffice, tmp_path: Path
) -> None:
    options: dict[str, object] = {
        "host": "localhost", "tls": "starttls", "ca_file": str(office.ca_file), "user": USER,
        "password": PASSWORD,
    }  # fmt: skip
    readers = [f"{name}@example.org" for name in postoffice.READERS]
    before = {name: set(office.letters(name, 0, 0.0, 0.0)) for name in postoffice.READERS}

    with Sending(tmp_path, office.starttls_port, readers, 0, options) as child:
        until_s = time.monotonic() + 30
        while not list(tmp_path.rglob("*.json")) and time.monotonic() < until_s:
            time.sleep(0.001)
        time.sleep(0.02 * k)
        child.kill()
    run_to_end(tmp_path, office.starttls_port, readers, options)

    for name in postoffice.READERS:
        came = set(office.letters(name, len(before[name]) + 1)) - before[name]
        assert len(came) == 1, [(one.state.to, one.state.status, one.state.detail) for one in kept(tmp_path)]
