"""doctor greets a real server and logs in, and no letter is sent; what is in the way is named."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.config import Config, MailConfig
from slurm_guard.doctor.fromhead import try_mail
from tests.postal import (
    PASSWORD,
    USER,
    Postmaster,
    auth_options,
    free_port,
    make_certificate,
    scripted,
    server_context,
    serving,
)


def _config(port: int, **other: Any) -> Config:
    return replace(Config(), mail=MailConfig(to=["a@b"], host="localhost", port=port, **other))


def test_a_server_that_would_take_letters_gets_none() -> None:
    handler = Postmaster()

    with serving(handler) as port:
        assert try_mail(_config(port), 5.0).error == ""

    assert handler.taken == []


def test_tls_and_a_login_are_tried(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    ways = {"tls": "starttls", "user": USER, "password_file": str(secret)}

    with serving(Postmaster(), **auth_options(server_context(pair))) as port:
        well = try_mail(_config(port, ca_file=str(pair[0]), **ways), 5.0)
        unknown = try_mail(_config(port, **ways), 5.0)
        secret.write_text("wrong\n")
        wrong = try_mail(_config(port, ca_file=str(pair[0]), **ways), 5.0)

    assert well.error == ""
    assert unknown.error.startswith("mail-tls: ")
    assert "mail.ca_file" in unknown.hint
    assert wrong.error.startswith("mail-login: 535")
    assert "mail.password_file" in wrong.hint


def test_nobody_there_and_a_password_that_is_missing_are_named(tmp_path: Path) -> None:
    closed = try_mail(_config(free_port()), 5.0)
    secret = try_mail(_config(25, tls="tls", user=USER, password_file=str(tmp_path / "none")), 5.0)

    assert "cannot be reached" in closed.error
    assert secret.error.startswith("secret-missing: ")


def test_a_server_that_says_nothing_is_left_in_time() -> None:
    began_s = time.monotonic()

    with scripted(lambda connection, lines: time.sleep(3)) as port:
        found = try_mail(_config(port), 1.5)

    assert found.error.startswith("mail-server: ")
    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize(("program", "right"), [("/bin/true", True), ("/no/such/sendmail", False)])
def test_a_sendmail_has_to_be_there(program: str, right: bool) -> None:
    config = replace(Config(), mail=MailConfig(to=["a@b"], transport="sendmail", sendmail=program))

    assert (try_mail(config, 1.0).error == "") is right
