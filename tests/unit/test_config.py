"""The configuration: what is wrong is named, with the nearest thing that is right."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard.config import Config, all_keys, load_config, read_config, to_toml
from slurm_guard.configfile import MAX_BYTES
from slurm_guard.configmail import VERDICTS, parse_coordinators
from slurm_guard.configmaintenance import MaintenanceConfig
from slurm_guard.errors import EXIT_USAGE, GuardError
from slurm_guard.model import Verdict
from slurm_guard.report.letter import check_address


def _load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "guard.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "slug", "named", "hint"),
    [
        ("[node]\nsample_intervall_s = 1", "config-key", "node.sample_intervall_s", "node.sample_interval_s"),
        ("[nodes]\nwindow_s = 60", "config-key", "nodes", "node"),
        ("[audit]\nwindow_s = 60", "config-key", "audit.window_s", "node.window_s"),
        ("[node]\nwindow_s = '60'", "config-type", "node.window_s", "window_s = 60.0"),
        ("[node]\nmax_procs = true", "config-type", "node.max_procs", "max_procs = 4096"),
        ("[mail]\nto = 'admin@example.org'", "config-type", "mail.to", "to = []"),
        ("node = 3", "config-type", "node", "[node]"),
        ("[node", "config-syntax", "not valid TOML", "mend"),
        ("[node]\nwindow_s = -60", "config-value", "node.window_s", "60.0"),
        ("[node]\nwindow_s = 0", "config-value", "node.window_s", "60.0"),
        ("[node]\nwindow_s = nan", "config-value", "node.window_s", "60.0"),
        ("[audit]\nleast_share = 5", "config-value", "audit.least_share", "0.05"),
        ("[node]\nwindow_s = inf", "config-value", "node.window_s must be a finite number", "60.0"),
        ("[mail]\nport = 99999", "config-value", "mail.port must be at most 65535", "port = 25"),
        ("[mail]\nto = ['bob']", "config-value", "mail.to holds 'bob'", "to = []"),
        ("[mail]\nto = ['']", "config-value", "mail.to must not be empty", "to = []"),
        ("[mail]\nsender = 'a b@c'", "config-value", "mail.sender holds 'a b@c'", "sender ="),
        (
            "[slurm]\naccounting = 'slurmdb'",
            "config-value",
            "slurm.accounting must be sacct or pyslurm",
            "sacct",
        ),
        ("[mail]\ntls = 'ssl'", "config-value", "mail.tls must be one of none, starttls, tls", "starttls"),
        ("[mail]\ntransport = ''", "config-value", "mail.transport", "smtp"),
        (
            "[maintenance]\nnodes = 'n1'",
            "config-type",
            "maintenance must be a list of tables",
            "[[maintenance]]",
        ),
        (
            "[audit]\nburn_in = ['ann']",
            "config-value",
            "audit.burn_in holds 'ann': 'ann' is none of",
            "burn_in =",
        ),
        (
            "[audit]\nburn_in = ['user=']",
            "config-value",
            "audit.burn_in holds 'user=': user= is empty",
            "burn_in",
        ),
        ("[audit]\nburn_in = ['user=a user=b']", "config-value", "user= comes twice", "burn_in ="),
        ("[audit]\nburn_in = [' ']", "config-value", "audit.burn_in must not be empty", "burn_in ="),
        ("[mail]\nowners = ['Alert']", "config-value", "mail.owners holds 'Alert'", "NOT AUDITABLE"),
        ("[mail]\nquiet_days = ['someday']", "config-value", "mail.quiet_days holds 'someday'", "saturday"),
        ("[mail]\nquiet_days = ['12-32']", "config-value", "mail.quiet_days holds '12-32'", "saturday"),
        ("[mail]\ndomain = 'a b'", "config-value", "mail.domain ('a b') is no domain", "hpc.example.org"),
        ("[mail]\ncoordinators_of = ['physics']", "config-value", "mail.coordinators_of", "physics: ann"),
        ("[mail]\nca_file = 'ca.pem'", "config-value", "mail.ca_file ('ca.pem') must be a full path", "/etc"),
        ("[mail]\nuser = 'g'", "config-value", "mail.user and mail.password_file belong together", "user ="),
        (
            "[mail]\nhost='m.example.org'\nuser='g'\npassword_file='/p'",
            "config-value",
            "would send the password to m.example.org as plain text",
            "tls =",
        ),
        (
            "[mail]\ntls='tls'\nuser='g'\npassword_file='/p'\ncheck_certificate=false",
            "config-value",
            "mail.check_certificate must be true",
            "check_certificate = true",
        ),
        ("[mail]\nowners = ['parked']", "config-value", "mail.domain must be set", "hpc.example.org"),
        ("[mail]\ncoordinators = true", "config-value", "mail.domain must be set", "hpc.example.org"),
        ("[mail]\nper_minute = 0", "config-value", "mail.per_minute must be above zero", "per_minute = 60"),
        ("[engine]\nshards = -1", "config-value", "engine.shards must be zero or above zero", "shards = 0"),
        ("[engine]\nsbatch = ['--array=0-9']", "config-value", "engine.sbatch holds '--array=0-9'", "--mem"),
        ("[engine]\nsbatch = ['--mem=4G', '-Mall']", "config-value", "engine.sbatch holds '-Mall'", "--mem"),
        ("[mail]\ncontact = 'bob'", "config-value", "mail.contact holds 'bob'", "hpc-support"),
        ("[chat]\nurls_file = 'urls'", "config-value", "chat.urls_file ('urls') must be a full path", "/etc"),
        ("[lake]\npath = ''", "config-value", "lake.path must not be empty", "path ="),
        ("[report]\npath = ' '", "config-value", "report.path must not be empty", "path ="),
        ("[lake]\nspools = []", "config-value", "lake.spools must name at least one", "spools ="),
        ("[lake]\nspools = ['']", "config-value", "lake.spools must not be empty", "spools ="),
        ("[node]\nwindow_s = 0.5", "config-value", "node.window_s (0.5)", "at least one reading"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(
    tmp_path: Path, text: str, slug: str, named: str, hint: str
) -> None:
    with pytest.raises(GuardError) as caught:
        _load(tmp_path, text)

    error = caught.value
    assert (error.slug, error.exit_code) == (slug, EXIT_USAGE)
    assert named in error.sentence
    assert hint in error.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"config-missing.*absent\.toml"):
        load_config(tmp_path / "absent.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(GuardError, match=r"config-syntax.*not UTF-8") as caught:
        load_config(path)

    assert "line" not in caught.value.hint


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_bytes(b"\xef\xbb\xbf[audit]\nsilence_s = 77.0\n")

    assert load_config(path).audit.silence_s == 77.0


def _refused(path: Path) -> GuardError:
    with pytest.raises(GuardError, match="config-unreadable") as caught:
        load_config(path)
    assert caught.value.exit_code == EXIT_USAGE
    return caught.value


@pytest.mark.timeout(60)
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert "no regular file" in _refused(tmp_path / "fifo").sentence
    assert "no regular file" in _refused(Path("/dev/zero")).sentence
    assert "guard.toml" in _refused(tmp_path).hint


def test_a_file_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)

    assert "larger than 1 MiB" in _refused(path).sentence


def test_the_hint_for_a_missing_file_is_a_command_that_exists(tmp_path: Path) -> None:
    with pytest.raises(GuardError) as caught:
        load_config(tmp_path / "absent.toml")

    assert "slurm-guard config show" in caught.value.hint


def test_addresses_with_a_name_and_empty_optional_texts_are_right(tmp_path: Path) -> None:
    text = """
        [mail]
        to = ["HPC ops <ops@example.org>", "a@b"]
        reply_to = ""
        [slurm]
        cluster = ""
        [node]
        services = []
        textfile = ""
    """

    assert _load(tmp_path, text).mail.to == ["HPC ops <ops@example.org>", "a@b"]


@pytest.mark.parametrize(
    "bad", ["b@ex_ample..org", "\u00e4@e.org", ".a@e.org", "a@e.org.", "A <a@e..org>", "a@", "a b@c"]
)
def test_an_address_that_no_letter_can_have_is_refused_here_and_not_at_night(
    tmp_path: Path, bad: str
) -> None:
    with pytest.raises(GuardError):
        check_address(bad, "mail.to")
    with pytest.raises(GuardError) as caught:
        _load(tmp_path, f'[mail]\nto = ["ok@e.org", "{bad}"]\n')

    assert "no user@host" in caught.value.sentence


@pytest.mark.parametrize(
    ("key", "url", "fine"),
    [
        ("page_url", "https://x.example:8443/nights", True),
        ("page_url", "http://[2001:db8::1]/r/", True),
        ("page_url", "HTTPS://x.example", False),
        ("page_url", "x.example", False),
        ("page_url", "javascript:alert(1)", False),
        ("page_url", "https://x.example/r?a=1", False),
        ("page_url", "https://x.example/a b", False),
        ("page_url", "https://user:word@x.example/", False),
        ("method_url", "https://x.example/method/?v=1#bounds", True),
        ("method_url", "file:///usr/share/method.md", False),
    ],
)
def test_an_address_of_pages_is_one_that_a_reader_can_open(
    tmp_path: Path, key: str, url: str, fine: bool
) -> None:
    text = f'[report]\n{key} = "{url}"\n'
    if fine:
        assert getattr(_load(tmp_path, text).report, key) == url
        return
    with pytest.raises(GuardError) as caught:
        _load(tmp_path, text)
    assert "must be https://host/path" in caught.value.sentence


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert _load(tmp_path, "") == Config()


def test_what_is_shown_can_be_read_back(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        '[node]\nwindow_s = 5\n[mail]\nto = ["a@b", "c@d"]\n'
        '[report]\nsite = "c\\"d"\n[audit]\nobserve_only = false',
    )

    assert _load(tmp_path, to_toml(config)) == config
    assert config != Config()


def test_every_key_has_a_help_text() -> None:
    config = Config()
    for table in dataclasses.fields(config):
        section = getattr(config, table.name)
        for part in dataclasses.fields(MaintenanceConfig if isinstance(section, list) else section):
            assert part.metadata["help"], f"{table.name}.{part.name}"
    assert len(all_keys()) == len(set(all_keys()))


def test_the_verdicts_that_owners_may_be_told_of_are_all_but_clear() -> None:
    assert set(VERDICTS) == {v.value for v in Verdict} - {"CLEAR"}


def test_coordinators_are_read_by_account_in_lower_case() -> None:
    rules = ["Physics: ann, head@x.org", "chem:bob", "physics: eve"]

    assert parse_coordinators(rules) == {"physics": ("ann", "head@x.org", "eve"), "chem": ("bob",)}


WINDOW = {"nodes": '"n[1-4]"', "since": '"2026-09-22T08:00"', "until": '"2026-09-22T12:00"', "reason": '"x"'}


def _windows(*some: dict[str, str]) -> str:
    return "".join("[[maintenance]]\n" + "".join(f"{k} = {v}\n" for k, v in one.items()) for one in some)


def test_windows_of_maintenance_are_read_and_written_again(tmp_path: Path) -> None:
    toml_time = {**WINDOW, "since": "2026-09-21T08:00:00", "until": "2026-09-22"}

    config = _load(tmp_path, _windows(WINDOW, toml_time))

    assert [w.nodes for w in config.maintenance] == ["n[1-4]", "n[1-4]"]
    assert config.maintenance[1].since == "2026-09-21T08:00:00"
    assert _load(tmp_path, to_toml(config)) == config


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("nodes", '"n[1-"', "maintenance.nodes of window 2 ('n[1-') is no host list: brackets do not match"),
        ("nodes", '"none"', "names no node"),
        ("nodes", '"n[1-70000]"', "is no host list"),
        ("since", '"tomorrow"', "maintenance.since of window 2 ('tomorrow') is no time"),
        ("since", '"2026-09-22T08:00Z"', "must both have a zone, or neither"),
        ("until", '"2026-09-22T08:00"', "must be later than since"),
        ("reason", '" "', "maintenance.reason of window 2 must not be empty"),
        ("reason", f'"{"x" * 201}"', "one line of at most 200 characters"),
        ("reason", r'"a\u001b[2J"', "one line"),
    ],
)
def test_a_wrong_window_is_named_with_its_number(tmp_path: Path, key: str, value: str, said: str) -> None:
    with pytest.raises(GuardError) as caught:
        _load(tmp_path, _windows(WINDOW, {**WINDOW, key: value}))

    assert caught.value.slug == "config-value"
    assert said in caught.value.sentence
    assert caught.value.hint.startswith("for example: ")


@pytest.mark.parametrize("key", sorted(WINDOW))
def test_a_window_lacks_none_of_its_keys(tmp_path: Path, key: str) -> None:
    with pytest.raises(GuardError, match="config-value"):
        _load(tmp_path, _windows({k: v for k, v in WINDOW.items() if k != key}))


def test_no_fault_hides_another(tmp_path: Path) -> None:
    text = (
        "node = 3\n[maill]\nto = []\n[lake]\npth = '/x'\ndrop_mib = -1\nspools = 'x'\n"
        "[mail]\nport = 99999\nuser = 'g'\n[audit]\nburn_in = ['ann', 'user=']\n"
        + _windows({**WINDOW, "nodes": '"n[1-"', "reason": '""'}, {**WINDOW, "since": '"soon"'})
    )
    path = tmp_path / "guard.toml"
    path.write_text(text)

    _, faults = read_config(path)

    said = [fault.sentence.removeprefix(f"{path}: ") for fault in faults]
    assert [re.split(r" must | \(|: ", one)[0] for one in said] == [
        "node", "unknown key maill", "unknown key lake.pth", "lake.spools", "lake.drop_mib", "mail.port",
        "maintenance.nodes of window 1", "maintenance.reason of window 1", "maintenance.since of window 2",
        "audit.burn_in holds 'ann'", "audit.burn_in holds 'user='",
    ]  # fmt: skip
    assert all(fault.hint and fault.exit_code == EXIT_USAGE for fault in faults)
    with pytest.raises(GuardError) as caught:
        load_config(path)
    assert str(caught.value) == str(faults[0])


@pytest.mark.parametrize(
    "text",
    [
        "[node]\nwindow_s = 0.5\nsample_interval_s = 'x'",
        "[mail]\nuser = 'g'\npassword_file = 3",
        "[mail]\nuser = 'g'\npassword_fil = '/x'",
    ],
)
def test_of_what_depends_on_a_wrong_key_nothing_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "guard.toml"
    path.write_text(text)

    assert len(read_config(path)[1]) == 1


def test_check_tells_all_faults_and_the_zone(tmp_path: Path) -> None:
    path = tmp_path / "guard.toml"
    path.write_text("[lake]\npth = '/x'\n[mail]\nport = 99999\n[report]\ntimezone = 'Mars/Base'\n")
    program = [sys.executable, "-c", "from slurm_guard.cli.app import main; main()"]

    done = subprocess.run(
        [*program, "config", "check", "--config", str(path)], check=False, capture_output=True, text=True
    )

    assert done.returncode == EXIT_USAGE
    lines = done.stderr.splitlines()
    faults = [line.split(": ")[1] for line in lines if line.startswith("slurm-guard: ")]
    assert (faults[:2], len(faults)) == (["config-key", "config-value"], 3)
    assert "Mars/Base" in lines[-2]
    assert sum(line.startswith("hint: ") for line in lines) == 3


def test_what_zero_is_said_to_mean_may_be_written(tmp_path: Path) -> None:
    said = {
        f"{section.name}.{part.name}"
        for section in dataclasses.fields(Config)
        if dataclasses.is_dataclass(keys := getattr(Config(), section.name))
        for part in dataclasses.fields(keys)
        if re.search(r"\b0: ", part.metadata["help"])
    }
    assert {"lake.min_free_mib", "lake.drop_mib", "engine.nights"} <= said

    for section, name in (key.split(".") for key in sorted(said)):
        loaded = getattr(_load(tmp_path, f"[{section}]\n{name} = 0\n"), section)
        assert getattr(loaded, name) == 0
