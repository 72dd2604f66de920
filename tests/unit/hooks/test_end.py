"""The end mark: which run it names, and who still holds a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from slurm_guard import wire
from slurm_guard.hooks import end
from slurm_guard.hooks.end import ask_alive, find_alive, find_run, read_start_ticks
from slurm_guard.hooks.environ import Identity
from slurm_guard.hooks.settings import Settings

WHO = Identity(7, "n_1", "c_1", "0123abcd-0000-0000-0000-000000000000", 1000)
OTHER_BOOT = WHO._replace(boot_id="ffff0000-0000-0000-0000-000000000000")


def _key(who: Identity, at: float) -> str:
    return wire.run_key(who.cluster, who.job_id, who.node, who.boot_id, at)


def _put(root: Path, *keys: str) -> Settings:
    for key in keys:
        folder = root / "run" / WHO.node / "tickets"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{wire.stem(key)}.json").touch()
    return Settings(run_dir=f"{root}/run", spool_dir=f"{root}/spool")


def test_newest_ticket_of_this_job_and_boot_is_the_run(tmp_path: Path) -> None:
    others = [WHO._replace(job_id=17), WHO._replace(job_id=77), WHO._replace(cluster="c"), OTHER_BOOT]
    settings = _put(tmp_path, _key(WHO, 9.0), _key(WHO, 10.5), *[_key(who, 99.0) for who in others])

    assert find_run(settings, WHO) == _key(WHO, 10.5)


def test_no_ticket_is_null(tmp_path: Path) -> None:
    assert find_run(Settings(run_dir=f"{tmp_path}/no", spool_dir=f"{tmp_path}/none"), WHO) is None
    assert find_run(_put(tmp_path, _key(OTHER_BOOT, 1.0)), WHO) is None


def test_spool_serves_when_the_run_folder_is_empty(tmp_path: Path) -> None:
    settings = _put(tmp_path, _key(WHO, 3.0))

    assert find_run(settings._replace(run_dir=f"{tmp_path}/no", spool_dir=settings.run_dir), WHO) == _key(
        WHO, 3.0
    )


@pytest.mark.parametrize(
    "name", ["c_1_7_n_1_0123abcd_x.json", "c_1_7_n_1_0123abcd_5", "c_1_7_n_1_0123abcd_.json"]
)
def test_other_names_are_no_tickets(tmp_path: Path, name: str) -> None:
    settings = _put(tmp_path, _key(WHO, 2.0))
    (tmp_path / "run" / WHO.node / "tickets" / name).touch()

    assert find_run(settings, WHO) == _key(WHO, 2.0)


def _fake_proc(folder: Path, pid: int, links: list[str]) -> None:
    (folder / str(pid) / "fd").mkdir(parents=True)
    for n, link in enumerate(links):
        (folder / str(pid) / "fd" / str(n)).symlink_to(link)
    (folder / str(pid) / "stat").write_text(f"{pid} (a) b) S {' '.join(str(n) for n in range(4, 53))}")


def test_holders_of_a_gpu_device_are_found_by_their_links(tmp_path: Path) -> None:
    _fake_proc(tmp_path, 10, ["/dev/null", "/dev/nvidia0"])
    _fake_proc(tmp_path, 11, ["/dev/nvidiactl", "/dev/nvidia-uvm"])
    _fake_proc(tmp_path, 12, ["/tmp/dev/nvidia0", "socket:[1]"])
    _fake_proc(tmp_path, 13, ["/dev/nvidia3"])
    uid = os.getuid() or 65534
    os.chown(tmp_path / "10", uid, -1)
    if os.getuid() == 0:  # another's process, where we may make one
        for pid in (11, 12):
            os.chown(tmp_path / str(pid), uid, -1)
    else:
        (tmp_path / "13/fd/0").unlink()
    why: dict[str, str] = {}

    found = find_alive(uid, "/dev/nvidia", why, str(tmp_path))

    assert ask_alive(uid, "/dev/nvidia", why, str(tmp_path)) == found
    assert found == [wire.GpuProcess(10, 22, uid, None, None)]
    assert why == {}


@pytest.mark.parametrize("uid", [None, 0])
def test_unknown_owner_and_root_are_not_looked_for(uid: int | None) -> None:
    why: dict[str, str] = {}

    assert ask_alive(uid, "/dev/nvidia", why) is None
    assert "uid" in why["alive"] or "root" in why["alive"]


def test_no_time_is_null_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_proc(tmp_path, 10, [])
    monkeypatch.setattr(end, "MAX_LOOK_S", -1.0)
    why: dict[str, str] = {}

    assert ask_alive(1, "/dev/nvidia", why, str(tmp_path)) is None
    assert "left off" in why["alive"]


def test_nobody_found_is_an_answer_and_a_child_that_dies_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why: dict[str, str] = {}
    assert ask_alive(1, "/dev/nvidia", why, str(tmp_path)) == []
    assert why == {}
    monkeypatch.setattr(end, "find_alive", lambda *_: os._exit(1))

    assert ask_alive(1, "/dev/nvidia", why, str(tmp_path)) is None
    assert "no answer" in why["alive"]


def test_without_a_child_nobody_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    n_open, why = len([*Path("/proc/self/fd").iterdir()]), dict[str, str]()

    assert ask_alive(1, "/dev/nvidia", why, str(tmp_path)) is None
    assert "Resource temporarily unavailable" in why["alive"]
    assert len([*Path("/proc/self/fd").iterdir()]) == n_open


def test_start_ticks_survive_an_odd_process_name(tmp_path: Path) -> None:
    program = tmp_path / "x) R 1 (y"
    program.symlink_to(sys.executable)
    with subprocess.Popen([str(program), "-c", "input()"], stdin=subprocess.PIPE) as process:
        ticks = read_start_ticks(process.pid)
        own = read_start_ticks(os.getpid())

    assert ticks is not None
    assert own is not None
    assert ticks >= own
    assert read_start_ticks(process.pid) is None  # gone
