"""What starts the night: timers and files of cron, and each reason for which they start nothing."""

import os
from pathlib import Path

import pytest

from slurm_guard.doctor import fromschedule
from slurm_guard.doctor.bounded import Collector, Identity, gather
from slurm_guard.doctor.timer import Timer
from slurm_guard.install.files import AUDITOR, Installation, cron_line, this_installation
from tests.unit.install.image import install, make_image

PROGRAM = "/opt/slurm-guard/bin/slurm-guard"
_HAVE = Installation(Path("/l"), Path("/p"), Path("/p"), Path(PROGRAM))
CHAIN = cron_line(_HAVE).splitlines()[-1].split(None, 6)[-1]  # as `install` writes it


def _file(path: Path, text: str = "", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    path.chmod(mode)
    return path


def _find(root: Path) -> tuple[Timer, ...]:
    return fromschedule.find_schedule(root, lambda user: user == "sgaudit")


def test_what_starts_the_night_is_found_in_cron_and_systemd(tmp_path: Path) -> None:
    _file(tmp_path / "etc/cron.d/other", "* * * * * root /bin/true\n")
    _file(tmp_path / "etc/cron.d/commented", "# 30 2 * * * sgaudit slurm-guard audit\n")
    assert _find(tmp_path) == ()

    _file(tmp_path / PROGRAM[1:])
    cron = _file(tmp_path / "etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}\n")
    _file(tmp_path / "usr/lib/systemd/system/slurm-guard-audit.timer")
    _file(tmp_path / "usr/lib/systemd/system/slurm-guard-audit.service", f"ExecStart={PROGRAM} audit\n")
    timer = _file(tmp_path / "etc/systemd/system/timers.target.wants/slurm-guard-audit.timer")

    found = _find(tmp_path)

    assert [(one.path, one.programs) for one in found] == [(str(timer), (PROGRAM,)), (str(cron), (PROGRAM,))]


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "line", "fault"),
    [
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}", ""),
        ("etc/cron.d/guard", f"@daily sgaudit {CHAIN}", ""),
        ("etc/cron.d/guard", f"G={PROGRAM}\n30 2 * * * sgaudit $G audit", ""),
        ("etc/cron.d/guard", "30 2 * * * sgaudit slurm-guard audit", ""),
        ("etc/crontab", f"30 2 * * * sgaudit {CHAIN}", ""),
        ("var/spool/cron/crontabs/sgaudit", f"30 2 * * * {CHAIN}", ""),
        ("etc/cron.d/guard.cron", f"30 2 * * * sgaudit {CHAIN}", "such a name"),
        ("etc/cron.d/guard", f"30 2 * * * {CHAIN}", "has to name a user"),
        ("etc/cron.d/guard", f"@daily {PROGRAM} audit", "has to name a user"),
        ("etc/cron.d/guard", f"30 2 * * * nobody-here {CHAIN}", "is unknown here"),
        ("etc/cron.d/guard", "30 2 * * * sgaudit /opt/old/bin/slurm-guard audit", "is not there"),
        (
            "var/spool/cron/crontabs/sgaudit",
            "30 2 * * * /opt/old/bin/slurm-guard audit",
            "is not there",
        ),
        ("etc/cron.d/guard", f"99 2 * * * sgaudit {CHAIN}", "'99' is no minute"),
        ("etc/cron.d/guard", f"30 24 * * * sgaudit {CHAIN}", "'24' is no hour"),
        ("etc/cron.d/guard", f"30 2 0 * * sgaudit {CHAIN}", "no day of the month"),
        ("etc/cron.d/guard", f"30 2 * foo * sgaudit {CHAIN}", "no month"),
        ("etc/cron.d/guard", f"30 2 * * 8 sgaudit {CHAIN}", "no day of the week"),
        ("etc/cron.d/guard", f"*/0 2 * * * sgaudit {CHAIN}", "no minute"),
        ("etc/cron.d/guard", f"30, 2 * * * sgaudit {CHAIN}", "no minute"),
        ("etc/cron.d/guard", f"@nightly sgaudit {CHAIN}", "cron knows no '@nightly'"),
        ("var/spool/cron/crontabs/sgaudit", f"99 2 * * * {CHAIN}", "no minute"),
        ("etc/cron.d/guard", f"-30,45 2-4/2 1-31 jan-Mar Mon-fri,7 sgaudit {CHAIN}", ""),
        ("etc/cron.d/guard", f"0~30 */2 ~ * * sgaudit {CHAIN}", ""),
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}\r", "Windows"),
        ("etc/cron.d/guard", f"G={PROGRAM}\r\n30 2 * * * sgaudit $G audit\r", "Windows"),
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}\n{'#' * 70_000}", ""),
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN} >/x.$(date +%F)", "a % without"),
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN} >/x.$(date +\\%F)", ""),
        ("etc/anacrontab", f"1 5 guard {PROGRAM} audit > x$(date +%F)", ""),
    ],
)
def test_a_file_of_cron_is_read_as_cron_reads_it(name: str, line: str, fault: str, tmp_path: Path) -> None:
    _file(tmp_path / PROGRAM[1:])
    _file(tmp_path / name, f"{line}\n")

    (found,) = _find(tmp_path)

    assert (fault in found.fault, bool(found.fault), bool(found.remedy)) == (True, bool(fault), bool(fault))


