"""STARTTLS, TLS, certificates and logins against a real server; nothing is ever sent without them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from slurm_guard.errors import GuardError
from slurm_guard.report.letterbox import Status
from tests.postal import (
    PASSWORD,
    USER,
    Postmaster,
    auth_options,
    drafts,
    make_certificate,
    run,
    server_context,
    serving,
    smtp,
)

pytestmark = [
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with"),
    # aiosmtpd's own remark on a login without TLS, which a test asks for
    pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS"),
]
LOGIN = {"user": USER, "password": PASSWORD}


def _send(folder: Path, port: int, **options: object) -> tuple[Status, str, str]:
    (delivery,) = run(folder, smtp(port, **options), drafts(["a@example.org"]))  # type: ignore[arg-type]
    return delivery.kept.state.status, delivery.kept.state.detail, delivery.trouble


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `localhost`."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_letter_goes_by_starttls_and_login(pair: tuple[Path, Path], tmp_path: Path) -> None:
    postmaster = Postmaster()
    with serving(postmaster, **auth_options(server_context(pair))) as port:
        said = _send(tmp_path, port, host="localhost", tls="starttls", ca_file=str(pair[0]), **LOGIN)

    assert said == (Status.SENT, "250 taken", "")
    assert len(postmaster.taken) == 1


def test_a_letter_goes_by_tls_from_the_first_byte(pair: tuple[Path, Path], tmp_path: Path) -> None:
    postmaster = Postmaster()
    with serving(postmaster, ssl_context=server_context(pair)) as port:
        said = _send(tmp_path, port, host="localhost", tls="tls", ca_file=str(pair[0]))

    assert said[0] is Status.SENT
    assert len(postmaster.taken) == 1


@pytest.mark.parametrize("way", ["starttls", "tls"])
@pytest.mark.parametrize("wrong", ["unknown", "of-another-host"])
def test_a_wrong_certificate_is_refused_and_said(
    way: str, wrong: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    postmaster = Postmaster()
    shown = pair if wrong == "unknown" else make_certificate(tmp_path, "mail.example.org")
    ca_file = "" if wrong == "unknown" else str(shown[0])
    options = {"ssl_context" if way == "tls" else "tls_context": server_context(shown)}
    with serving(postmaster, **options) as port:
        status, detail, trouble = _send(tmp_path, port, host="localhost", tls=way, ca_file=ca_file)

    assert (status, trouble) == (Status.DEFERRED, "mail-tls")
    assert "localhost" in detail
    assert ("self" in detail) if wrong == "unknown" else ("ismatch" in detail)
    assert postmaster.taken == []


def test_an_unchecked_certificate_has_to_be_asked_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    postmaster = Postmaster()
    with serving(postmaster, tls_context=server_context(pair)) as port:
        said = _send(tmp_path, port, host="localhost", tls="starttls", check_certificate=False)

    assert said[0] is Status.SENT


def test_a_server_without_starttls_gets_nothing(tmp_path: Path) -> None:
    postmaster = Postmaster()
    with serving(postmaster) as port:
        status, detail, trouble = _send(tmp_path, port, host="localhost", tls="starttls")

    assert (status, trouble) == (Status.DEFERRED, "mail-tls")
    assert "offers no STARTTLS" in detail
    assert postmaster.taken == []


def test_a_server_that_speaks_no_tls_on_a_tls_port_is_said(tmp_path: Path) -> None:
    with serving(Postmaster()) as port:
        status, _, trouble = _send(tmp_path, port, timeout_s=2.0, host="localhost", tls="tls")

    assert (status, trouble) == (Status.DEFERRED, "mail-tls")


def test_a_wrong_password_is_said_without_it(pair: tuple[Path, Path], tmp_path: Path) -> None:
    postmaster = Postmaster()
    wrong: dict[str, Any] = {"user": USER, "password": "wrong and secret"}
    with serving(postmaster, **auth_options(server_context(pair))) as port:
        status, detail, trouble = _send(
            tmp_path, port, host="localhost", tls="starttls", ca_file=str(pair[0]), **wrong
        )

    assert (status, trouble) == (Status.DEFERRED, "mail-login")
    assert detail.startswith("535")
    assert "wrong and secret" not in detail + str(smtp(port, **wrong).__dict__)
    assert postmaster.taken == []


def test_a_server_that_offers_no_login_is_said(tmp_path: Path) -> None:
    with serving(Postmaster()) as port:
        said = _send(tmp_path, port, **LOGIN)

    assert said[::2] == (Status.DEFERRED, "mail-login")


def test_who_has_to_log_in_and_does_not_is_refused_and_nothing_is_sent(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    postmaster = Postmaster()
    with serving(postmaster, **auth_options(server_context(pair))) as port:
        status, detail, _ = _send(tmp_path, port, host="localhost", tls="starttls", ca_file=str(pair[0]))

    assert status is Status.DEFERRED
    assert "uthentication" in detail
    assert postmaster.taken == []


def test_what_was_injected_before_tls_is_not_believed(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import socket

    from tests.postal import scripted

    def inject(connection: socket.socket, lines: object) -> None:
        connection.sendall(b"220 here\r\n")
        lines.readline()  # type: ignore[attr-defined]
        connection.sendall(b"250-here\r\n250 STARTTLS\r\n")
        lines.readline()  # type: ignore[attr-defined]
        connection.sendall(b"220 go\r\n250-here\r\n250 AUTH PLAIN\r\n")  # RFC 3207 6: one who is in between
        server_context(pair).wrap_socket(connection, server_side=True).close()

    with scripted(inject) as port:
        status, *_ = _send(tmp_path, port, host="localhost", tls="starttls", ca_file=str(pair[0]), **LOGIN)

    assert status is Status.DEFERRED


@pytest.mark.parametrize("content", ["", "no certificate"])
def test_a_ca_file_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    if content:
        ca.write_text(content)

    with pytest.raises(GuardError, match=r"mail-ca.*ca\.pem"):
        smtp(25, tls="tls", ca_file=str(ca))
