"""What letters go by beside SMTP: sendmail and chats; the secrets they need; and who users are."""

import os
import stat
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.report import chat, mail
from slurm_guard.report.addresses import address_of, look_up
from slurm_guard.report.letter import Envelope, Letter, Strand
from slurm_guard.report.secret import read_password, read_private
from slurm_guard.report.sendmail import SendmailTransport
from slurm_guard.report.transport import Fate
from tests.unit.report import builders

LETTER = Letter(Envelope("guard@x.org", "-oQ@x.org"), "s", "<1@x.org>", b"Subject: s\r\n\r\n.\r\nend\r\n")


def program(folder: Path, body: str) -> str:
    """A program of the site's."""
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def _nothing() -> None:
    pass


def test_sendmail_gets_the_whole_letter_in_local_lines_and_an_address_is_no_option(tmp_path: Path) -> None:
    path = program(tmp_path, f'printf "%s\\n" "$@" >{tmp_path}/args; cat >{tmp_path}/got')

    outcome = SendmailTransport(path, 5.0).send(LETTER, _nothing)

    assert outcome.fate is Fate.SENT
    assert (tmp_path / "got").read_bytes() == b"Subject: s\n\n.\nend\n"
    assert (tmp_path / "args").read_text().split() == ["-i", "-f", "guard@x.org", "--", "-oQ@x.org"]


@pytest.mark.parametrize(
    ("body", "fate", "trouble", "said"),
    [
        ("echo no such user; exit 67", Fate.REFUSED, "", "no such user"),
        ("exit 75", Fate.DEFERRED, "mail-sendmail", "ended with 75"),
        ("exit 1", Fate.DEFERRED, "mail-sendmail", "no word"),
        ("kill -9 $$", Fate.UNCLEAR, "mail-sendmail", "signal 9"),
        ("sleep 20", Fate.UNCLEAR, "mail-sendmail", "did not end"),
        ("printf '\\033[31mred'; exit 67", Fate.REFUSED, "", "\\x1b[31mred"),
    ],
)
def test_what_sendmail_says_becomes_a_fate(
    body: str, fate: Fate, trouble: str, said: str, tmp_path: Path
) -> None:
    outcome = SendmailTransport(program(tmp_path, body), 0.5).send(LETTER, _nothing)

    assert (outcome.fate, outcome.trouble) == (fate, trouble)
    assert said in outcome.detail


