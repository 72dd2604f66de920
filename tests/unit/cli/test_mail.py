"""`slurm-guard mail` as it is typed: all readers, a real server, what was not sent, and another try."""

import json
import re
import stat
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from slurm_guard import document
from slurm_guard.cli import mail
from slurm_guard.errors import GuardError
from slurm_guard.model import Audit
from slurm_guard.report.letterbox import Status
from tests.postal import Postmaster, free_port, kept, serving
from tests.unit.report import builders

NIGHT = builders.night()
ENFORCED: dict[str, object] = {"audit": {"observe_only": False, "enforce_partitions": []}}
OWNERS = (
    'domain = "example.org"\nowners = ["ALERT"]\ncontact = "help@example.org"\n'
    'coordinators = true\ncoordinators_of = ["proj0: boss@example.org"]\n[audit]\nobserve_only = false\n'
)


@pytest.fixture
def app() -> typer.Typer:
    """The one command beside another, so that its name has to be typed."""
    made = typer.Typer()
    mail.add(made)
    made.command()(_other)
    return made


def _other() -> None:
    """Nothing."""


def _run(app: typer.Typer, *args: object) -> str:
    done = CliRunner().invoke(app, ["mail", *map(str, args)], catch_exceptions=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def _site(folder: Path, port: int, more: str = "", night: Audit = NIGHT) -> Path:
    """A configuration and one night."""
    place = folder / "reports" / "2026-09-22"
    place.mkdir(parents=True, exist_ok=True)
    (place / "audit.json").write_text(document.to_json(night))
    path = folder / "guard.toml"
    path.write_text(
        f'[report]\npath = "{folder}/reports"\nsite = "Aurora"\n'
        f'[mail]\nto = ["ops@example.org"]\nhost = "127.0.0.1"\nport = {port}\ntimeout_s = 2.0\n{more}'
    )
    return path


def _people(monkeypatch: pytest.MonkeyPatch) -> None:
    from slurm_guard.report import addresses

    known = {j.run.user: addresses.Person(j.run.user, j.run.uid or 0, "") for j in NIGHT.judgements}
    monkeypatch.setattr(
        addresses, "look_up", lambda names: addresses.People({n: known[n] for n in names if n in known})
    )


def test_each_reader_gets_his_own_letter_once(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    _people(monkeypatch)
    postmaster, night = Postmaster(), replace(NIGHT, settings=ENFORCED)
    with serving(postmaster) as port:
        config = _site(tmp_path, port, OWNERS, night)
        first = _run(app, "--config", config, "--send")
        second = _run(app, "--config", config, "--send")

    readers = sorted(reader for readers, _ in postmaster.taken for reader in readers)
    owner = f"{builders.alert().run.user}@example.org"
    assert readers == sorted(["boss@example.org", owner, "ops@example.org"])
    assert first.count(": sent: ") == 3
    assert second.count("sent (by an earlier run)") == 3


def test_observe_only_writes_to_admins_alone(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _people(monkeypatch)
    config = _site(tmp_path, 25, OWNERS)

    shown = _run(app, "--config", config)

    assert re.findall(r"^(\S+@\S+): ", shown, re.MULTILINE) == ["ops@example.org"]


def test_with_to_only_the_digest_is_written(app: typer.Typer, tmp_path: Path) -> None:

    config = _site(tmp_path, 25, OWNERS, replace(NIGHT, settings=ENFORCED))

    shown = _run(app, "--config", config, "--to", "me@example.org")

    assert re.findall(r"^(\S+@\S+): ", shown, re.MULTILINE) == ["me@example.org"]


def test_coordinators_that_are_not_known_stop_nobody_elses_letter(app: typer.Typer, tmp_path: Path) -> None:
    config = _site(
        tmp_path, 25, f'coordinators = true\ndomain = "example.org"\n[slurm]\nsacct = "{tmp_path}/sacct"\n'
    )

    shown = _run(app, "--config", config)

    assert "coordinators-unknown" in shown
    assert "ops@example.org: " in shown


def test_what_was_not_sent_is_listed_and_can_be_asked_for_again(app: typer.Typer, tmp_path: Path) -> None:
    postmaster = Postmaster()
    postmaster.answers = {"ops@example.org": "550 no such user"}
    with serving(postmaster) as port:
        config = _site(tmp_path, port)
        with pytest.raises(GuardError, match="mail-unsent") as caught:
            _run(app, "--config", config, "--send")
        listed = _run(app, "--config", config, "--list")
        name = listed.split()[0]
        assert f"slurm-guard mail --again {name}" in caught.value.hint
        postmaster.answers = {}
        _run(app, "--config", config, "--again", name)
        _run(app, "--config", config, "--send")

        assert "refused" in listed
        assert len(postmaster.taken) == 1
        assert "every letter of the last two weeks was sent" in _run(app, "--config", config, "--list")
        with pytest.raises(GuardError, match="letter-sent"):
            _run(app, "--config", config, "--again", name)
        with pytest.raises(GuardError, match="letter-unknown"):
            _run(app, "--config", config, "--again", "../../etc/passwd")
        (state,) = tmp_path.rglob(f"{name}.json")
        assert stat.S_IMODE(state.parents[1].stat().st_mode) == 0o700
        state.write_text("{}")
        with pytest.raises(GuardError, match="letter-damaged"):
            _run(app, "--config", config, "--again", name)


def test_no_server_keeps_the_letter_for_the_next_night(app: typer.Typer, tmp_path: Path) -> None:
    config = _site(tmp_path, free_port())
    with pytest.raises(GuardError, match="mail-server") as caught:
        _run(app, "--config", config, "--send")
    postmaster = Postmaster()
    (tmp_path / "reports" / "2026-09-22").rename(tmp_path / "reports" / "gone")
    with serving(postmaster) as port:
        _site(tmp_path, port, night=builders.empty_night())
        _run(app, "--config", config, "--send")

    assert "mail.host" in caught.value.hint
    statuses = sorted(k.state.status for k in kept(tmp_path / "reports" / "outbox"))
    assert statuses == [Status.SENT, Status.SUPERSEDED]  # another audit of that very night


def test_letters_that_perhaps_went_are_named_beside_the_servers_trouble(
    app: typer.Typer, tmp_path: Path
) -> None:
    program = tmp_path / "sendmail"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    config = _site(tmp_path, 1)
    readers = 'to = ["a@x.org", "b@x.org", "c@x.org"]'
    how = f'transport = "sendmail"\nsendmail = "{program}"\n{readers}'
    config.write_text(config.read_text().replace('to = ["ops@example.org"]', how))

    with pytest.raises(
        GuardError, match="mail-sendmail: 2 of 3 may or may not have arrived; 1 of 3 letters was not"
    ) as caught:
        _run(app, "--config", config, "--send")

    statuses = sorted(k.state.status for k in kept(tmp_path / "reports" / "outbox"))
    assert statuses == [Status.UNCLEAR, Status.UNCLEAR, Status.WAITING]
    assert caught.value.hint.count("slurm-guard mail --again ") == 2
    assert "signal 9" in caught.value.sentence


def test_a_password_that_is_not_private_stops_everything(app: typer.Typer, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    secret.chmod(0o644)
    config = _site(tmp_path, 25, f'user = "g"\npassword_file = "{secret}"\n')

    with pytest.raises(GuardError, match="secret-unsafe"):
        _run(app, "--config", config, "--send")

    assert kept(tmp_path / "reports" / "outbox") == []


def test_a_chat_alone_is_enough_to_write_to(app: typer.Typer, tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text("json://localhost:1/secret-token\n")
    urls.chmod(0o600)
    config = _site(tmp_path, 25, f'[chat]\nurls_file = "{urls}"\n')
    config.write_text(config.read_text().replace('to = ["ops@example.org"]\n', ""))

    shown = _run(app, "--config", config)

    assert re.search(r"^json-[0-9a-f]{16}: Aurora, 2026-09-22", shown, re.MULTILINE)
    assert "secret-token" not in shown


def test_whose_runs_the_letters_show_is_logged(app: typer.Typer, tmp_path: Path) -> None:
    config = _site(tmp_path, 1)

    _run(app, "--config", config, "--to", "boss@example.org")

    (line,) = (tmp_path / "reports" / "views.jsonl").read_text().splitlines()
    view = json.loads(line)
    assert (view["command"], view["nights"], view["narrowed"], view["as"]) == (
        "mail", "2026-09-22", "to boss@example.org", "eml",
    )  # fmt: skip
    assert view["n_runs"] == len(NIGHT.judgements)


@pytest.mark.parametrize("to", ["a@b.de --x", "a@b.de x", "a@b.de --send", "x@y.de (comment)"])
def test_an_address_with_something_beside_it_is_refused(app: typer.Typer, tmp_path: Path, to: str) -> None:
    config = _site(tmp_path, 1)

    with pytest.raises(GuardError, match=r"mail-address: recipient: .* is not a mail address") as caught:
        _run(app, "--config", config, "--to", to)

    assert caught.value.hint == "write user@host"
    assert not (tmp_path / "reports" / "views.jsonl").exists()


@pytest.mark.parametrize("base", ["", "https://head.example.org/nights/"])
def test_the_digest_names_the_nights_page_where_there_is_one_and_coordinators_do_not_hear_of_it(
    app: typer.Typer, tmp_path: Path, base: str
) -> None:
    config = _site(tmp_path, free_port(), OWNERS, replace(NIGHT, settings=ENFORCED))
    config.write_text(config.read_text().replace("site =", f'page_url = "{base}"\nsite ='))
    page = tmp_path / "reports" / "2026-09-22" / "report.html"
    named = f"{base}2026-09-22/report.html" if base else str(page)

    _run(app, "--config", config)
    before = _letters(tmp_path)
    page.touch()
    _run(app, "--config", config)
    after = _letters(tmp_path)

    assert not any("report.html" in text for text in before)
    assert [text.count(named) > 1 for text in after].count(True) == 1  # HTML and text
    assert sum("report.html" in text for text in after) == 1
    assert any("boss@example.org" in text for text in after)


def _letters(folder: Path) -> list[str]:
    """Every letter that lies in the outbox: its head and its parts, decoded."""
    found = []
    for path in sorted((folder / "reports" / "outbox").rglob("*.eml")):
        message = message_from_bytes(path.read_bytes(), policy=default)
        parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
        found.append("\n".join([str(message["To"]), *parts]))
    return found