@pytest.mark.root
@pytest.mark.parametrize("name", ["etc/cron.d/guard", "var/spool/cron/sgaudit"])
def test_a_last_line_without_its_end_and_a_second_name_keep_cron_away(name: str, tmp_path: Path) -> None:
    _file(tmp_path / PROGRAM[1:])
    user = "sgaudit " * name.startswith("etc")
    path = _file(tmp_path / name, f"30 2 * * * {user}{CHAIN}")
    assert "newline" in _find(tmp_path)[0].fault

    path.write_text(f"30 2 * * * {user}{CHAIN}\n")
    assert _find(tmp_path)[0].fault == ""
    (tmp_path / "other").hardlink_to(path)

    (found,) = _find(tmp_path)

    assert "2 names" in found.fault
    assert str(path) in found.remedy


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "line", "as_root"),
    [
        ("etc/cron.d/guard", f"30 2 * * * root {CHAIN}", True),
        ("etc/crontab", f"@daily root {PROGRAM} collect", True),
        ("var/spool/cron/crontabs/root", f"30 2 * * * {PROGRAM} mail --send", True),
        ("var/spool/cron/crontabs/sgaudit", f"30 2 * * * {CHAIN}", False),
        ("etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}", False),
        ("etc/cron.d/guard", f"30 2 * * * root runuser -u sgaudit -- {PROGRAM} audit", False),
        ("etc/cron.d/guard", f"30 2 * * * root {PROGRAM}-night", False),
        ("etc/cron.daily/guard", f"runuser -u sgaudit -- {PROGRAM} audit", False),
    ],
)
def test_a_night_of_roots_is_told_apart(name: str, line: str, as_root: bool, tmp_path: Path) -> None:
    _file(tmp_path / PROGRAM[1:])
    _file(tmp_path / f"{PROGRAM[1:]}-night")
    _file(tmp_path / name, f"{line}\n")

    (found,) = fromschedule.find_schedule(tmp_path, lambda user: user in ("sgaudit", "root"))

    assert (found.as_root, found.fault) == (as_root, "")


@pytest.mark.root
@pytest.mark.parametrize(
    ("mode", "uid", "fault"),
    [(0o666, 65534, "uid 65534"), (0o666, 0, "mode 0666"), (0o664, 0, "mode 0664"), (0o600, 0, "")],
)
def test_cron_reads_what_root_alone_may_write(mode: int, uid: int, fault: str, tmp_path: Path) -> None:
    _file(tmp_path / PROGRAM[1:])
    path = _file(tmp_path / "etc/cron.d/guard", f"30 2 * * * sgaudit {CHAIN}\n", mode)
    os.chown(path, uid, 0)

    (found,) = _find(tmp_path)

    assert (fault in found.fault, bool(found.fault)) == (True, bool(fault))


@pytest.mark.root
def test_a_dot_in_a_name_is_nothing_to_cronie(tmp_path: Path) -> None:
    _file(tmp_path / PROGRAM[1:])
    _file(tmp_path / "usr/sbin/crond")
    _file(tmp_path / "etc/cron.d/guard.cron", f"30 2 * * * sgaudit {CHAIN}\n")

    (found,) = _find(tmp_path)

    assert found.fault == ""


def test_a_unit_whose_program_is_gone_is_told(tmp_path: Path) -> None:
    _file(tmp_path / "etc/systemd/system/slurm-guard-audit.service", f"ExecStart=-{PROGRAM} audit\n")
    _file(tmp_path / "etc/systemd/system/timers.target.wants/slurm-guard-audit.timer")

    (found,) = _find(tmp_path)

    assert "is not there" in found.fault
    assert "slurm-guard-audit.service" in found.remedy


@pytest.mark.root
def test_a_folder_that_only_root_may_enter_bars_who_audits(tmp_path: Path) -> None:
    for place in (tmp_path, *tmp_path.parents[:3]):
        place.chmod(0o755)
    right = _file(tmp_path / "right/bin/slurm-guard", mode=0o755)
    shut = _file(tmp_path / "shut/bin/slurm-guard", mode=0o755)
    private = _file(tmp_path / "private/slurm-guard", mode=0o700)
    (tmp_path / "shut").chmod(0o700)
    timers = tuple(Timer("x", (str(path),)) for path in (right, shut, private))
    nobody = Identity("nobody", 65534, 65534)

    found = gather([Collector("barred", lambda: fromschedule.find_barred(timers), 10.0, nobody)])["barred"]

    assert isinstance(found, tuple), found
    assert [one for one in found if "right" not in one[0]][:2] == [
        (str(shut), str(tmp_path / "shut")),
        (str(private), str(private)),
    ]
    assert str(right) not in dict(found)


@pytest.mark.root
def test_nothing_is_wrong_with_what_an_installation_leaves(tmp_path: Path) -> None:
    root = make_image(tmp_path / "image")
    install(root, "head")
    program = this_installation().program
    _file(root / str(program)[1:])

    (timer,) = fromschedule.find_schedule(root, lambda user: user == AUDITOR)

    assert (timer.path, timer.programs, timer.fault) == (
        str(root / "etc/cron.d/slurm-guard"), (str(program),), ""
    )  # fmt: skip