def test_no_sendmail_is_said(tmp_path: Path) -> None:
    outcome = SendmailTransport(str(tmp_path / "none"), 5.0).send(LETTER, _nothing)

    assert (outcome.fate, outcome.trouble) == (Fate.DEFERRED, "mail-sendmail")
    assert "No such file" in outcome.detail


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A private file with a password in a private folder."""
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    tmp_path.chmod(0o700)
    return path


def test_a_private_password_is_read(secret: Path) -> None:
    assert read_password(secret) == "correct horse"


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o666, 0o644])
def test_a_password_that_others_can_read_or_write_is_refused(mode: int, secret: Path) -> None:
    secret.chmod(mode)

    with pytest.raises(GuardError, match="secret-unsafe") as caught:
        read_password(secret)

    assert str(secret) in caught.value.sentence
    assert "correct horse" not in caught.value.sentence + caught.value.hint


def test_a_password_in_a_folder_that_others_can_write_is_refused(secret: Path) -> None:
    secret.parent.chmod(0o777)

    with pytest.raises(GuardError, match=r"secret-unsafe.*may be written by everybody"):
        read_password(secret)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
@pytest.mark.root
def test_a_password_of_somebody_else_is_refused(secret: Path) -> None:
    os.chown(secret, 65534, 0)

    with pytest.raises(GuardError, match="secret-unsafe"):
        read_password(secret)


def test_what_is_no_password_is_said(secret: Path) -> None:
    fifo, missing = secret.with_name("fifo"), secret.with_name("none")
    os.mkfifo(fifo, 0o600)
    for path, slug in (
        (fifo, "secret-unsafe"),
        (missing, "secret-missing"),
        (secret.parent, "secret-missing"),
    ):
        with pytest.raises(GuardError, match=slug):
            read_password(path)
    for content in (b"", b"\n", "pässwort\n".encode(), b"a\tb\n"):
        secret.write_bytes(content)
        with pytest.raises(GuardError, match="secret-odd"):
            read_password(secret)
    secret.write_bytes(b"x" * 70_000)
    with pytest.raises(GuardError, match="secret-unsafe"):
        read_private(secret, "k")


class _Apprise(types.ModuleType):
    """Stands in for apprise: keeps what it is told, and says yes or no."""

    def __init__(self, answer: object) -> None:
        super().__init__("apprise")
        self.said: list[tuple[str, str]] = []
        outer = self

        class Apprise:
            def add(self, url: str) -> bool:
                return "://" in url

            def notify(self, title: str, body: str, body_format: str) -> object:
                outer.said.append((title, body))
                if isinstance(answer, Exception):
                    raise answer
                return answer

        self.Apprise = Apprise


def _chat_letter(names: bool = False, **changes: object) -> Letter:
    sort = mail.Sort("chat", Strand("<2026-09-22.abc.def@x.org>"))
    night = replace(builders.night(), **changes)  # type: ignore[arg-type]
    return chat.compose(night, "Aurora", names, chat.key_of("json://h/"), sort)


@pytest.mark.parametrize(
    ("answer", "fate"), [(True, Fate.SENT), (False, Fate.UNCLEAR), (ValueError("token"), Fate.UNCLEAR)]
)
def test_a_chat_that_does_not_confirm_is_unclear(
    answer: object, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = _Apprise(answer)
    monkeypatch.setitem(sys.modules, "apprise", fake)
    marked: list[bool] = []
    transport = chat.ChatTransport({chat.key_of("json://h/"): "json://h/"})

    outcome = transport.send(_chat_letter(), lambda: marked.append(True))

    assert (outcome.fate, marked) == (fate, [True])
    assert "token" not in outcome.detail
    assert fake.said[0][0] == "Aurora, 2026-09-22"


def test_a_chat_hears_counts_and_no_names_unless_the_site_says_so() -> None:
    run = builders.alert().run

    quiet, named = _chat_letter(), _chat_letter(names=True)

    said = quiet.content.decode()
    assert said.startswith("1 alert, 1 to review, 1 explained, 13 runs; ")
    assert run.user not in said
    assert run.job not in said
    assert f"ALERT: job {run.job} of {run.user}" in named.content.decode()


def test_a_key_gives_nothing_of_a_url_away() -> None:
    key = chat.key_of("slack://xoxb-secret/token/#room")

    assert key.startswith("slack-")
    assert "secret" not in key
    assert chat.key_of("x\r\ny://\x1b[31m").startswith("chat-")


def test_urls_come_from_a_private_file_alone(secret: Path) -> None:
    secret.write_text("# ours\n\njson://localhost/hook\nslack://a/b/c\n")
    assert list(chat.read_urls(secret).values()) == ["json://localhost/hook", "slack://a/b/c"]

    secret.write_text("# none\n")
    with pytest.raises(GuardError, match="chat-empty"):
        chat.read_urls(secret)
    secret.chmod(0o644)
    with pytest.raises(GuardError, match="secret-unsafe"):
        chat.read_urls(secret)


def test_no_apprise_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(GuardError, match="chat-missing") as caught:
        chat.ChatTransport({})

    assert "slurm-guard[chat]" in caught.value.hint


def test_the_user_database_is_asked_once_for_all(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        f'echo call "$@" >>{tmp_path}/calls\n'
        "printf 'ann:x:7:7:Ann \\033[31mExample,room 3:/home/ann:/bin/sh\\n'\n"
        "printf 'eve:x:0:0:not asked for:/:/bin/sh\\nbroken\\nbob:x:NaN:1::/:\\n'\nexit 2",
    )

    people = look_up(["ann", "bob", "zoe", "1000", "-n", "a b", "x" * 99, "ü"], path)

    assert people.silent == ""
    assert list(people.known) == ["ann"]
    assert (people.known["ann"].uid, people.known["ann"].full_name) == (7, "Ann \\x1b[31mExample")
    assert (tmp_path / "calls").read_text() == "call passwd -- ann bob zoe\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [("sleep 20", "did not answer"), ("exit 1", "ended with 1"), (None, "cannot be started")],
)
def test_a_dead_user_database_is_said_and_raises_nothing(body: str | None, said: str, tmp_path: Path) -> None:
    path = program(tmp_path, body) if body is not None else str(tmp_path / "none")

    people = look_up(["ann"], path, 0.3)

    assert people.known == {}
    assert said in people.silent


def test_the_real_database_knows_root_and_nobody_of_this_name() -> None:
    people = look_up(["root", "no-such-user-here"])

    assert people.silent == ""
    assert people.known["root"].uid == 0
    assert "no-such-user-here" not in people.known


@pytest.mark.parametrize("user", ["ann@ad", "", "-n", "a b", "ü", "a\r\nb", "x" * 70 + " "])
def test_no_address_is_made_of_an_odd_name(user: str) -> None:
    assert address_of(user, "example.org") == ""


def test_an_address_needs_a_domain() -> None:
    assert address_of("ann", "example.org") == "ann@example.org"
    assert address_of("ann", "") == ""


def test_a_secret_of_roots_may_be_read_by_the_services_group(secret: Path) -> None:
    status = secret.stat()
    if status.st_uid != 0 or status.st_gid != os.getegid():
        pytest.skip("only root's own file can show this")
    secret.chmod(0o640)

    assert read_password(secret) == "correct horse"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o640
