"""What slurmd would run: links, globs, wrappers and run-parts lead to our shim, or do not."""

import os
from pathlib import Path

import pytest

from slurm_guard.doctor import fromhooks
from slurm_guard.doctor.facts import HookLine
from slurm_guard.doctor.ways import unsafe_on_way
from slurm_guard.install.calls import folder_call, site_call
from slurm_guard.slurm.running import parse_running
from tests.unit.doctor import builders as b

SHIM = (Path(__file__).parents[3] / "prolog" / "slurm-guard-prolog").read_text()


def _program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def _shim(tmp_path: Path) -> Path:
    return _program(tmp_path / "libexec/slurm-guard-prolog", SHIM)


def _lines(value: object) -> tuple[HookLine, ...]:
    return fromhooks.load_hooks(b.conf(f"Prolog={value}\n"), None)


def test_the_shim_itself_is_ours(tmp_path: Path) -> None:
    (line,) = _lines(_shim(tmp_path))

    assert [(file.ours, file.shim) for file in line.files] == [
        (True, str(tmp_path / "libexec/slurm-guard-prolog"))
    ]
    assert not line.glob
    assert line.place == "/etc/slurm/slurm.conf:1"


def test_a_glob_with_a_link_to_it_is_ours(tmp_path: Path) -> None:
    folder = tmp_path / "prolog.d"
    _program(folder / "10-site", "#!/bin/sh\nexit 0\n")
    (folder / "50-guard").symlink_to(_shim(tmp_path))
    _program(folder / "README", "not a program\n", 0o644)

    (line,) = _lines(folder / "*")

    assert line.glob
    assert {Path(f.path).name: (f.ours, f.executable) for f in line.files} == {
        "10-site": (False, True),
        "50-guard": (True, True),
        "README": (False, False),
    }


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\n{shim} || :\n",
        "#!/bin/bash\nsource /etc/x\n( '{shim}' )\n",
        '#!/bin/sh\nexec {shim} "$@"\n',
    ],
)
def test_a_script_that_calls_it_is_ours_and_the_shim_is_looked_at_too(tmp_path: Path, text: str) -> None:
    shim = _shim(tmp_path)
    wrapper = _program(tmp_path / "prolog.sh", text.format(shim=shim))

    (line,) = _lines(wrapper)

    assert [(file.path, file.ours, file.inner) for file in line.files] == [
        (str(wrapper), True, False),
        (str(shim), True, True),
    ]


def test_what_install_writes_is_ours_and_the_sites_own_is_looked_at_too(tmp_path: Path) -> None:
    site = _program(tmp_path / "site.sh", "#!/bin/sh\nkillall -9 -u root\n")
    wrapper = _program(tmp_path / "site/prolog", site_call(_shim(tmp_path), str(site), "Prolog").decode())
    folder = _program(tmp_path / "d/zz-slurm-guard", folder_call(_shim(tmp_path)).decode())

    (line,) = _lines(wrapper)
    (globbed,) = _lines(f"{folder.parent}/*")

    assert [(Path(f.path).name, f.ours, bool(f.kills)) for f in line.files] == [
        ("prolog", True, False),
        ("slurm-guard-prolog", True, False),
        ("site.sh", False, True),
    ]
    assert [Path(f.path).name for f in globbed.files if f.ours] == ["zz-slurm-guard", "slurm-guard-prolog"]


def test_run_parts_over_a_folder_with_a_link_is_ours(tmp_path: Path) -> None:
    (tmp_path / "prolog.d").mkdir()
    (tmp_path / "prolog.d/10-guard").symlink_to(_shim(tmp_path))
    wrapper = _program(tmp_path / "prolog.sh", f"#!/bin/sh\nset -e\nrun-parts {tmp_path}/prolog.d\n")

    (line,) = _lines(wrapper)

    assert line.files[0].ours is True


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 0\n", "#!/bin/sh\n# slurm-guard-prolog was here\n"])
def test_a_script_that_does_not_call_it_is_not(tmp_path: Path, text: str) -> None:
    (line,) = _lines(_program(tmp_path / "prolog.sh", text))

    assert line.files[0].ours is False


