"""The pulse: a file that says when, and systemd's words."""

import os
from pathlib import Path

from slurm_guard.sampler.beat import Beat, Notify, read_age_s
from slurm_guard.sampler.writer import Instant
from tests.unit.sampler.fakes import Node
from tests.unit.sampler.listener import listening


def test_it_beats_every_ten_seconds_on_the_clock_that_nobody_sets(tmp_path: Path) -> None:
    mono = [100.0]
    beat = Beat(str(tmp_path), Notify(None), lambda: "", lambda: mono[0])

    beat.tick(Instant(5.0, 0.0))
    mono[0] = 105.0
    beat.tick(Instant(10.0, 5.0))
    early = read_age_s(str(tmp_path), 106.0)
    beat.tick(Instant(15.0, 10.0))

    assert (early, read_age_s(str(tmp_path), 106.0)) == (6.0, 1.0)
    assert (tmp_path / "beat").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["beat"]


def test_a_beat_of_another_boot_or_of_nobody_says_nothing(tmp_path: Path) -> None:
    assert read_age_s(str(tmp_path), 5.0) is None

    for text in ("100.0", "", "nonsense", "\0" * 40):
        (tmp_path / "beat").write_text(text)
        assert read_age_s(str(tmp_path), 5.0) is None


def test_systemd_hears_ready_once_then_the_watchdogs_pulse_and_the_end(tmp_path: Path) -> None:
    with listening() as systemd:
        beat = Beat(str(tmp_path), Notify(systemd.path), lambda: "following 2 runs", lambda: 1.0)

        for mono_s in (0.0, 5.0, 10.0):
            beat.tick(Instant(5.0, mono_s))
        beat.close(Instant(5.0, 12.0))

        told = systemd.take()

    assert told == [
        b"READY=1\nWATCHDOG=1\nSTATUS=following 2 runs",
        b"WATCHDOG=1\nSTATUS=following 2 runs",
        b"STOPPING=1",
    ]
    assert not (tmp_path / "beat").exists()


def test_an_abstract_address_is_understood_and_an_absent_one_costs_nothing(tmp_path: Path) -> None:
    name = f"slurm-guard-test-{os.getpid()}"
    with listening(f"\0{name}") as systemd:
        heard, lost = Notify(f"@{name}").send("READY=1"), Notify(str(tmp_path / "none")).send("READY=1")

        assert (heard, lost, systemd.take()) == (True, False, [b"READY=1"])


def test_a_folder_that_is_gone_is_counted_and_raises_nothing(tmp_path: Path) -> None:
    beat = Beat(str(tmp_path / "gone"), Notify(None), lambda: "")

    beat.tick(Instant(5.0, 0.0))
    beat.close(Instant(5.0, 1.0))

    assert beat.tell() == {"n_failed": 1, "notify": False}


def test_a_sampler_that_is_switched_off_beats_on(tmp_path: Path) -> None:
    node = Node(tmp_path, table_interval_s=5.0)
    (tmp_path / "disabled").touch()
    node.turn(3)
    path = tmp_path / "run" / "n1" / "beat"
    path.unlink()

    node.turn(20)

    assert path.exists()
    assert node.loop.off