def test_what_is_not_there_is_known_by_its_name_alone(tmp_path: Path) -> None:
    (mine,) = _lines(tmp_path / "slurm-guard-prolog")
    (other,) = _lines(tmp_path / "other")

    assert (mine.files[0].exists, mine.files[0].ours) == (False, True)
    assert (other.files[0].exists, other.files[0].ours) == (False, False)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    (line,) = _lines(tmp_path / "pipe")

    assert (line.files[0].regular, line.files[0].ours) == (False, None)


def test_without_the_file_slurmctlds_values_are_taken() -> None:
    running = parse_running("Prolog[0] = /a\nProlog[1] = /b\nTaskProlog = /c\n")

    lines = fromhooks.load_hooks(None, running)

    assert [(line.key, line.value) for line in lines] == [
        ("Prolog", "/a"),
        ("Prolog", "/b"),
        ("TaskProlog", "/c"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("killall -9 -u root\n", True),
        ("pkill -u 0\n", True),
        ("pkill -f slurm-guard\n", True),
        ("killall python3\n", True),
        ('killall -9 -u "$SLURM_JOB_USER"\n', True),
        ("pkill -KILL -U ${SLURM_JOB_UID}\n", True),
        ('[ "$SLURM_JOB_UID" -lt 1000 ] && exit 0\nkillall -9 -u $SLURM_JOB_USER\n', False),
        ("# killall -u root\n", False),
        ("pkill -u someone dcgmproftester\n", False),
        ("scancel -u root\n", False),
    ],
)
def test_scripts_that_end_what_is_roots_are_told_by_their_text(
    text: str, found: bool, tmp_path: Path
) -> None:
    file = fromhooks.look_at(str(_program(tmp_path / "epilog", text)), "slurm-guard-epilog")

    assert bool(file.kills) is found


def test_settings_are_read_as_the_shim_reads_them() -> None:
    values, odd = fromhooks.parse_settings(
        "# c\nLIB=/a=b\nPYTHON='/p y'\nRUN_DIR=\"/r\"\n\nNOPE=1\nLIB\nSYSLOG=\n"
    )

    assert values == {"LIB": "/a=b", "PYTHON": "/p y", "RUN_DIR": "/r", "SYSLOG": ""}
    assert odd == ("NOPE=1", "LIB")


def test_the_line_ends_of_windows_are_taken_off_as_the_shim_does_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "slurm-guard-hooks.conf"
    file.write_bytes(b'# c\r\nLIB="/a"\r\nPYTHON=/p\x0bq\r\n\r\nSYSLOG=\r\nRUN_DIR=/r\n')

    found = fromhooks.load_settings((), file)
    values, odd = fromhooks.parse_settings(file.read_bytes().decode())

    assert found.n_cr == 5
    assert (values, odd) == ({"LIB": "/a", "PYTHON": "/p\x0bq", "SYSLOG": "", "RUN_DIR": "/r"}, ())


def test_the_shims_own_values_hold_where_no_file_says_otherwise(tmp_path: Path) -> None:
    shim = _program(tmp_path / "slurm-guard-prolog", SHIM.replace("LIB=/usr/lib/slurm-guard", "LIB=/mine"))

    found = fromhooks.load_settings(_lines(shim), tmp_path / "none")

    assert (found.path, found.values["LIB"], found.values["START_SAMPLER"]) == ("", "/mine", "yes")
    assert found.values["PYTHON"] == "/usr/bin/python3"


@pytest.mark.root
def test_the_file_beside_the_shim_holds_unless_others_may_write_it(tmp_path: Path) -> None:
    shim = _shim(tmp_path)
    file = _program(shim.with_name("slurm-guard-hooks.conf"), "LIB=/there\n", 0o644)

    right = fromhooks.load_settings(_lines(shim))
    file.chmod(0o664)
    wrong = fromhooks.load_settings(_lines(shim))

    assert (right.path, right.values["LIB"], right.refused) == (str(file), "/there", "")
    assert (wrong.values["LIB"], wrong.refused) == ("/usr/lib/slurm-guard", "others may write it (mode 0664)")


@pytest.mark.root
def test_every_folder_and_link_on_the_way_counts(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    program = _program(tmp_path / "a/b/program", "")
    (tmp_path / "link").symlink_to(program)
    assert unsafe_on_way(str(program)) == ()

    (tmp_path / "a").chmod(0o777)
    os.chown(program, 12345, 0)
    found = {Path(one.path).name: one.why for one in unsafe_on_way(str(tmp_path / "link"))}

    assert found == {"a": "may be written by everybody", "program": "belongs to uid 12345"}
